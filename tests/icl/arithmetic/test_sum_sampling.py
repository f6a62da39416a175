"""Sets of sums have the counts of the released ones, and test sets are apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icl.arithmetic import carries, count_by_carries
from icl.arithmetic.columns import lengths_of
from icl.arithmetic.fresh import fresh_pairs
from icl.arithmetic.pairs import (
    Pairs,
    check_examples,
    training_pairs,
    unseen_pairs,
)
from icl.tasks import Addition

KEY = jax.random.key(0)


def longer(pairs, digits):
    return np.maximum(*(lengths_of(part, digits) for part in pairs))


def test_a_balanced_set_has_the_counts_of_the_released_file():
    """10,000 sums: 2,500 of each number of carries, 100 of one digit, 10 % of two."""
    pairs = training_pairs(3, 10_000, "carries")
    assert np.bincount(carries(*pairs, 3).sum(axis=1)).tolist() == [2_500] * 4
    counts = np.bincount(longer(pairs, 3))[1:]
    assert counts[0] == 100
    assert abs(counts[1] - 971) < 60  # the file has 971, drawn by chance
    assert len(set(zip(*map(np.ndarray.tolist, pairs), strict=True))) == 10_000


def test_a_uniform_set_has_few_short_sums():
    pairs = training_pairs(3, 10_000)
    shares = np.bincount(carries(*pairs, 3).sum(axis=1)) / 10_000
    expected = np.array(count_by_carries(3)) / 10**6
    # Standard errors are at most 0.005.
    np.testing.assert_allclose(shares, expected, atol=0.02)
    assert np.bincount(longer(pairs, 3))[1] < 10


@pytest.mark.parametrize("digits", [2, 5])
def test_a_set_of_several_lengths_has_as_many_of_each(digits):
    counts = np.bincount(longer(training_pairs(digits, 1_000, "lengths"), digits))[1:]
    assert counts[0] == 100
    assert counts[1:].max() - counts[1:].min() <= 1


def test_sets_follow_from_their_seed_and_all_differ():
    one, same, other = (training_pairs(2, 500, "uniform", (), s) for s in (1, 1, 2))
    assert (one.a == same.a).all() and not (one.a == other.a).all()
    for law in ("uniform", "carries", "lengths"):
        pairs = training_pairs(2, 2_000, law)
        assert len(np.unique(pairs.a * 100 + pairs.b)) == 2_000


def test_a_test_set_has_nothing_of_the_training_set():
    for digits, count in ((1, 40), (3, 900)):
        seen = training_pairs(digits, 60, "uniform")
        unseen = unseen_pairs(digits, count, seen)
        both = [
            set(zip(p.a.tolist(), p.b.tolist(), strict=True)) for p in (seen, unseen)
        ]
        assert not both[0] & both[1] and len(both[1]) == count
    with pytest.raises(ValueError, match="count must be at most the 40 sums that are"):
        unseen_pairs(1, 41, training_pairs(1, 60, "uniform"))


def test_sums_of_five_digits_have_numbers_of_more_than_32_bits(untyped):
    seen = unseen_pairs(5, 1_000, None)  # what the same seed would draw again
    unseen = unseen_pairs(5, 1_000, seen)
    both = [np.asarray(p.a, np.int64) * 10**5 + p.b for p in (seen, unseen)]
    assert not np.isin(*both).any()
    narrow = Pairs(np.array([200], np.uint8), jnp.array([100], jnp.uint8))
    others = unseen_pairs(3, 10**6 - 1, narrow)
    assert not ((others.a == 200) & (others.b == 100)).any()


def test_nobody_can_change_a_set_that_is_kept(untyped):
    pairs = training_pairs(2, 50)
    with pytest.raises(ValueError, match="read-only"):
        pairs.a.sort()
    assert training_pairs(2, 50) is pairs
    ordered = training_pairs(2, 50, left_out=[7, 3, 7])
    assert ordered is training_pairs(2, 50, left_out=(3, 7))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        # Equal arguments of another kind are refused whatever is kept already.
        (lambda: training_pairs(2, 50, seed=False), "seed must be an integer >= 0"),
        (lambda: training_pairs(2.0, 50), "digits must be an integer >= 1, got 2.0"),
        (lambda: training_pairs(2, 50, left_out=None), "left_out must be a tuple of"),
        (lambda: training_pairs(2, 50, left_out=("a",)), "left_out must be an integer"),
        (lambda: training_pairs(2, 50, left_out=(-5,)), "left_out .* >= 0, got -5"),
        (lambda: unseen_pairs(2, 5, 5), "seen must be sums as training_pairs returns"),
        (lambda: unseen_pairs(2, 5, ([1], [2])), "seen must be sums as training_p"),
        (lambda: unseen_pairs(2, 5, Pairs([1.5], [2])), "seen.a must be integers, got"),
        (lambda: unseen_pairs(2, 5, Pairs([1], [100])), "seen.b .* 0 to 99, got 100"),
        (lambda: unseen_pairs(2, 5, Pairs([1], [1, 2])), "seen.b must have axes as s"),
        (lambda: fresh_pairs(KEY, (2,), 10), "digits must be an integer of at most 9"),
        (lambda: fresh_pairs(KEY, (2,), 2, "carries"), "law must be one of 'uniform',"),
        (
            lambda: fresh_pairs(KEY, (2,), 2, "lengths", (3,)),
            r"left_out must be \(\)",
        ),
    ],
)
def test_arguments_of_sets_are_checked(call, said, untyped):
    training_pairs(2, 50)
    with pytest.raises(ValueError, match=said):
        call()


def test_operands_that_are_left_out_occur_nowhere():
    left = (0, 7, 42, 99)
    for law in ("uniform", "carries", "lengths"):
        pairs = training_pairs(2, 1_000, law, left)
        assert not np.isin(np.concatenate(pairs), left).any()
    a, _ = fresh_pairs(jax.random.key(0), (4_000,), 2, "uniform", left)
    assert set(np.unique(a)) == set(range(100)) - set(left)


def test_fresh_sums_of_several_lengths():
    pairs = jax.jit(fresh_pairs, static_argnums=(1, 2, 3))(
        jax.random.key(0), (3_000,), 3, "lengths"
    )
    shares = np.bincount(longer([np.asarray(part) for part in pairs], 3))[1:] / 3_000
    np.testing.assert_allclose(shares, 1 / 3, atol=0.04)  # 4 standard errors


@pytest.mark.parametrize(
    ("digits", "examples", "law", "said"),
    [
        (1, 100, "uniform", "fewer than the 100 sums there are"),
        (3, 99, "carries", "at least 100, which is how many sums of one digit"),
        (2, 99, "lengths", "at least 100"),
        (1, 95, "carries", "at most 90 .* only 45 sums have 1 carries, got 95"),
        (3, 600_000, "carries", "at most 544,500 .* only 136,125 sums have 3"),
    ],
)
def test_sets_that_cannot_be_are_refused(digits, examples, law, said):
    with pytest.raises(ValueError, match=f"examples must be .*{said}"):
        training_pairs(digits, examples, law)


# --- what a set cannot be, and what is asked ------------------------------------------


@pytest.mark.parametrize(
    ("digits", "examples", "law", "left_out", "said"),
    [
        (3, 300_000, "lengths", (), "19,900 .* 9,900 sums have a longer operand of 2"),
        (2, 3_000, "carries", tuple(range(30)), r"only [\d,]+ sums have \d carries"),
        (2, 50, "lengths", (), "at least 100, which is how many sums of one digit"),
    ],
)
def test_a_set_that_its_law_cannot_fill_is_refused_at_once(
    digits, examples, law, left_out, said
):
    with pytest.raises(ValueError, match=said):
        check_examples(digits, examples, law, left_out)


def test_the_largest_sets_of_a_law_can_be_drawn():
    """What is refused is one sum more than there are."""
    left_out = (3, 47, 98)
    for law in ("carries", "lengths"):
        sizes = [n for n in range(100, 97**2) if _fits(2, n, law, left_out)]
        pairs = training_pairs(2, sizes[-1], law, left_out)
        assert not np.isin(np.concatenate(pairs), left_out).any()
        assert len(np.unique(pairs.a * 100 + pairs.b)) == sizes[-1]
        assert not _fits(2, sizes[-1] + 1, law, left_out)
    assert len(training_pairs(1, 50, "lengths").a) == 50


def _fits(*what):
    try:
        check_examples(*what)
    except ValueError:
        return False
    return True


def test_a_test_may_leave_out_what_training_does():
    left_out = tuple(range(5, 10))
    seen = training_pairs(1, 20, "uniform", left_out)
    rest = unseen_pairs(1, 5, seen, 0, left_out)
    assert max(rest.a.max(), rest.b.max()) < 5
    with pytest.raises(ValueError, match="at most the 5 sums"):
        unseen_pairs(1, 6, seen, 0, left_out)
    task = Addition(1, examples=20, left_out=left_out)
    assert task.unseen == 80
    latents = task.test(5, with_left_out=False).latents
    assert {*latents["a"].ravel(), *latents["b"].ravel()} <= set(range(5))
    assert np.isin(task.test(80).latents["a"], left_out).any()
