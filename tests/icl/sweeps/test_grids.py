"""Grids are products of axes, and bad ones are refused."""

import doctest
from dataclasses import replace

import pytest
from sweep_cases import (
    BASE,
)

from icl import (
    LinearRegression,
    ModelConfig,
    sweeps,
)
from icl.sweeps import grids


def test_the_examples_say_what_they_print():
    assert doctest.testmod(grids).failed == 0


def test_the_last_axis_is_the_fastest():
    axes = {"model.layers": (1, 2), "seed": (0, 1), "task.dim,task.length": [(1, 3)]}
    made = sweeps.grid(BASE, axes)
    layers_and_seeds = [(s.model.layers, s.seed) for s in made]
    assert layers_and_seeds == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert {(s.task.dim, s.task.length) for s in made} == {(1, 3)}
    assert made[0] == replace(BASE, task=LinearRegression(dim=1, length=3))


def test_fields_of_one_part_change_at_once():
    """Neither width 6 nor 3 heads would be allowed with the other as it is."""
    (made,) = sweeps.grid(
        replace(BASE, model=ModelConfig(width=8, heads=4)),
        {"model.width": (6,), "model.heads": (3,)},
    )
    assert (made.model.width, made.model.heads) == (6, 3)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({}, "The grid has no axes; give one"),
        ({"seed": ()}, "axis 'seed' needs a sequence of values"),
        ({"task.inputs": "normal"}, "needs a sequence of values, got 'normal'"),
        ({"model.layer": (1,)}, r"no field 'model\.layer'\. Did you mean 'model\.lay"),
        ({"noise_std": (1,)}, r"no field 'noise_std'\. Did you mean 'task\.noise_std'"),
        ({"task": (1,)}, "no field 'task'"),
        ({"seed": (0, 1, 0)}, "'seed' has the value 0 twice"),
        ({"seed": (0,), "seed,model.layers": ((0, 1),)}, "'seed' is on two axes"),
        ({"seed,model.layers": ((0, 1, 2),)}, r"needs 2 values .* got \(0, 1, 2\)"),
        ({"model.width": (0,)}, "width must be an integer >= 1, got 0"),
    ],
)
def test_bad_grids_are_refused(axes, message):
    with pytest.raises(ValueError, match=message):
        sweeps.grid(BASE, axes)
