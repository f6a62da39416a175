"""Differences, products, sines and roots are written as the released generator does."""

import itertools
import math
import re
from fractions import Fraction

import jax
import numpy as np
import pytest

from icl import testing
from icl.arithmetic.operations import (
    OPERATIONS,
    layouts_of,
    operation_line,
    result_of,
)
from icl.codecs.matching import answer_numbers
from icl.tasks import Operation

COLUMNS = (
    "[1,2,8] - [3,6,7] , A=[] , C=0 , 8-7-0=1 , A->1 , C->0\n"
    "[1,2] - [3,6] , A=[1] , C=0 , 2-6-0+10=6 , A->6 , C->-1\n"
    "[1] - [3] , A=[6,1] , C=-1 , 1-3-1=-3 , A->-3 , C->-1\n"
    "[] - [] , A=[-3,6,1]\n"
    "-300+61=-239 , END\n</scratch>\n-2 3 9\n"
)
HEAD = "Input:\n128-367\nTarget:\n"
NEWTON = (
    "Input:\nsqrt(7.3174)\nTarget:\n<scratch>\nx_0=2\n"
    "x_1: 1/2*(2+7.3174/2)=2.8293, x_1=2.8293\n"
    "x_2: 1/2*(2.8293+7.3174/2.8293)=2.7077, x_2=2.7077\n"
    "x_3: 1/2*(2.7077+7.3174/2.7077)=2.705, x_3=2.705\n"
    "x_4: 1/2*(2.705+7.3174/2.705)=2.705, x_4=2.705 , END\n</scratch>\n2.705\n"
)
SERIES = (
    "Input:\nsin(0.7213)\nTarget:\n<scratch>\nx_0=0.7213\n"
    "x_1: x_0 - 1/3! * (x^3) , x_1=0.6587\n"
    "x_2: x_1 + 1/5! * (x^5) , x_2=0.6603\n"
    "x_3: x_2 - 1/7! * (x^7) , x_3=0.6602\n"
    "x_4: x_3 + 1/9! * (x^9) , x_4=0.6602 , END\n</scratch>\n0.6602\n"
)
LARGEST, MIXED = (199, 1_199, 9_999), range(0, 10_000, 397)
DIFFERENCE = ("subtraction", 128, 367)
PRODUCT = ("multiplication", 12, 36)


@pytest.mark.parametrize(
    ("operation", "layout", "line", "answer"),
    [
        (DIFFERENCE, "plain", "128-367=-239\n", "-239"),
        (DIFFERENCE, "reverse", "$128-367=932-$\n", "-239"),
        (
            DIFFERENCE,
            "simplified",
            f"{HEAD}A->1 , C->0\nA->6 , C->-1\nA->-3 , C->-1\n-300+61=-239.\n-239\n",
            "-239",
        ),
        (
            DIFFERENCE,
            "detailed",
            f"{HEAD}<scratch>\n[1,2,8] has 3 digits.\n[3,6,7] has 3 digits.\n{COLUMNS}",
            "-239",
        ),
        (PRODUCT, "plain", "12*36=432\n", "432"),
        (PRODUCT, "reverse", "$12*36=234$\n", "432"),
        (
            PRODUCT,
            "detailed",
            "Input:\n12*36\nTarget:\n<scratch>\n[1,2] has 2 digits.\n"
            "[3,6] has 2 digits.\n"
            "[1,2] * 6 , A=[7,2] , k=1 , B=[7,2] , C=0+72=72\n"
            "[1,2] * 3 , A=[3,6] , k=10 , B=[3,6,0] , C=72+360=432 , END\n"
            "</scratch>\n4 3 2\n",
            "432",
        ),
        (("sine", 7_213), "plain", "sin(0.7213)=0.6603\n", "0.6603"),
        (("sine", 7_213), "detailed", SERIES, "0.6602"),
        (("square root", 73_174), "plain", "sqrt(7.3174)=2.705\n", "2.705"),
        (("square root", 73_174), "detailed", NEWTON, "2.705"),
    ],
)
def test_lines_are_those_of_the_released_generator(operation, layout, line, answer):
    name, *operands = operation
    assert operation_line(name, layout, *operands) == line
    task = Operation(name, layout=layout)
    assert task.line(*operands) == line
    assert task.parse(line) == answer
    assert task.parse(line[:-1]) is None
    assert task.parse(line + "7\n") == answer


def test_roots_are_rounded_down_also_where_a_float_is_a_little_too_small():
    """sqrt(0.0049) is 0.07, and 0.06999... as a float."""
    for x in [*range(2_000), *range(2_000, 100_000, 7), 99_999]:
        _, root = operation_line("square root", "plain", x).split("=")
        whole = round(float(root) * 10_000)
        assert whole**2 <= x * 10_000 < (whole + 1) ** 2, x


@pytest.mark.parametrize("operation", ["sine", "square root"])
def test_every_step_of_a_working_is_the_exact_one_rounded_down(operation):
    for x in range(1, 15_000, 37):
        line = operation_line(operation, "detailed", x)
        said = [Fraction(part) for part in re.findall(r"x_\d=(-?[\d.]+)", line)]
        value = Fraction(x, 10_000)
        for number, (last, new) in enumerate(itertools.pairwise(said), 1):
            if operation == "sine":
                power = 2 * number + 1
                exact = last + (-1) ** number * value**power / math.factorial(power)
            else:
                exact = (last + value / last) / 2
            assert new == Fraction(math.floor(exact * 10_000), 10_000), (x, number)


def test_differences_and_products_of_two_digits_are_right_and_fit():
    for name, sign in (("subtraction", -1), ("multiplication", 1)):
        for layout in layouts_of(name):
            task, longest = Operation(name, 2, layout), 0
            for a, b in (divmod(each, 100) for each in (*LARGEST, *MIXED)):
                line = operation_line(name, layout, a, b)
                expected = a - b if sign < 0 else a * b
                assert result_of(line, layout) == str(expected)
                longest = max(longest, len(line))
            assert longest == task.length


@pytest.mark.parametrize("name", OPERATIONS)
def test_they_are_tasks_like_others(name):
    layout = layouts_of(name)[-1]
    task = Operation(name, digits=2, layout=layout, examples=200, loss_on="all")
    if name == "subtraction":
        testing.check_task(task)
    lines, drawn = task.test(300), task.sample(jax.random.key(0), batch=8)
    known = {*map(tuple, np.asarray(drawn.ids).tolist())}
    assert not known & {*map(tuple, np.asarray(lines.ids).tolist())}
    assert (answer_numbers(lines.answers).max(axis=1) == 0).all()
    ends = np.asarray(lines.weights).sum(axis=1).astype(int)
    for row in (0, 1, 299):
        text = task.codec.text(lines.ids[row])[: ends[row]]
        operands = [int(lines.latents[x][row, 0]) for x in "ab"]
        line = task.line(*operands[: 2 if name in OPERATIONS[:2] else 1])
        assert text == line
        assert task.parse(text) is not None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"operation": "division"}, "operation must be one of 'subtraction'"),
        ({"operation": "sine", "layout": "reverse"}, "layout must be one of 'plain'"),
        ({"digits": 5}, "digits must be an integer of at most 4"),
        ({"digits": 1, "examples": 100}, "examples must be an integer of at most 99"),
        ({"loss_on": "some"}, "loss_on must be one of"),
    ],
)
def test_what_cannot_be_is_refused(fields, said, untyped):
    with pytest.raises(ValueError, match=said):
        Operation(**fields)


def test_operands_out_of_range_are_refused(untyped):
    with pytest.raises(ValueError, match="a must be"):
        Operation(digits=2).line(100, 1)
    with pytest.raises(ValueError, match="b must be"):
        operation_line("subtraction", "plain", 1)
    with pytest.raises(ValueError, match="b must be None for a sine"):
        operation_line("sine", "plain", 1, 1)
    with pytest.raises(ValueError, match="a must be"):
        operation_line("square root", "plain", -1)
    with pytest.raises(ValueError, match="count must be"):
        Operation(digits=1, examples=90).test(11)
