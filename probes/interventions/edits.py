"""Three edits of hidden states: write a reading, swap prompts, change at random.

`probes.interventions` says what they are for, and when they mislead.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Shaped
from numpy.typing import ArrayLike

from probes import checks
from probes.arrays import real, real_or_jax
from probes.interventions.states import (
    closed,
    covariance_root,
    intercept_of,
    lengths,
    matrix,
    numbers,
    opened,
    row,
)


def write(
    hidden: Float[Any, "*axes features"],
    coef: ArrayLike,
    intercept: ArrayLike,
    values: Shaped[Any, "*#axes q"],
    *,
    covariance: ArrayLike | None = None,
) -> Float[Any, "*axes features"]:
    """Makes the least change after which coef @ h + intercept reads `values`.

    Args:
        hidden: hidden states.
        coef: coefficients of a linear probe, (q, features). The rows must be
            independent; nearly dependent rows need large changes.
        intercept: intercept of the probe, (q,).
        values: what the probe shall read; an axis of length 1 serves all states.
        covariance: covariance of the states, (features, features). Without it, the
            change d has the least Euclidean norm. With it, d has the least
            d' covariance^-1 d: states move along what varies together with the
            reading, as those of real prompts do.

    Returns:
        The edited states, in the shape and dtype of `hidden`.

    Raises:
        ValueError: shapes that do not match, NaN or infinity in what is known
            beforehand, dependent rows of coef, a matrix that is no covariance, or
            edited states that the dtype of `hidden` does not hold.

    Example:
        A ridge probe on standardised features is linear in the features themselves:

        >>> from sklearn.linear_model import Ridge
        >>> from sklearn.preprocessing import StandardScaler
        >>> states = np.random.default_rng(0).normal(3.0, 2.0, size=(50, 4))
        >>> scaler = StandardScaler().fit(states)
        >>> ridge = Ridge().fit(scaler.transform(states), states[:, :2] ** 3)
        >>> coef = ridge.coef_ / scaler.scale_
        >>> intercept = ridge.intercept_ - coef @ scaler.mean_
        >>> edited = write(states, coef, intercept, np.zeros((50, 2)))
        >>> bool(np.allclose(edited @ coef.T + intercept, 0))
        True
    """
    coef = matrix("coef", coef, "(q, features)")
    features = coef.shape[1]
    states = opened("hidden", hidden, features)
    intercept = intercept_of(intercept, len(coef))
    values = numbers("values", values)
    _check_values(values.shape, (*states.shape[:-1], len(coef)))
    root = np.eye(features)
    if covariance is not None:
        root = covariance_root(covariance, features)
    _refuse_dependent(coef @ root)
    lift = root @ np.linalg.pinv(coef @ root)
    reading = states @ coef.T.astype(states.dtype) + row(intercept, states)
    with np.errstate(over="ignore"):
        missing = values.astype(states.dtype) - reading
    return closed("hidden", states + missing @ lift.T.astype(states.dtype), hidden)


def _check_values(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """Refuses values that do not have these axes, or axes of length 1."""
    pairs = zip(shape, axes, strict=False)
    if len(shape) != len(axes) or any(n not in (1, axis) for n, axis in pairs):
        raise ValueError(
            f"values must have shape {axes} (or 1s) for these hidden and coef, got "
            f"{shape}."
        )


def _refuse_dependent(coef: Float64[np.ndarray, "q features"]) -> None:
    """Refuses coefficients that cannot read every value."""
    rank = np.linalg.matrix_rank(coef)
    if rank < len(coef):
        raise ValueError(
            f"coef has {len(coef)} rows of which only {rank} are independent (in "
            "directions that covariance knows, if it is given), so that not every "
            "value can be written; leave out coordinates that the probe does not read, "
            "or that others determine."
        )


def swap(
    hidden: Shaped[Any, "prompts tokens features"],
    donors: ArrayLike,
    tokens: Sequence[int] | None = None,
) -> Shaped[Any, "prompts tokens features"]:
    """Gives every prompt the state of another prompt at some tokens.

    Args:
        hidden: hidden states.
        donors: for every prompt the index of the prompt that gives it states,
            (prompts,), such as `probes.controls.donors(groups, seed)`.
        tokens: positions of the tokens, counted from the end where negative; None
            stands for all tokens.

    Returns:
        The edited states, in the shape and dtype of `hidden`.

    Raises:
        ValueError: other axes, or donors or tokens that do not exist.

    Example:
        >>> hidden = np.arange(4.0).reshape(2, 2, 1)
        >>> swap(hidden, [1, 0], tokens=[-1])[..., 0].tolist()
        [[0.0, 3.0], [2.0, 1.0]]
    """
    givers = real("donors", donors)
    states = real_or_jax("hidden", hidden)
    if states.ndim != 3 or givers.shape != states.shape[:1]:
        raise ValueError(
            "hidden must have axes (prompts, tokens, features) and donors an index for "
            f"each prompt, got shapes {states.shape} and {givers.shape}."
        )
    prompts, length, _ = states.shape
    givers = checks.indices("donors", givers, 0, prompts)
    chosen = range(length) if tokens is None else tokens
    swapped = np.zeros(length, bool)
    swapped[checks.indices("tokens", chosen, -length, length)] = True
    rows = np.where(swapped, givers[:, None], np.arange(prompts)[:, None])
    swapped_states = states[rows, np.broadcast_to(np.arange(length), rows.shape)]
    return closed("hidden", swapped_states, hidden)


def random_change(
    change: Float[Any, "*axes features"],
    *,
    seed: int,
    covariance: ArrayLike | None = None,
) -> Float[Any, "*axes features"]:
    """Returns changes as large as those given, in random directions.

    The control for any edit is `hidden + random_change(edited - hidden, seed=0)`. Each
    state's change keeps its own Euclidean norm, and so does the change of a whole
    prompt; a token that the edit left alone is left alone here too.

    Args:
        change: changes of states.
        seed: decides the directions.
        covariance: covariance of the states, (features, features). Without it,
            directions are uniform: states hardly vary in most of them, and the model
            may ignore them. With it, directions are drawn as states are, which is a
            stricter control.

    Raises:
        ValueError: a change of integers, a bad seed, a matrix that is no covariance.

    Example:
        >>> change = np.array([[3.0, 4.0], [0.0, 0.0]])
        >>> np.linalg.norm(random_change(change, seed=0), axis=1).round(12).tolist()
        [5.0, 0.0]
    """
    given = opened("change", change)
    features = given.shape[-1]
    # A stream of its own: a generator of this seed may have made the states.
    rng = np.random.default_rng([checks.seed(seed), 3])
    directions = rng.normal(size=given.shape)
    if covariance is not None:
        directions = directions @ covariance_root(covariance, features).T
    directions /= lengths(directions)
    return closed("change", directions.astype(given.dtype) * lengths(given), change)
