"""Transformers written by hand, and how exactly they run SGD and ridge regression.

Claim: weights exist for which a transformer carries out a step of SGD (Theorem 1) or
of ridge regression (Theorem 2) as precisely as desired, in a constant number of layers,
with a width of order d or d^2.

Paper: Theorems 1 and 2 and their proofs in Akyürek et al. 2023 (claims 29-32).

Run: python -m experiments.akyurek2023.construction quick

How to read it: the first two panels show the largest error of a prediction against the
closed form, by dimension d for one step, and by number of steps. The next two show how
the error depends on the scale K of the multiplier and on the pads N that keep LayerNorm
harmless, with the slopes of the theory as thin lines. Below are depth and width as they
are built (points) and as the theorems say (lines; with 11 rows of constants, and
scratch for the products). The last panel shows what goes wrong if the proofs are
followed to the letter: the errors of the printed version of a program, run without
round-off, and of ours.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.akyurek2023 import construction_plot
from experiments.akyurek2023.construction_claims import claims
from experiments.akyurek2023.construction_flaws import FLAWS
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from icl import ModelConfig, Prompts, checks
from icl.baselines import GradientDescent, OnePassSGD, Ridge
from icl.baselines.base import Learner
from icl.constructed import (
    Constructed,
    Precision,
    gradient_step,
    ridge,
    ridge_step,
    sgd_step,
    sgd_steps,
)
from icl.sweeps.store import Models
from probes import probe_grid

Case = tuple[Constructed, Learner]
"""A constructed transformer, and the learner that it must be equal to."""

Build = Callable[[int, int, Precision], Case]
"""A function of (steps, dim, precision)."""

TIMES = {
    "tiny": "25 s",
    "quick": "75 s",
    "shipped": "75 s",
    "paper": "10 min on two cores, not measured",
}
RATE, ALPHA, DECAY = 0.05, 0.5, 0.1
DTYPES = ("float64", "float32")
PROBED = 400
"""The number of prompts for the probe: several for each of the 38 rows it reads."""


@dataclass(frozen=True)
class Config:
    """Settings of the constructions. No model is trained.

    Attributes:
        dims: the dimensions d, for one step.
        steps: the numbers of steps, in the dimension `sweep_dim`.
        sweep_dim: the dimension in which steps and scales are varied.
        prompts: the number of random tasks; errors are the largest over them.
        decades: the number of multiplier scales and pads per factor of ten.
        seed: the seed of the tasks.
    """

    dims: tuple[int, ...] = (2, 4, 8)
    steps: tuple[int, ...] = (1, 2, 4)
    sweep_dim: int = 4
    prompts: int = 20
    decades: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dims", "steps"):
            values = getattr(self, name)
            for value in values:
                checks.positive_int(name, value)
            if not values or list(values) != sorted(set(values)):
                raise ValueError(f"{name} must be ascending numbers, got {values}.")
        checks.normalise(self, checks.positive_int, "sweep_dim", "prompts", "decades")
        checks.positive_int("seed", self.seed, minimum=0)


PRESETS = {
    "tiny": Config(dims=(2,), steps=(1,), sweep_dim=2, prompts=3),
    "quick": Config(),
    "shipped": Config(),
    "paper": Config(steps=(1, 2, 4, 8), prompts=100, decades=2),
}


def _algorithms() -> dict[str, Build]:
    """Returns what builds a case from (steps, dim, precision), by algorithm."""

    def sgd(n: int, d: int, p: Precision) -> Case:
        model = sgd_steps(n, d, RATE, alpha=DECAY, precision=p)
        return model, OnePassSGD(RATE, DECAY)

    def descent(n: int, d: int, p: Precision) -> Case:
        model = gradient_step(d, RATE, length=3, precision=p)
        return model, GradientDescent(1, RATE)

    def one_pair(n: int, d: int, p: Precision) -> Case:
        return ridge_step(d, ALPHA, precision=p), Ridge(ALPHA)

    def pairs(n: int, d: int, p: Precision) -> Case:
        return ridge(n, d, ALPHA, precision=p), Ridge(ALPHA)

    return {
        "SGD": sgd,
        "GD, all pairs": descent,
        "ridge, one pair": one_pair,
        "ridge, n pairs": pairs,
    }


def _tasks(seed: int, batch: int, constructed: Constructed) -> Prompts:
    """Draws random tasks of the model's size, in float64."""
    rng = np.random.default_rng(seed)
    dim, length = constructed.program.dim, len(constructed.model.codec.slots)
    xs, w = rng.normal(size=(batch, length, dim)), rng.normal(size=(batch, dim))
    with jax.enable_x64(True):
        ys = np.einsum("bld,bd->bl", xs, w)
        return Prompts(jnp.asarray(xs), jnp.asarray(ys))


def _error(case: Case, config: Config, *, root_mean_square: bool = False) -> float:
    """Returns the error of the predictions at all context lengths, on random tasks."""
    constructed, learner = case
    prompts = _tasks(config.seed, config.prompts, constructed)
    with jax.enable_x64(True):
        expected = np.asarray(learner(prompts).predictions)
    # The first prediction is made from no pair, and both predict 0.
    error = np.abs(np.asarray(constructed(prompts).predictions) - expected)[:, 1:]
    return float(np.sqrt((error**2).mean()) if root_mean_square else error.max())


def _probed(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns where a linear probe finds ridge regression's w, and where it is held.

    The program is that of two pairs with d = 2. Both arrays have the shape (states,
    tokens): the R2 of the probe, and whether the program holds w there.
    """
    pairs, dim = 2, 2
    constructed = ridge(pairs, dim, ALPHA)
    prompts = _tasks(seed, PROBED, constructed)
    xs, ys = (np.asarray(array)[:, :pairs] for array in prompts[:2])
    moments, products = xs.swapaxes(1, 2) @ ys[..., None], xs.swapaxes(1, 2) @ xs
    w = np.linalg.solve(products + ALPHA * np.eye(dim), moments)[..., 0]
    grid = probe_grid(np.asarray(constructed(prompts).hidden), {"w": w})
    states = constructed.program.run(prompts)[..., constructed.program.rows["w"]]
    held = np.isclose(states, w[:, None], atol=1e-9).all(axis=(1, 3))
    return grid.r2.sel(target="w").values, np.asarray(held)


def compute(config: Config, _: Models) -> xr.Dataset:
    """Measures errors, sizes, and the printed programs beside the corrected ones.

    Returns:
        A Dataset with `error` over (algorithm, dim, dtype), `error_by_steps` over
        (iterated, steps, dtype), `layers` over (iterated, steps), `width` over
        (algorithm, dim), `width_by_length` over (length,), and `flaws` over (flaw,
        version); each error is the largest of a prediction. `error_by_multiplier` over
        (multiplier,) and `error_by_pad` over (pads, pad_scale) are root mean squares of
        the errors of one SGD step. `probe_r2` over (state, token) is how well a linear
        probe finds the w of ridge regression on two pairs, and `probe_held` says
        whether the program holds it there.
    """
    parts = [_by_size(config), _by_scale(config), _as_printed(config)]
    return xr.merge(parts).assign_attrs(sweep_dim=config.sweep_dim)


def _by_size(config: Config) -> xr.Dataset:
    """Returns errors, depths and widths by dimension, number of steps and length."""
    algorithms = _algorithms()

    @cache
    def measured(name: str, steps: int, dim: int) -> tuple[list[float], ModelConfig]:
        """Returns the errors of a construction by dtype, and its shape."""
        cases = [algorithms[name](steps, dim, Precision(dtype)) for dtype in DTYPES]
        return [_error(case, config) for case in cases], cases[0][0].model.config

    once = [[measured(name, 1, d) for d in config.dims] for name in algorithms]
    at, iterated, lengths = config.sweep_dim, ("SGD", "ridge, n pairs"), (2, 40)
    again = [[measured(name, n, at) for n in config.steps] for name in iterated]
    by_dim, by_steps = ("algorithm", "dim"), ("iterated", "steps")
    widths = [sgd_step(2, RATE, length=n).model.config.width for n in lengths]
    return xr.Dataset(
        {
            "error": ((*by_dim, "dtype"), [[e for e, _ in row] for row in once]),
            "width": (by_dim, [[shape.width for _, shape in row] for row in once]),
            "error_by_steps": (
                (*by_steps, "dtype"),
                [[e for e, _ in row] for row in again],
            ),
            "layers": (by_steps, [[shape.layers for _, shape in row] for row in again]),
            "width_by_length": (("length",), widths),
        },
        coords={
            "algorithm": list(algorithms),
            "iterated": list(iterated),
            "dim": list(config.dims),
            "steps": list(config.steps),
            "dtype": list(DTYPES),
            "length": list(lengths),
        },
    )


def _by_scale(config: Config) -> xr.Dataset:
    """Returns errors of an SGD step by the scale of its multiplier, and by its pads."""
    step, kinds = _algorithms()["SGD"], ("symmetric", "paper")

    def error(precision: Precision) -> float:
        """Returns the error of one SGD step at this precision."""
        case = step(1, config.sweep_dim, precision)
        return _error(case, config, root_mean_square=True)

    multipliers = np.logspace(1, 8, 7 * config.decades + 1)
    pads = np.logspace(2, 9, 7 * config.decades + 1)
    by_multiplier = [
        error(Precision(multiplier=scale, pad=1e6)) for scale in multipliers
    ]
    by_pad = [
        [error(Precision(pad=scale, pads=kind)) for scale in pads] for kind in kinds
    ]
    return xr.Dataset(
        {
            "error_by_multiplier": (("multiplier",), by_multiplier),
            "error_by_pad": (("pads", "pad_scale"), by_pad),
        },
        coords={"multiplier": multipliers, "pad_scale": pads, "pads": list(kinds)},
    )


def _as_printed(config: Config) -> xr.Dataset:
    """Returns errors of printed programs, and what a probe finds in a correct one."""
    found, held = _probed(config.seed)
    flaws = [[flaw.printed(), flaw.corrected()] for flaw in FLAWS]
    return xr.Dataset(
        {
            "flaws": (("flaw", "version"), flaws),
            "probe_r2": (("state", "token"), found),
            "probe_held": (("state", "token"), held),
        },
        coords={
            "flaw": [flaw.name for flaw in FLAWS],
            "version": ["printed", "corrected"],
        },
    )


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws errors above, and sizes and flaws below."""
    return construction_plot.draw(dataset)


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
