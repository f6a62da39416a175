"""Sums are written as the released generator writes them, and read again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icl.arithmetic import (
    answer_of,
    carries,
    cascades,
    column_sums,
    count_by_carries,
    digits_of,
    score,
)
from icl.arithmetic.columns import lengths_of
from icl.arithmetic.formats import LAYOUTS, longest, render, work_out
from icl.arithmetic.places import labels, row_count, rows
from icl.tasks import Addition

SIMPLIFIED = "Input:\n128+367\nTarget:\nA->5 , C->1\nA->9 , C->0\nA->4 , C->0.\n495\n"
DETAILED = (
    "Input:\n128+367\nTarget:\n<scratch>\n"
    "[1,2,8] has 3 digits.\n[3,6,7] has 3 digits.\n"
    "[1,2,8] + [3,6,7] , A=[] , C=0 , 8+7+0=15 , A->5 , C->1\n"
    "[1,2] + [3,6] , A=[5] , C=1 , 2+6+1=9 , A->9 , C->0\n"
    "[1] + [3] , A=[9,5] , C=0 , 1+3+0=4 , A->4 , C->0\n"
    "[] + [] , A=[4,9,5] C=0 , END\n</scratch>\n4 9 5\n"
)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"padded": False}, "128+367=495\n"),
        ({"padded": False, "wrapped": True}, "$128+367=495$\n"),
        ({"layout": "reverse", "padded": False}, "$128+367=594$\n"),
        ({}, "128+367=0495\n"),
        ({"layout": "reverse"}, "$128+367=5940$\n"),
        ({"layout": "reverse", "wrapped": False}, "128+367=5940\n"),
        ({"layout": "simplified"}, SIMPLIFIED),
        ({"layout": "detailed"}, DETAILED),
    ],
)
def test_128_and_367_are_written_as_released(settings, line):
    task = Addition(digits=3, **settings)
    assert task.line(128, 367) == line
    assert task.parse(line) == 495
    assert task.parse(line[:-1]) is None  # without an end there is no answer
    assert task.parse(line + "$7\n") == 495
    cut = line.index("=" if "=" in line[:10] else "Target:\n")
    assert task.prompt(128, 367) == line[: cut + (1 if line[cut] == "=" else 8)]


def test_lines_of_released_files():
    detailed, simplified = (Addition(3, x) for x in ("detailed", "simplified"))
    assert detailed.line(99, 1).endswith(
        "[9] + [] , A=[0] , C=1 , 9+0+1=10 , A->0 , C->1\n"
        "[] + [] , A=[0,0] C=1 , END\n</scratch>\n1 0 0\n"
    )
    assert "\n[1] has 1 digits.\n" in detailed.line(99, 1)
    assert simplified.line(5, 96).endswith("\nA->1 , C->1\nA->0 , C->1.\n101\n")
    assert simplified.line(678, 532).endswith(
        "\nA->0 , C->1\nA->1 , C->1\nA->2 , C->1.\n1210\n"
    )
    assert len(SIMPLIFIED) == 64 and len(DETAILED) == 282


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_sum_of_two_digits_is_read_as_it_is_written(layout):
    task = Addition(2, layout)
    lines = task.every_sum()
    every = range(0, 10_000, 37)
    for each in every:
        a, b = divmod(each, 100)
        assert task.parse(task.codec.text(lines.ids[each])) == a + b
    ends = np.asarray(lines.answers).sum(axis=1)
    assert ends.min() > 0
    assert lines.ids.shape[1] == task.codec.count


@pytest.mark.parametrize("layout", ["plain", "detailed"])
def test_lines_are_the_same_in_compiled_code(layout):
    a, b = np.array([128, 5, 99, 678, 0]), np.array([367, 96, 1, 532, 0])

    def written(a, b):
        sums = [work_out(a, b, 3, False), work_out(b, a, 3, False)]
        return render(sums, layout, wrapped=False, tokens=600)

    here = written(a, b)
    there = jax.jit(written)(jnp.asarray(a), jnp.asarray(b))
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_line_is_longer_than_the_longest():
    for layout in ("plain", "simplified", "detailed"):
        every = np.divmod(np.arange(10_000), 100)
        sums = [work_out(*every, 2, False)]
        written = render(sums, layout, wrapped=False, tokens=1)
        most = longest(layout, 2, padded=False, wrapped=False)
        assert written.lengths.max() == most


def test_carries_are_those_of_digit_sums():
    """(digit sum of a + that of b - that of a + b) / 9, over all of three digits."""
    a, b = np.divmod(np.arange(10**6), 1_000)
    count = carries(a, b, 3).sum(axis=1)
    sums = [digits_of(x, 4).sum(axis=1) for x in (a, b, a + b)]
    np.testing.assert_array_equal(9 * count, sums[0] + sums[1] - sums[2])
    assert np.bincount(count).tolist() == count_by_carries(3)
    assert count_by_carries(3) == [166_375, 358_875, 338_625, 136_125]
    shares = carries(a, b, 3).mean(axis=0)
    np.testing.assert_allclose(shares, [0.45, 0.495, 0.4995])


def test_columns_carry_with_probabilities_that_near_one_half():
    """p becomes 0.45 + p / 10 from column to column, by counting: no pair is drawn."""
    expected = [0.45, 0.495, 0.4995, 0.49995]
    means = [0.0]  # of the number of carries
    for i, share in enumerate(expected):
        # Of the b below p = 10^(i + 1), the largest a carry with a, and no other.
        p = 10 ** (i + 1)
        a = np.arange(1, p)
        assert carries(a, p - a, i + 1)[:, i].all()
        assert not carries(a, p - a - 1, i + 1)[:, i].any()
        assert int(a.sum()) / p**2 == share
        counts = count_by_carries(i + 1)
        means.append(sum(c * count for c, count in enumerate(counts)) / p**2)
    # What one more column adds; the tolerance is for differences of floats.
    np.testing.assert_allclose(np.diff(means), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.uint32])
@pytest.mark.parametrize("arrays", [np, jnp])
def test_sums_of_narrow_integers_do_not_wrap_around(arrays, dtype):
    largest = min(np.iinfo(dtype).max, 99_999)
    task = Addition(5, padded=False)
    a, b = (arrays.array([x], dtype) for x in (largest, largest - 50))
    wanted = f"{largest}+{largest - 50}={2 * largest - 50}\n"
    for ids in (task.of(a, b).ids, jax.jit(lambda *x: task.of(*x).ids)(a, b)):
        assert task.codec.text(ids[0]).startswith(wanted)
    worked = work_out(a, b, 5, False)
    assert worked.answer.tolist() == digits_of(np.array([2 * largest - 50]), 6).tolist()


def test_numbers_that_32_bits_do_not_hold_are_refused_in_jax():
    large = jnp.array([3_000_000_000], jnp.uint32)
    with pytest.raises(ValueError, match="from 0 to 2147483647, got 3000000000"):
        digits_of(large, 10)
    assert digits_of(np.asarray(large), 10)[0, -1] == 3


def test_a_number_of_thousands_of_digits_is_no_answer():
    assert answer_of(f"1+1={'1' * 5_000}\n", "plain") is None


def test_columns_of_one_sum():
    a, b = np.array([949]), np.array([52])
    assert column_sums(a, b, 3).tolist() == [[11, 9, 9]]
    assert carries(a, b, 3).tolist() == [[1, 1, 1]]
    assert cascades(a, b, 3).tolist() == [[0, 0, 1]]
    assert lengths_of(np.array([0, 9, 10, 999]), 3).tolist() == [1, 1, 2, 3]
    assert carries(np.array([10**9 - 1]), np.array([1]), 9).tolist() == [[1] * 9]


def test_trace_and_answer_are_scored_apart():
    assert score(SIMPLIFIED, SIMPLIFIED, "simplified") == (True, True)
    wrong_trace = SIMPLIFIED.replace("A->9 , C->0", "A->8 , C->0")
    assert score(wrong_trace, SIMPLIFIED, "simplified") == (False, True)
    wrong_answer = DETAILED.replace("4 9 5\n", "4 9 6\n")
    assert score(wrong_answer, DETAILED, "detailed") == (True, False)
    assert score(DETAILED[:-1], DETAILED, "detailed") == (True, False)
    assert score("Input:\n", DETAILED, "detailed") == (False, False)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1+1=2\n", 2),
        ("1+1=02\n", 2),
        ("1+1=\n", None),
        ("1+1=2+\n", None),
        ("1+1=$2\n", None),
        ("1+1", None),
        ("1+1=٢\n", None),  # a digit, but none of the alphabet
    ],
)
def test_what_is_no_number_is_no_answer(text, answer):
    assert answer_of(text, "plain") == answer


def test_characters_are_named_and_digits_of_one_significance_share_a_row():
    names = labels("reverse", 2, wrapped=True, tokens=14)
    assert names[:4] == ("$", "a1", "a0", "+") and names[-2:] == ("end+1", "end+2")
    row, of_digit = rows(names, "coupled")
    by_name = dict(zip(names, row.tolist(), strict=True))
    assert by_name["a1"] == by_name["b1"] == by_name["s1"] == 1 + by_name["a0"]
    signs = [by_name[name] for name in ("$", "+", "=", "$ end", "end")]
    assert len(set(signs)) == 5 and max(signs) < by_name["a0"]
    assert row.max() == row_count(2, "coupled") - 1
    assert of_digit.sum() == 7
    abacus, _ = rows(names, "abacus")
    assert {int(r) for r, digit in zip(abacus, of_digit, strict=True) if not digit} == {
        0
    }
