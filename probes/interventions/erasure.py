"""The erasure of a target from hidden states, in closed form (LEACE)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import ArrayLike

from probes import cautions
from probes.arrays import real, unit_size
from probes.interventions.states import closed, matrix, opened, row
from probes.label_checks import given_labels, real_labels
from probes.labels import coded


@dataclass(frozen=True, eq=False)
class Eraser:
    """The map h -> h - left @ right @ (h - mean), where right @ left = identity."""

    mean: Float64[np.ndarray, " features"]
    left: Float64[np.ndarray, "features rank"]
    right: Float64[np.ndarray, "rank features"]

    def __call__(
        self, hidden: Float[Any, "*axes features"]
    ) -> Float[Any, "*axes features"]:
        """Erases the target from every state.

        Raises:
            ValueError: states of another number of features, or that their dtype does
                not hold once they are changed.
        """
        states = opened("hidden", hidden, len(self.mean))
        read = (states - row(self.mean, states)) @ self.right.T.astype(states.dtype)
        return closed(
            "hidden", states - read @ self.left.T.astype(states.dtype), hidden
        )


def fit_eraser(hidden: ArrayLike, target: Any) -> Eraser:
    """Fits the map that erases a target from hidden states, in closed form (LEACE).

    The map is h -> h - P (h - mean), where P = W^+ Q W, W = Sigma_hh^(-1/2) whitens the
    states and Q projects orthogonally onto the columns of W Sigma_hz (Belrose et al.
    2023, Theorem 4.3). On the prompts that it is fitted to, the edited states have no
    covariance with the target, and no linear probe has an R2 above 0; on other prompts
    the best R2 is 0 up to an error that falls with the prompts per feature. Of all
    affine maps that do so this one changes states least in expected square, whatever
    inner product measures the change. A target with as many coordinates as features
    leaves nothing but the mean.

    Labels are erased as the columns of -1 and 1 that `probes.labels` makes of them.
    Then all classes have one mean, and for any convex loss no linear classifier does
    better than one that does not look at the states (Theorem 3.1): the shares of the
    labels are the best probabilities, and the most common label the best guess.

    Directions count as absent if their singular value is less than what rounding makes
    of nothing: machine epsilon of the states' dtype times their Frobenius norm, where
    each feature is measured in units of its own size.

    As a control, erase the target of other prompts:
    `fit_eraser(hidden, target[donors(groups, seed)])`. It takes away random directions
    of what varies, as many of them and, in units of the whitened states, as much. A
    control of the same Euclidean size is `random_change`.

    Args:
        hidden: states of the prompts to fit to, (prompts, features).
        target: what to erase: numbers, (prompts, q), or labels (integers, booleans or
            strings), (prompts,).

    Raises:
        ValueError: shapes that do not match, NaN or infinity, states or a target that
            do not vary, numbers of one axis.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> states = rng.normal(size=(100, 5)) @ rng.normal(size=(5, 5))
        >>> erased = fit_eraser(states, states[:, :2] ** 3)(states)
        >>> bool(abs(np.cov(erased.T, states[:, :2].T ** 3)[:5, 5:]).max() < 1e-10)
        True
        >>> sign = states[:, 0] > 0
        >>> erased = fit_eraser(states, sign)(states)
        >>> np.allclose(erased[sign].mean(axis=0), erased[~sign].mean(axis=0))
        True
    """
    given = real("hidden", hidden)
    states = matrix("hidden", given, "(prompts, features)")
    target = _columns(target)
    prompts, features = states.shape
    if len(target) != prompts:
        raise ValueError(
            f"target must have a row for each of the {prompts} prompts of hidden, got "
            f"{len(target)}."
        )
    if prompts <= features:
        cautions.warn(
            f"fit_eraser has {prompts} prompts for {features} features: it erases the "
            "target from these prompts, and hardly from others."
        )
    # What is computed in float64 is no more precise than that.
    dtype = np.result_type(given.dtype, np.float32)
    epsilon = float(max(np.finfo(dtype).eps, np.finfo(float).eps))
    # Squares of columns of unit size neither overflow nor vanish.
    states, exponents = unit_size(states, axis=0)
    found = _eraser(states, unit_size(target, axis=0)[0], epsilon)
    return Eraser(
        np.ldexp(found.mean, exponents[0]),
        np.ldexp(found.left, exponents.T),
        np.ldexp(found.right, -exponents),
    )


def _columns(target: Any) -> Float64[np.ndarray, "prompts q"]:
    """Returns what to erase as columns of numbers."""
    nested = isinstance(target, list | tuple) and target and np.ndim(target[0])
    if nested or getattr(target, "ndim", 1) != 1:
        return matrix("target", target, "(prompts, q)")
    labels = given_labels("target", target)
    if labels.dtype.kind == "f":
        raise ValueError(
            "target must hold numbers with axes (prompts, q), a scalar as "
            "values[:, None], or labels (integers, booleans or strings), (prompts,), "
            f"got {labels.dtype} of shape {labels.shape}."
        )
    labels = real_labels("target", labels)
    return coded(labels, np.unique(labels))


def _eraser(
    states: Float64[np.ndarray, "prompts features"],
    target: Float64[np.ndarray, "prompts q"],
    epsilon: float,
) -> Eraser:
    """Fits the eraser to states that were rounded to the relative error `epsilon`."""
    prompts = len(states)
    mean, deviations = _centred(states)
    # The map is the same in any units, and rounding is relative to each feature's size.
    units = np.linalg.norm(states, axis=0)
    units[units == 0] = 1.0
    u, size, v = np.linalg.svd(deviations / units, full_matrices=False)
    present = size > epsilon * np.linalg.norm(states / units)
    u, size, v = u[:, present], size[present] / np.sqrt(prompts), v[present]

    _, centred = _centred(target)
    norms = np.linalg.norm(centred, axis=0)
    varies = norms > 1e-12 * np.linalg.norm(target, axis=0)
    if not present.any() or not varies.any():
        raise ValueError("hidden and target must both vary over prompts.")
    correlation = u.T @ (centred[:, varies] / norms[varies])
    basis, strength, _ = np.linalg.svd(correlation, full_matrices=False)
    basis = basis[:, strength > prompts * np.finfo(float).eps]
    left, right = (v.T * size) @ basis, (basis.T / size) @ v
    return Eraser(mean, units[:, None] * left, right / units)


def _centred(
    values: Float64[np.ndarray, "prompts columns"],
) -> tuple[Float64[np.ndarray, " columns"], Float64[np.ndarray, "prompts columns"]]:
    """Returns the mean over prompts, and the values less it.

    The mean is taken twice: its rounding is a constant that all prompts share, which
    would otherwise look like one more direction in which they vary.
    """
    mean = values.mean(axis=0)
    rest = values - mean
    left = rest.mean(axis=0)
    return mean + left, rest - left
