"""The result that both codes give, and what both check."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from probes import checks
from probes.arrays import real

# The least variance of an error, as a share of the target's.
FLOOR = 1e-12


class Codelength(NamedTuple):
    """The bits that a target costs and that features save, summed over coordinates.

    Attributes:
        bits: bits of the target given the features; they depend on the target's unit.
        intercept_bits: bits of the target given an intercept alone.
        saved: intercept_bits - bits.
        saved_per_prompt: saved / prompts.
        low: lower end of the 95 % interval of `saved_per_prompt`; NaN for the evidence,
            which is no sum over prompts.
        high: upper end of that interval.
        saved_per_coordinate: saved bits by coordinate, (q,).
    """

    bits: float
    intercept_bits: float
    saved: float
    saved_per_prompt: float
    low: float
    high: float
    saved_per_coordinate: Float[np.ndarray, " q"]


def summed(
    bits: float,
    intercept_bits: float,
    saved: Float[np.ndarray, " q"],
    prompts: int,
    low: float,
    high: float,
) -> Codelength:
    """Returns the result, with the sums that follow from its parts."""
    total = float(saved.sum())
    return Codelength(
        float(bits), float(intercept_bits), total, total / prompts, low, high, saved
    )


def paired(
    features: ArrayLike, target: ArrayLike
) -> tuple[Float[np.ndarray, "prompts features"], Float[np.ndarray, "prompts q"]]:
    """Returns features and target as arrays that fit each other."""
    x = real("features", features).astype(float)
    y = real("target", target).astype(float)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or 0 in x.shape + y.shape:
        raise ValueError(
            "features and target must have shapes (prompts, features) and (prompts, "
            f"q), got {x.shape} and {y.shape}."
        )
    for name, array in (("features", x), ("target", y)):
        checks.finite(name, array)
        checks.squarable(name, array)
    return x, y


def refuse_constants(variance: np.ndarray, target: np.ndarray, where: str) -> None:
    """Refuses coordinates that do not vary."""
    constant = np.flatnonzero(variance <= 1e-24 * (target**2).mean(axis=0))
    if len(constant):
        raise ValueError(
            f"target must vary {where}, but coordinates {constant.tolist()} do not; "
            "leave them out."
        )
