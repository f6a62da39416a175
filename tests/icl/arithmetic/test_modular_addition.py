"""Sums modulo p: what is drawn, trained on and left out, and what is probed for."""

import jax
import numpy as np
import pytest

from icl import ModelConfig, TrainConfig, inference, load, save, train
from icl.codecs.matching import exact_match
from icl.generation import generate
from icl.targets import modular_phase, modular_targets, prefix_ceilings, target_values
from icl.tasks import ModularAddition
from icl.testing import check_task
from probes import probe_grid

KEY = jax.random.key(0)
TASK = ModularAddition(5, fraction=0.6)


def numbers_of(lines):
    """Returns the pairs of lines as numbers a p + b."""
    return np.asarray(lines.latents["a"] * 5 + lines.latents["b"])[:, 0].tolist()


def test_it_is_a_task_as_any_other():
    check_task(TASK)


def test_all_lines_of_a_small_table():
    task = ModularAddition(3, fraction=0.5)
    lines = task.every_sum()
    assert [task.codec.text(ids) for ids in lines.ids] == [
        *("00=0", "01=1", "02=2"),
        *("10=1", "11=2", "12=0"),
        *("20=2", "21=0", "22=1"),
    ]
    assert task.codec.entries == 4
    assert task.codec.names == ["a", "b", "=", "c"]
    assert task.codec.slots.tolist() == [3]  # c alone is predicted, at "="
    np.testing.assert_array_equal(lines.answers, [[False, False, False, True]] * 9)
    np.testing.assert_array_equal(lines.weights, lines.answers)


def test_every_number_is_one_character():
    largest = ModularAddition(463, fraction=0.001)
    assert len(set(largest.codec.alphabet)) == 464
    ids = largest.every_sum().ids[462 * 463 + 461]
    assert ids.tolist() == [462, 461, 463, 460]
    assert ModularAddition(63).codec.text([9, 10, 61]) == "9Az"


def test_training_draws_from_its_set_and_the_test_has_all_others():
    seen, unseen = numbers_of(TASK.training()), numbers_of(TASK.test())
    assert (len(seen), len(unseen)) == (15, 10)
    assert sorted(seen + unseen) == list(range(25))
    drawn = inference.sample(TASK, 2_000, 0)[0]
    assert set(numbers_of(drawn)) == set(seen)
    assert numbers_of(TASK.test(4)) == unseen[:4]
    more, other = ModularAddition(5, 0.8), ModularAddition(5, 0.6, seed=1)
    assert numbers_of(more.training())[:15] == seen
    assert set(numbers_of(other.training())) != set(seen)


def test_it_trains_through_the_same_program_and_is_graded_as_other_sums(tmp_path):
    config = TrainConfig(
        steps=300, batch=32, learning_rate=1e-2, chunk=300, evaluate_every=300
    )
    trained = train(TASK, ModelConfig(layers=1, width=16), config, key=KEY)
    loss = trained.history.held_out_loss
    assert loss.dims == ("evaluation", "character")
    assert loss.character.values.tolist() == [3]
    model, lines = trained.model, TASK.every_sum()
    right = exact_match(inference.predictions(model, lines), lines, model.codec)[:, 0]
    assert right[numbers_of(TASK.training())].all()  # it knows what it was shown
    written = generate(model, lines)
    np.testing.assert_array_equal(written[:, :3], lines.ids[:, :3])
    np.testing.assert_array_equal(written[:, 3] == lines.ids[:, 3], right)
    save(tmp_path, trained)
    assert load(tmp_path).task == TASK


def test_phases_are_those_of_the_sum():
    """3 + 4 = 7 is 1 modulo 6: a sixth of a circle, and at k = 2 a third of one."""
    lines = jax.tree.map(
        lambda part: part[3 * 6 + 4 : 3 * 6 + 5], ModularAddition(6).every_sum()
    )
    found = target_values(modular_targets(6).values(), lines)
    assert list(found) == ["phase 1", "phase 2", "phase 3"]
    np.testing.assert_allclose(found["phase 1"], [[0.5, 0.75**0.5]], rtol=1e-6)
    np.testing.assert_allclose(found["phase 2"], [[-0.5, 0.75**0.5]], rtol=1e-6)
    np.testing.assert_allclose(found["phase 3"], [[-1, 0]], atol=1e-6)


def test_a_phase_can_be_known_once_both_numbers_are_read():
    """Whatever a is, a + b goes once round the circle."""
    lines = ModularAddition(7).every_sum()
    ceilings = prefix_ceilings(modular_targets(7).values(), lines)
    for ceiling in ceilings.values():
        np.testing.assert_allclose(ceiling, [0, 1, 1, 1], atol=1e-6)


def test_a_probe_of_unseen_sums_tells_a_circle_from_a_table_of_sums():
    lines = ModularAddition(23).every_sum()
    sums = np.asarray(lines.ids)[:, 3]
    values = target_values([modular_phase(2, 23)], lines)
    table = np.eye(23)[sums]
    circle = values["phase 2"] @ np.array([[1, 2, 3], [0, 1, -1]])
    each = np.arange(len(sums))
    for states, groups, high in (
        (table, each, True),
        (table, sums, False),
        (circle, each, True),
        (circle, sums, True),
    ):
        grid = probe_grid(states[None, :, None], values, groups=groups, progress=False)
        assert (float(grid.r2.squeeze()) > 0.9) == high


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ModularAddition(1), "p must be an integer >= 2, got 1"),
        (lambda: ModularAddition(464), "p must be an integer of at most 463, got 464"),
        (lambda: ModularAddition(5, 0), "fraction must be a finite number > 0, got 0"),
        (lambda: ModularAddition(5, 1.0), "fraction must leave some of the 25 pairs"),
        (lambda: ModularAddition(5, 0.01), "fraction must leave .* a test, got 0.01"),
        (lambda: ModularAddition(5, 0.99), "fraction must leave some of the 25 pairs"),
        (lambda: ModularAddition(5, 1e308), "fraction must leave .* between 0 and 1"),
        (lambda: ModularAddition(5, seed=-1), "seed must be an integer >= 0, got -1"),
        (lambda: TASK.sample(0, batch=2), "key must be a typed key"),
        (lambda: TASK.sample(KEY, batch=0), "batch must be an integer >= 1, got 0"),
        (lambda: TASK.test(11), "count must be an integer of at most 10, got 11"),
        (lambda: modular_phase(3, 5), "k must be an integer of at most 2, got 3"),
        (lambda: modular_phase(1, 1), "p must be an integer >= 2, got 1"),
        (lambda: modular_targets(464), "p must be an integer of at most 463, got 464"),
    ],
)
def test_what_cannot_be_is_refused(call, said, untyped):
    with pytest.raises(ValueError, match=said):
        call()
