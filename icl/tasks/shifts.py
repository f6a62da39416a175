"""What does a learner do on prompts unlike those it was trained on?

A shift changes the inputs, labels or queries of prompts of a linear function, and says
what the right answers are then: the ten of Garg et al. (2022), section 4, and any other
of the same form. It needs no model:

    shifted = shifts.skewed(prompts, key)
    answers = inference.answers(LeastSquares(), shifted)   # a model's, or your own
    errors = shifted.errors(answers)

Where a shift has queries of its own, `queries[:, i]` is asked after the first i pairs,
so that one pass has the answers for all contexts. Directions are drawn for every prompt
(the released code draws them once for a whole evaluation, so that its interval leaves
their variance out).

Shapes: `xs` (batch, length, dim), `ys` (batch, length), `queries` (batch, length, dim),
errors (batch, length). Entry i is about the context of the first i pairs.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from icl import checks
from icl.prompts import Prompts, check_prompts
from icl.tasks.function_class import linear_values
from icl.tasks.laws import rotations

Vectors = Float[Array, "batch length dim"]


class Shifted(NamedTuple):
    """Shifted prompts, with what is asked after each context and what is right there.

    Attributes:
        prompts: the pairs of the context.
        queries: what is asked after the first i pairs, (batch, length, dim); None asks
            at x_i, as usual.
        truth: the right answers, (batch, length).
        variance: the number by which squared errors are divided: the mean square of an
            answer, or of a label without noise, so that predicting 0 has an error of
            about 1.
    """

    prompts: Prompts
    queries: Vectors | None
    truth: Float[Array, "batch length"]
    variance: float

    def errors(self, predictions: Any) -> Float[np.ndarray, "batch length"]:
        """Returns squared errors over `variance`, unaveraged.

        Raises:
            ValueError: predictions that are not one finite number for each answer, or a
                variance of 0, as where all weights are 0.
        """
        variance = checks.finite_number("variance", self.variance, positive=True)
        found = checks.array(
            "predictions", predictions, self.truth.shape, "(batch, length)"
        )
        return np.square(np.asarray(found, float) - np.asarray(self.truth)) / variance


Shift = Callable[[Prompts, Key[Array, ""]], Shifted]


def standard(prompts: Prompts, key: Key[Array, ""]) -> Shifted:
    """Returns the prompts as they are."""
    prompts = _linear(prompts, key)
    return _same_function(prompts, prompts.xs)


def half_subspace(prompts: Prompts, key: Key[Array, ""]) -> Shifted:
    """Returns x in a random subspace of d/2 dimensions, x = sqrt(2) P z.

    Least squares has the error max(0, 1 - 2 n / d) after n pairs, for an even d.

    Raises:
        ValueError: one dimension only.
    """
    prompts = _linear(prompts, key)
    xs, dim = prompts.xs, prompts.xs.shape[-1]
    if dim < 2:
        raise ValueError("half_subspace needs prompts of at least 2 dimensions, got 1.")
    basis = rotations(key, len(xs), dim)[:, :, : dim // 2]
    inside = _product(_product(xs, basis), jnp.swapaxes(basis, 1, 2))
    return _same_function(prompts, inside * (dim / (dim // 2)) ** 0.5)


def skewed(prompts: Prompts, key: Key[Array, ""]) -> Shifted:
    """Returns x whose covariance has eigenvalues proportional to 1 / i^2.

    Its axes are random, and its trace is d. The paper calls the eigenvalues 1 / i,
    which are those of the matrix that multiplies x.
    """
    prompts = _linear(prompts, key)
    xs, dim = prompts.xs, prompts.xs.shape[-1]
    scales = 1 / np.arange(1, dim + 1)
    scales = scales * (dim / np.square(scales).sum()) ** 0.5
    axes = rotations(key, len(xs), dim)
    stretched = _product(xs, axes) * jnp.asarray(scales, xs.dtype)[None, None]
    return _same_function(prompts, _product(stretched, jnp.swapaxes(axes, 1, 2)))


def scaled_inputs(factor: float) -> Shift:
    """Returns the shift that multiplies every x by a factor above 0."""
    factor = checks.finite_number("factor", factor, positive=True)
    return partial(_scaled_inputs, factor=factor)


def scaled_weights(factor: float) -> Shift:
    """Returns the shift that multiplies w, and with it every label, by a factor."""
    factor = checks.finite_number("factor", factor, positive=True)
    return partial(_scaled_weights, factor=factor)


def noisy(noise_std: float = 1.0, *, rescaled: bool = True) -> Shift:
    """Returns the shift that adds normal noise to all labels, also to those asked for.

    Args:
        noise_std: the standard deviation of the noise.
        rescaled: whether labels are then multiplied so that their mean square is what
            it was without noise. The released code divides by the deviation of the
            whole batch; here the factor is its expectation, sqrt(d / (d + s^2)) for
            w ~ N(0, I), so that prompts stay independent.
    """
    noise_std = checks.finite_number("noise_std", noise_std)
    rescaled = checks.flag("rescaled", rescaled)
    return partial(_noisy, noise_std=noise_std, rescaled=rescaled)


def random_quadrants(prompts: Prompts, key: Key[Array, ""]) -> Shifted:
    """Returns context inputs in one random orthant for each prompt, free queries.

    Least squares has the error 1 - n / d for n < d: the query is isotropic, whatever
    the context.
    """
    prompts = _linear(prompts, key)
    xs = prompts.xs
    signs_key, queries_key = jax.random.split(key)
    queries = jax.random.normal(queries_key, xs.shape, xs.dtype)
    return _asked(prompts, jnp.abs(xs) * _signs(signs_key, xs), queries)


def opposite_quadrants(prompts: Prompts, key: Key[Array, ""]) -> Shifted:
    """Returns context inputs in one random orthant, and queries in the opposite one."""
    prompts = _linear(prompts, key)
    xs = prompts.xs
    signs_key, queries_key = jax.random.split(key)
    signs = _signs(signs_key, xs)
    queries = -jnp.abs(jax.random.normal(queries_key, xs.shape, xs.dtype)) * signs
    return _asked(prompts, jnp.abs(xs) * signs, queries)


def orthogonal_query(prompts: Prompts, key: Key[Array, ""]) -> Shifted:
    """Returns queries orthogonal to all inputs of the context, with their old length.

    Nothing can be known about their labels, and predicting 0 is best. There are such
    queries for fewer than d pairs only: prompts are cut to d pairs, whose last is never
    in a context. (The released code goes on with queries of zeros and errors of 0.)
    """
    prompts = _linear(prompts, key)
    length = min(prompts.xs.shape[1:])
    xs = prompts.xs[:, :length]
    prompts = prompts._replace(xs=xs, ys=prompts.ys[:, :length])
    free = jax.random.normal(key, xs.shape, xs.dtype)
    axes, _ = jnp.linalg.qr(jnp.swapaxes(xs, 1, 2))  # (batch, dim, length)
    earlier = np.tri(length, k=-1, dtype=axes.dtype)[None]
    queries = free
    for _ in range(2):  # once leaves what is rounded off, which may be most of it
        along = jnp.einsum("bdj,bid->bij", axes, queries, precision="highest")
        within = jnp.einsum("bij,bdj->bid", along * earlier, axes, precision="highest")
        queries = _with_lengths_of(free, queries - within)
    return _asked(prompts, xs, queries)


def repeated_query(prompts: Prompts, key: Key[Array, ""]) -> Shifted:
    """Returns queries that are one of the inputs of the context, drawn for each n.

    Without a context x_1 is asked.
    """
    prompts = _linear(prompts, key)
    xs = prompts.xs
    batch, length, _ = xs.shape
    latest = np.maximum(np.arange(length), 1)
    lots = jax.random.uniform(key, (batch, length))
    chosen = jnp.floor(lots * latest[None, :]).astype(int)
    queries = jnp.take_along_axis(xs, chosen[..., None], axis=1)
    return _asked(prompts, xs, queries)


def _linear(prompts: Prompts, key: Key[Array, ""]) -> Prompts:
    """Returns prompts that are known to be of a linear function, as JAX arrays.

    Raises:
        ValueError: the prompts do not hold their weights, or this is no typed key.
    """
    checks.typed_key("key", key)
    prompts = check_prompts(prompts)
    if prompts.weights is None:
        raise ValueError(
            "prompts must hold the weights of their functions, so that shifted inputs "
            "get labels; they are of a task whose functions are not linear, or of your "
            "own data."
        )
    return prompts


def _finite(prompts: Prompts) -> Prompts:
    """Returns shifted prompts, and refuses numbers that have become infinite."""
    for name in ("xs", "ys", "weights"):
        checks.all_finite(f"shifted {name}", getattr(prompts, name))
    return prompts


def _values(prompts: Prompts, xs: Vectors) -> Float[Array, "batch length"]:
    """Returns w.x."""
    assert prompts.weights is not None
    return linear_values(prompts.weights, xs)


def _variance(prompts: Prompts, xs: Vectors) -> float:
    """Returns E (w.x)^2 for w ~ N(0, c I), with the sizes of these x and these w."""
    weights = np.square(np.asarray(prompts.weights, float)).mean()
    return float(weights * np.square(np.asarray(xs, float)).sum(axis=-1).mean())


def _same_function(prompts: Prompts, xs: Vectors) -> Shifted:
    """Returns prompts with other inputs, the same functions and no noise."""
    ys = _values(prompts, xs)
    shifted = _finite(prompts._replace(xs=xs, ys=ys))
    return Shifted(shifted, None, ys, _variance(prompts, xs))


def _asked(prompts: Prompts, xs: Vectors, queries: Vectors) -> Shifted:
    """Returns prompts with other inputs and queries, and the same functions."""
    context = _same_function(prompts, xs).prompts
    truth = _values(prompts, queries)
    checks.all_finite("shifted answers", truth)
    return Shifted(context, queries, truth, _variance(prompts, queries))


def _scaled_inputs(prompts: Prompts, key: Key[Array, ""], *, factor: float) -> Shifted:
    prompts = _linear(prompts, key)
    return _same_function(prompts, prompts.xs * factor)


def _scaled_weights(prompts: Prompts, key: Key[Array, ""], *, factor: float) -> Shifted:
    prompts = _linear(prompts, key)
    assert prompts.weights is not None
    scaled = prompts._replace(weights=prompts.weights * factor)
    return _same_function(scaled, prompts.xs)


def _noisy(
    prompts: Prompts, key: Key[Array, ""], *, noise_std: float, rescaled: bool
) -> Shifted:
    clean = standard(prompts, key)
    ys = clean.truth
    ys = ys + noise_std * jax.random.normal(key, ys.shape, ys.dtype)
    if rescaled and noise_std:
        clean_std = clean.variance**0.5
        ys = ys * (clean_std / math.hypot(clean_std, noise_std))
    shifted = _finite(clean.prompts._replace(ys=ys))
    return Shifted(shifted, None, ys, clean.variance)


def _with_lengths_of(like: Vectors, xs: Vectors) -> Vectors:
    ratio = jnp.linalg.norm(like, axis=-1) / jnp.linalg.norm(xs, axis=-1)
    return xs * ratio[..., None]


def _signs(key: Key[Array, ""], xs: Vectors) -> Float[Array, "batch 1 dim"]:
    batch, _, dim = xs.shape
    return jax.random.rademacher(key, (batch, 1, dim), xs.dtype)


def _product(
    xs: Float[Array, "batch length d"], matrices: Float[Array, "batch d e"]
) -> Float[Array, "batch length e"]:
    return jnp.einsum("bld,bde->ble", xs, matrices, precision="highest")


SHIFTS: Mapping[str, Shift] = {
    "none": standard,
    "half subspace": half_subspace,
    "skewed": skewed,
    **{f"x times {s:.3g}": scaled_inputs(s) for s in (1 / 3, 1 / 2, 2.0, 3.0)},
    **{f"w times {s:.3g}": scaled_weights(s) for s in (1 / 3, 1 / 2, 2.0, 3.0)},
    "noisy labels": noisy(1.0),
    "random quadrants": random_quadrants,
    "opposite quadrants": opposite_quadrants,
    "orthogonal query": orthogonal_query,
    "query in the context": repeated_query,
}
"""The shifts of Garg et al. (2022), by name."""
