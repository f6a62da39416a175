"""Does the model use what a probe reads?

That a quantity can be read out does not show that anything downstream reads it. Here a
hidden state is edited; the model resumes its forward pass from there; and one looks at
what became of its predictions. Four edits:

- `write`: the least change after which a linear probe reads what it is told.
- `fit_eraser`: after it, no linear probe reads anything of a target.
- `swap`: the state at some tokens comes from another prompt (activation patching).
- `random_change`: as large as an edit, in random directions. What it does to the
  predictions is the part of an effect that says nothing about the target.

and one measure, `movement`: how far predictions moved toward what was written. Shapes:
hidden (..., features), such as (prompts, tokens, features): edits act on the last axis,
every state by itself; to edit several tokens together, flatten them to (prompts,
tokens * features). NumPy in, NumPy out; JAX in, JAX out, also under `jax.jit`, where
all but states and the values to write must be known beforehand. Matrices are prepared
in float64 and applied in the dtype of the state: on accelerators that round products,
apply them under `jax.default_matmul_precision("highest")`.

When they mislead:

- An edit can leave the region in which states lie, and what the model does there may
  have nothing to do with what it does else. `covariance` keeps changes typical.
- The coef of a probe is not where the target is encoded: where features are correlated
  it also points at what has to be subtracted (Haufe et al. 2014), and a change along it
  may move the reading and little that the model looks at.
- Erasing is linear and local. A non-linear code stays, and so does a copy at another
  token, from which attention restores it. Erasing has been found less complete than
  writing (Canby et al. 2024); an error that stays low after it shows little.
- Predictions that follow what is written show that the direction *can* drive them, not
  that it does so in prompts that nobody edited.

Sources: Belrose et al. 2023, "LEACE: Perfect linear concept erasure in closed form";
Canby et al. 2024, "How reliable are causal probing interventions?"; Haufe et al. 2014,
"On the interpretation of weight vectors of linear models in multivariate neuroimaging".
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Shaped
from numpy.typing import ArrayLike

from probes import checks, scores

RESAMPLES = 1_000


def write(
    hidden: Float[Any, "*axes features"],
    coef: ArrayLike,
    intercept: ArrayLike,
    values: Shaped[Any, "*#axes q"],
    *,
    covariance: ArrayLike | None = None,
) -> Float[Any, "*axes features"]:
    """The least change after which coef @ h + intercept reads `values`.

    Args:
        hidden: hidden states.
        coef: of a linear probe, (q, features), its rows independent; nearly dependent
            ones take large changes.
        intercept: (q,).
        values: what the probe shall read; an axis of length 1 serves all.
        covariance: of the states, (features, features). None: the change d with the
            least Euclidean norm. Otherwise the least d' covariance^-1 d, which moves
            along what varies together with the reading, as prompts themselves do.

    Raises:
        ValueError: shapes that do not match, NaN or infinity in what is known
            beforehand, dependent rows of coef, a covariance that is none.

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
    coef = _matrix("coef", coef, "(q, features)")
    q, features = coef.shape
    _check_states(hidden, features)
    checks.finite("intercept", intercept)
    intercept = np.asarray(intercept, float)
    if intercept.shape != (q,):
        raise ValueError(
            f"intercept must hold one number for each of the {q} rows of coef, got "
            f"shape {intercept.shape}."
        )
    axes = (*hidden.shape[:-1], q)
    shape = np.shape(values)
    pairs = zip(shape, axes, strict=False)
    if len(shape) != len(axes) or any(n not in (1, axis) for n, axis in pairs):
        raise ValueError(f"values must have shape {axes} (or 1s), got {shape}.")
    root = np.eye(features) if covariance is None else _root(covariance, features)
    rank = np.linalg.matrix_rank(coef @ root)
    if rank < q:
        raise ValueError(
            f"coef has {q} rows of which only {rank} are independent, so that not "
            "every value can be written; leave out coordinates that the probe does "
            "not read, or that others determine."
        )
    lift = root @ np.linalg.pinv(coef @ root)
    reading = hidden @ coef.T.astype(hidden.dtype) + _row(intercept, hidden)
    missing = values.astype(hidden.dtype) - reading
    return hidden + missing @ lift.T.astype(hidden.dtype)


@dataclass(frozen=True, eq=False)
class Eraser:
    """h -> h - left @ right @ (h - mean); right @ left is the identity."""

    mean: Float64[np.ndarray, " features"]
    left: Float64[np.ndarray, "features rank"]
    right: Float64[np.ndarray, "rank features"]

    def __call__(
        self, hidden: Float[Any, "*axes features"]
    ) -> Float[Any, "*axes features"]:
        """Erases the target from every state."""
        _check_states(hidden, len(self.mean))
        read = (hidden - _row(self.mean, hidden)) @ self.right.T.astype(hidden.dtype)
        return hidden - read @ self.left.T.astype(hidden.dtype)


def fit_eraser(hidden: ArrayLike, target: ArrayLike) -> Eraser:
    """Erasure of a target from hidden states in closed form (LEACE).

    h -> h - P (h - mean), where P = W^+ Q W, W = Sigma_hh^(-1/2) whitens the states and
    Q projects orthogonally onto the columns of W Sigma_hz (Belrose et al. 2023,
    Theorem 4.3). On the prompts it is fitted to, the edited states have no covariance
    with the target, and no linear probe has R2 above 0; on others it is 0 up to an
    error that falls with the prompts per feature. Of all affine maps that do so it
    changes states least in expected square, whatever inner product measures the change.
    A target with as many coordinates as features leaves nothing but the mean.

    Directions whose singular value is less than rounding the states makes of nothing
    (machine epsilon of their dtype times their Frobenius norm) count as absent.

    As control, erase the target of other prompts:
    `fit_eraser(hidden, target[donors(groups, seed)])`. It takes away random directions
    of what varies, as many and, in units of the whitened states, as much. For the same
    Euclidean size there is `random_change`.

    Args:
        hidden: states of the prompts to fit to, (prompts, features).
        target: (prompts, q).

    Raises:
        ValueError: shapes that do not match, NaN or infinity, states or a target that
            do not vary.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> states = rng.normal(size=(100, 5)) @ rng.normal(size=(5, 5))
        >>> erased = fit_eraser(states, states[:, :2] ** 3)(states)
        >>> bool(abs(np.cov(erased.T, states[:, :2].T ** 3)[:5, 5:]).max() < 1e-10)
        True
    """
    given = np.asarray(hidden)
    states = _matrix("hidden", given, "(prompts, features)")
    target = _matrix("target", target, "(prompts, q)")
    prompts, features = states.shape
    if len(target) != prompts:
        raise ValueError(
            f"target must have a row for each of the {prompts} prompts of hidden, got "
            f"{len(target)}."
        )
    if prompts <= features:
        warnings.warn(
            f"fit_eraser has {prompts} prompts for {features} features: it erases the "
            "target from these prompts, and hardly from others.",
            stacklevel=2,
        )
    mean = states.mean(axis=0)
    u, size, v = np.linalg.svd(states - mean, full_matrices=False)
    epsilon = np.finfo(np.result_type(given.dtype, np.float32)).eps
    present = size > epsilon * np.linalg.norm(states)
    u, size, v = u[:, present], size[present] / np.sqrt(prompts), v[present]

    centred = target - target.mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)
    varies = norms > 1e-12 * np.linalg.norm(target, axis=0)
    if not present.any() or not varies.any():
        raise ValueError("hidden and target must both vary over prompts.")
    correlation = u.T @ (centred[:, varies] / norms[varies])
    basis, strength, _ = np.linalg.svd(correlation, full_matrices=False)
    basis = basis[:, strength > prompts * np.finfo(float).eps]
    return Eraser(mean, (v.T * size) @ basis, (basis.T / size) @ v)


def swap(
    hidden: Shaped[Any, "prompts tokens features"],
    donors: ArrayLike,
    tokens: Sequence[int] | None = None,
) -> Shaped[Any, "prompts tokens features"]:
    """Gives every prompt the state of another one at some tokens.

    Args:
        hidden: hidden states.
        donors: for every prompt the index of the one it gets states from, (prompts,),
            such as `probes.controls.donors(groups, seed)`.
        tokens: positions, negative ones from the end; None is all.

    Raises:
        ValueError: other axes, donors or tokens that are not there.

    Example:
        >>> hidden = np.arange(4.0).reshape(2, 2, 1)
        >>> swap(hidden, [1, 0], tokens=[-1])[..., 0].tolist()
        [[0.0, 3.0], [2.0, 1.0]]
    """
    givers = np.asarray(donors)
    if len(np.shape(hidden)) != 3 or givers.shape != (len(hidden),):
        raise ValueError(
            "hidden must have axes (prompts, tokens, features) and donors an index for "
            f"each prompt, got shapes {np.shape(hidden)} and {givers.shape}."
        )
    prompts, length, _ = hidden.shape
    givers = _indices("donors", givers, 0, prompts)
    chosen = range(length) if tokens is None else tokens
    swapped = np.zeros(length, bool)
    swapped[_indices("tokens", chosen, -length, length)] = True
    rows = np.where(swapped, givers[:, None], np.arange(prompts)[:, None])
    return hidden[rows, np.broadcast_to(np.arange(length), rows.shape)]


def random_change(
    change: Float[Any, "*axes features"],
    *,
    seed: int,
    covariance: ArrayLike | None = None,
) -> Float[Any, "*axes features"]:
    """Changes as large as those given, in random directions.

    The control for any edit is `hidden + random_change(edited - hidden, seed=0)`. Each
    state's change keeps its own Euclidean norm, hence so do those of a prompt
    together, and a token that was left alone is left alone here. Directions are uniform
    by default: most are such as states hardly vary in, and the model may ignore them.
    With the `covariance` of the states, (features, features), they are drawn as states
    are, a stricter control.

    Raises:
        ValueError: a change of integers, a bad seed, a covariance that is none.

    Example:
        >>> change = np.array([[3.0, 4.0], [0.0, 0.0]])
        >>> np.linalg.norm(random_change(change, seed=0), axis=1).round(12).tolist()
        [5.0, 0.0]
    """
    features = np.shape(change)[-1]
    _check_states(change, features, "change")
    # A stream of its own: a generator of this seed may have made the states.
    rng = np.random.default_rng([checks.seed(seed), 3])
    directions = rng.normal(size=change.shape)
    if covariance is not None:
        directions = directions @ _root(covariance, features).T
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    norms = (change**2).sum(axis=-1, keepdims=True) ** 0.5
    return directions.astype(change.dtype) * norms


class Movement(NamedTuple):
    """after = toward * wanted + kept * before, in least squares over prompts.

    Each (contexts,), or () for predictions of one axis; with 95 % intervals.
    """

    toward: Float[np.ndarray, "*contexts"]
    toward_low: Float[np.ndarray, "*contexts"]
    toward_high: Float[np.ndarray, "*contexts"]
    kept: Float[np.ndarray, "*contexts"]
    kept_low: Float[np.ndarray, "*contexts"]
    kept_high: Float[np.ndarray, "*contexts"]


def movement(
    before: ArrayLike, after: ArrayLike, wanted: ArrayLike, *, seed: int = 0
) -> Movement:
    """How far did predictions move toward what was written?

    Predictions that follow an edit wholly have toward 1 and kept 0; those that ignore
    it, 0 and 1; those that it wipes out, 0 and 0. Both come from one regression without
    intercept. The slope of after - before on wanted - before would do if toward + kept
    were 1. Where it is not, it misleads: wiping out reaches 1/2, and what the model
    predicts beside the weights' share (an error that stays as it was) takes from
    that slope; here it goes into kept.

    Values to be written should be drawn independently of the prompt's own. Where
    wanted and before are proportional over prompts, as when -w is written for w, they
    cannot be told apart: NaN. Where before is 0, toward is the slope on wanted and kept
    is NaN.

    Args:
        before: predictions without the edit, (prompts,) or (prompts, contexts).
        after: predictions with it.
        wanted: what the written weights predict at the same inputs.
        seed: of the bootstrap.

    Raises:
        ValueError: shapes that differ, NaN or infinity, fewer than two prompts.

    Example:
        >>> before, wanted = np.random.default_rng(0).normal(size=(2, 100))
        >>> half = movement(before, (before + wanted) / 2, wanted)
        >>> float(half.toward.round(12)), float(half.kept.round(12))
        (0.5, 0.5)
    """
    arrays = {"before": before, "after": after, "wanted": wanted}
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    shape = shapes["before"]
    if len(set(shapes.values())) > 1 or len(shape) not in (1, 2) or shape[0] < 2:
        raise ValueError(
            "before, after and wanted must have one shape, (prompts,) or (prompts, "
            f"contexts), with at least 2 prompts, got {shapes}."
        )
    for name, array in arrays.items():
        checks.finite(name, array)
    columns = (shape[0], -1)
    b, a, w = (np.asarray(each, float).reshape(columns) for each in arrays.values())
    rng = np.random.default_rng([checks.seed(seed), 0])
    counts = rng.multinomial(len(b), np.full(len(b), 1 / len(b)), RESAMPLES)
    weights = np.vstack([np.ones(len(b)), counts])
    slopes = _two_slopes(
        *(weights @ each for each in (w * w, b * b, w * b, w * a, b * a))
    )
    numbers = ((each[0], *scores.interval(each[1:].T)) for each in slopes)
    return Movement(*(n.reshape(shape[1:]) for each in numbers for n in each))


def _two_slopes(
    ww: np.ndarray, bb: np.ndarray, wb: np.ndarray, wa: np.ndarray, ba: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes of a on w and b, from sums of products; NaN where w and b are parallel."""
    with np.errstate(invalid="ignore", divide="ignore"):
        determinant = ww * bb - wb**2
        determinant = np.where(determinant > 1e-9 * ww * bb, determinant, np.nan)
        toward = np.where(bb == 0, wa / ww, (bb * wa - wb * ba) / determinant)
        return toward, (ww * ba - wb * wa) / determinant


def _check_states(hidden: Any, features: int, name: str = "hidden") -> None:
    shape = np.shape(hidden)
    if not shape or shape[-1] != features:
        raise ValueError(
            f"{name} must have {features} features on its last axis, got shape {shape}."
        )
    if hidden.dtype.kind in "biu":
        raise ValueError(
            f"{name} must hold floating-point numbers, got {hidden.dtype}."
        )


def _matrix(name: str, values: ArrayLike, axes: str) -> Float64[np.ndarray, "_ _"]:
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must have axes {axes}, got shape {array.shape}.")
    checks.finite(name, array)
    return array


def _indices(name: str, values: Any, low: int, high: int) -> np.ndarray:
    array = np.asarray(values)
    whole = array.size == 0 or np.issubdtype(array.dtype, np.integer)
    if not whole or (array < low).any() or (array >= high).any():
        raise ValueError(f"{name} must be integers in [{low}, {high}), got {values!r}.")
    return array.astype(int)


def _root(covariance: ArrayLike, features: int) -> Float64[np.ndarray, "f f"]:
    """R with R @ R.T = covariance."""
    matrix = _matrix("covariance", covariance, "(features, features)")
    if matrix.shape != (features, features):
        raise ValueError(
            f"covariance must have shape ({features}, {features}), got {matrix.shape}."
        )
    values, vectors = np.linalg.eigh(matrix)
    # Computed in float32, some may lie a little below 0.
    if not np.allclose(matrix, matrix.T) or not -values[0] < 1e-5 * values[-1]:
        raise ValueError(
            "covariance must be symmetric with eigenvalues >= 0, not all 0, got some "
            f"from {values[0]:.3g} to {values[-1]:.3g}; np.cov(states.T) gives one."
        )
    return vectors * np.sqrt(np.maximum(values, 0))


def _row(vector: np.ndarray, like: Any) -> np.ndarray:
    """The vector as it broadcasts against states, with as many axes and their dtype."""
    return vector.reshape((1,) * (like.ndim - 1) + (-1,)).astype(like.dtype)
