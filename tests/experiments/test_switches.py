"""Switches of sums and sparse parities: what is planted is found."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

from experiments.arora2023 import parity, switched_sums, switches
from experiments.arora2023.switched_sums import SWITCHES, SwitchedSums, few_switches


def verdicts(claims):
    return {claim.id.split(".")[1]: claim.verdict for claim in claims}


# --- switches ---


def test_switches_by_a_loop():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 1_000, (2, 200))
    for x, y, found in zip(a, b, switched_sums.switches_of(a, b), strict=True):
        p, q = f"{x:03}", f"{y:03}"
        wanted = [x % 10**i + y % 10**i >= 10**i for i in (1, 2, 3)]
        wanted.append("0" in p[1:] + q[1:])
        wanted.append(any(s[0] == s[1] or s[1] == s[2] for s in (p, q)))
        wanted.append((x < 100) != (y < 100))
        assert found.tolist() == wanted


def test_training_has_few_switches_and_nothing_is_asked_twice():
    task = SwitchedSums(examples=300)
    drawn = task.sample(jax.random.key(0), batch=64).latents
    a, b = (np.asarray(drawn[name])[:, 0] for name in "ab")
    assert switched_sums.switches_of(a, b).sum(axis=1).max() == 2
    shown = few_switches(300, 2, 0)
    config = replace(switches.PRESETS["tiny"], sums=20)
    x, y = switches.unseen(config, few_switches(5_000, 2, 0))
    assert x.shape == (switches.MOST, 20)
    most = replace(switches.PRESETS["paper"], seeds=1)
    assert switches.unseen(most, shown)[0].shape == (switches.MOST, 2_000)
    pairs = set(zip(shown.a.tolist(), shown.b.tolist(), strict=True))
    assert not pairs & set(zip(x.ravel().tolist(), y.ravel().tolist(), strict=True))


@pytest.mark.parametrize("change", [{"digits": 2}, {"law": "carries"}, {"most": 7}])
def test_other_tasks_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        SwitchedSums(**change)


def planted(rule):
    """Grades a learner that knows all answers but those for which the rule has a digit.

    The rule takes the switches that are on and a generator, and returns the columns of
    the digits that are wrong, (sums, 4).
    """
    config = replace(switches.PRESETS["tiny"], sums=150, resamples=100)
    codec, rng = config.setting.task.codec, np.random.default_rng(0)
    slots = [codec.labels.index(f"s{i}") - codec.start - 1 for i in range(4)]

    def learner(lines):
        ids = np.array(lines.ids)[:, codec.start + 1 :]
        a, b = (np.asarray(lines.latents[name])[:, 0] for name in "ab")
        wrong = rule(switched_sums.switches_of(a, b), rng)
        ids[:, slots] = (ids[:, slots] + wrong) % 10
        return np.eye(codec.entries)[ids]

    return switches.measure(config, [learner])


def independent(on, rng):
    """Each switch that is on fails by itself, in the digit behind its column."""
    failing = on & (rng.random(on.shape) < 0.1)
    wrong = np.zeros((len(on), 4), int)
    wrong[:, 1:] = failing[:, :3]
    wrong[:, 0] = failing[:, 3:].any(axis=1)
    return wrong


def test_independent_switches_fulfil_the_claims():
    dataset = planted(independent)
    found = verdicts(switches.claims(dataset))
    assert found == {"14": "holds", "14b": "empty", "14c": "holds"}
    exact = dataset.exact.mean(("seed", "sum"))
    np.testing.assert_allclose(exact, 0.9 ** np.arange(1, 6), atol=0.08)
    assert not dataset.new.sel(k=[1, 2]).any() and dataset.new.sel(k=[3, 4, 5]).all()
    # Everything that the grade looks at is the answer, so that full marks are a match.
    np.testing.assert_array_equal(dataset.full_marks, dataset.exact)
    assert (dataset.all_skills >= dataset.full_marks).all()
    assert len(switches.plot(dataset).axes) == 2


def test_a_learner_of_pairs_alone_is_noticed():
    def rule(on, _):
        return np.repeat(on.sum(axis=1, keepdims=True) > 2, 4, axis=1).astype(int)

    found = verdicts(switches.claims(planted(rule)))
    assert found["14"] == found["14c"] == "fails"


def test_a_learner_that_knows_nothing_is_not_judged():
    def rule(on, _):
        return np.ones((len(on), 4), int)

    assert set(verdicts(switches.claims(planted(rule))).values()) == {"undecided"}


def test_points_go_to_switches_whose_digits_are_right():
    """A carry out of the units that is lost: all other switches have their points."""

    def rule(on, _):
        return np.stack(
            [np.zeros(len(on), int), on[:, 0], *np.zeros((2, len(on)), int)], 1
        )

    dataset = planted(rule).squeeze("seed")
    lost = dataset.on.sel(switch=SWITCHES[0])
    assert (dataset.exact == ~lost).all()
    alone = dataset.sel(k=1)
    assert (alone.skill_fraction == ~lost.sel(k=1)).all()
    about = dataset.on.sel(switch=["zero", "repeated"]).any("switch")
    chosen = (lost & ~about).sel(k=2)
    assert chosen.any()
    np.testing.assert_allclose(dataset.skill_fraction.sel(k=2).values[chosen], 0.5)


# --- parities ---


def learnt_at(steps):
    """Losses of subtasks that are learnt at these steps."""
    axis = np.arange(10, 2_001, 10)
    law = 1 / np.arange(1, len(steps) + 1)
    loss = (axis[:, None] < np.asarray(steps)).astype(float)
    return xr.Dataset(
        {"loss": (("step", "subtask"), loss), "probability": ("subtask", law)},
        coords={"step": axis},
    )


def test_subtasks_that_are_learnt_in_order_fulfil_the_claims():
    dataset = learnt_at(20 * np.arange(1, 41))
    assert verdicts(parity.claims(dataset)) == {"13": "holds", "13b": "holds"}
    backwards = learnt_at(20 * np.arange(40, 0, -1))
    assert verdicts(parity.claims(backwards)) == {"13": "fails", "13b": "fails"}
    late = learnt_at([5_000] * 40)
    assert verdicts(parity.claims(late)) == {"13": "undecided", "13b": "undecided"}
    assert np.isinf(parity.learning_steps(late)).all()
    assert len(parity.plot(dataset).axes) == 2


def test_labels_are_parities_of_chosen_bits():
    config = parity.PRESETS["tiny"]
    chosen = np.array([[0, 1], [2, 5], [3, 4], [0, 5], [1, 2], [1, 4]])
    which = np.array([0, 5, 3, 1])
    xs, labels = parity.inputs(jax.random.key(0), which, chosen, config)
    bits = np.asarray(xs)[:, config.subtasks :]
    assert np.asarray(xs)[:, : config.subtasks].argmax(axis=1).tolist() == [0, 5, 3, 1]
    wanted = [bits[i, chosen[w]].sum() % 2 for i, w in enumerate(which)]
    assert labels.tolist() == wanted


def test_no_two_subtasks_have_the_same_bits():
    config = parity.Config(subtasks=200, bits=30)
    found = {tuple(row) for row in parity.different_subsets(config).tolist()}
    assert len(found) == 200 and all(x < y for x, y in found)
    with pytest.raises(ValueError, match="subtasks must be at most 217"):
        parity.Config(subtasks=218, bits=30)


def test_a_network_learns_few_parities():
    dataset = parity.compute(parity.PRESETS["tiny"], None)
    assert float(dataset.loss[0].mean()) > 0.6 > float(dataset.loss[-1, 0])
