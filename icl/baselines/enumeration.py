"""How are all functions of a pool gone through, for every prefix of many prompts?

Function m has the exponent log p_m + sum_{j < i} log of the density of y_j - f_m(x_j)
after i pairs, and its share in a mean is the power of it. The functions are drawn part
by part, each part once for all prompts, with the largest exponent so far taken out of
every sum: 2^20 functions need little memory, and no exponent overflows. How large a
part is follows from the sizes of the arrays that a class of functions makes
(`sizes`).

A program is compiled for a class of functions and a number of parts, whatever the seed
and the probabilities of the pool are.

Shapes: those of `icl.baselines.base`.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from icl.tasks.base import with_values
from icl.tasks.laws import DEGREES, Law
from icl.tasks.pools import Pool, as_floats

FUNCTIONS, PROMPTS = 2**10, 2**8
"""The largest numbers of functions and of prompts that are looked at together."""

BYTES = 2**24
"""The largest array that is made at a time, unless one function alone needs a larger
one. A few of them are held."""

NEVER = -1e30
"""An exponent whose power is 0, and which is finite: differences are numbers."""

EXCLUDED = -200.0
"""What a label that bounded noise cannot have made adds to the exponent."""

SLACK = 1e-5
"""By which share of a label and of the deviation rounding may move bounded noise."""

UNROLLED = 32
"""Up to this dimension w.x is written out: one loop is then quicker than a product."""

WIDE = {"xla_cpu_prefer_vector_width": 512}
"""Options under which XLA's loops take two thirds of the time, where a CPU has them."""


class Means(NamedTuple):
    """Weighted means over a pool.

    Attributes:
        weights: of the functions' weights; of no entries where they have none.
        answers: of what the functions say about the queries; 0 for linear functions,
            whose weights say it.
    """

    weights: Float[Array, "batch length width"]
    answers: Float[Array, "batch length"]


class _Sums(NamedTuple):
    """Weighted sums over the functions so far, relative to the largest exponent.

    Attributes:
        largest: the largest exponent.
        table: of the functions' weights, if they are linear, and of 1.
        answers: of what they say about the query, if they are not.
    """

    largest: Float[Array, "*parts length batch"]
    table: Float[Array, "*parts length batch columns"]
    answers: Float[Array, "*parts length batch"]


class _Plan(NamedTuple):
    """What a program is compiled for, beside the shapes of the prompts."""

    pool: Pool  # of size 1, seed 0 and no probabilities
    law: Law
    functions: int  # in a part of the pool
    parts: int


def means(
    pool: Pool,
    law: Law,
    noise_std: float,
    xs: Float[Array, "batch length dim"],
    ys: Float[Array, "batch length"],
    queries: Float[Array, "batch length dim"] | None = None,
) -> Means:
    """Returns the means of functions and of their answers, weighted by the posterior.

    Args:
        pool: the functions, and how probable they are.
        law: the law of the noise.
        noise_std: its standard deviation.
        xs: the inputs.
        ys: the labels.
        queries: where answers are asked for after the pairs before; None is at xs.
    """
    functions, prompts = sizes(pool, xs.shape[2])
    parts = -(-len(xs) // prompts)
    prompts = -(-len(xs) // parts)  # the parts are as even as can be
    plain = replace(pool, size=1, seed=0, probabilities=None)
    plan = _Plan(plain, law, functions, -(-pool.size // functions))

    def in_parts(array: Array) -> Array:
        missing = parts * prompts - len(xs)
        padded = jnp.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))
        return padded.reshape(parts, prompts, *array.shape[1:])

    arrays = jax.tree.map(in_parts, (xs, ys, queries))
    numbers = np.uint32(pool.seed), np.int32(pool.size), _log_prior(pool, plan)
    found = _program(arrays)(plan, xs.dtype.type(noise_std), numbers, arrays)
    count = parts * prompts
    return jax.tree.map(lambda a: a.reshape(count, *a.shape[2:])[: len(xs)], found)


def log_density(
    law: Law, z: Float[Array, "batch functions"], labels: Float[Array, "batch 1"]
) -> Float[Array, "batch functions"]:
    """Returns the log density of noise of deviation 1, up to a constant.

    Uniform noise is within (-sqrt 3, sqrt 3); `EXCLUDED` stands for what is not. The
    labels, in units of the deviation, say how far rounding may go.
    """
    if law == "laplace":
        return -(2.0**0.5) * jnp.abs(z)
    if law == "student":
        return -(DEGREES + 1) / 2 * jnp.log1p(z * z / (DEGREES - 2))
    if law == "uniform":
        bound = 3.0**0.5 + SLACK * (1 + jnp.abs(labels))
        return jnp.where(jnp.abs(z) <= bound, 0.0, EXCLUDED)
    return -0.5 * z * z


def sizes(pool: Pool, dim: int) -> tuple[int, int]:
    """Returns how many functions and how many prompts are looked at together.

    The largest array for so many of both has at most `BYTES`. Pools of few functions
    are looked at as if they had a power of 2, so that they share programs.
    """
    functions = min(FUNCTIONS, 1 << (pool.size - 1).bit_length())
    one = jax.ShapeDtypeStruct((1,), jnp.int32)
    drawn = _largest_array(pool.members, one)
    functions = max(1, min(functions, BYTES // drawn))
    said = 4  # bytes of w.x
    if not pool.linear:
        x = jax.ShapeDtypeStruct((1, 1, dim), jnp.float32)
        said = _largest_array(pool.values, jax.eval_shape(pool.members, one), x)
    return functions, max(1, min(PROMPTS, BYTES // (functions * said)))


def _largest_array(function: Callable[..., Any], *shapes: Any) -> int:
    """Returns the bytes of the largest array that a function makes."""
    traced = jax.make_jaxpr(function)(*shapes)
    return max((_bytes(each) for each in _made(traced.jaxpr)), default=1)


def _made(program: Any) -> Iterator[Any]:
    """Yields the arrays that a program makes, also inside of what it calls."""
    for line in program.eqns:
        yield from (each.aval for each in line.outvars)
        for value in jax.tree.leaves(list(line.params.values())):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from _made(inner)


def _bytes(array: Any) -> int:
    return array.size * getattr(array.dtype, "itemsize", 4)


def _log_prior(pool: Pool, plan: _Plan) -> Float[np.ndarray, " padded"] | None:
    """Returns the log of every probability, filled up; None if all are the same."""
    if pool.probabilities is None:
        return None
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log(np.asarray(pool.probabilities)), NEVER)
    missing = plan.functions * plan.parts - pool.size
    return np.pad(logs, (0, missing), constant_values=NEVER).astype(np.float32)


def _enumerated(
    plan: _Plan,
    noise_std: Float[Array, ""] | float,
    numbers: tuple[Any, Any, Float[Array, " padded"] | None],
    arrays: tuple[Array, Array, Array | None],
) -> Means:
    """Returns the means of all parts of the prompts, (parts, prompts, length, ...)."""
    seed, size, prior = numbers
    pool: Any = with_values(plan.pool, {"seed": seed})
    by_pair = jax.tree.map(lambda a: jnp.moveaxis(a, 2, 1), arrays)
    xs = arrays[0]
    parts, batch, length, dim = xs.shape

    def of_functions(sums: _Sums, start: Int[Array, ""]) -> tuple[_Sums, None]:
        index = start + jnp.arange(plan.functions)
        functions = as_floats(pool.members(jnp.minimum(index, size - 1)), xs.dtype)
        if prior is None:
            exponents = jnp.where(index < size, 0.0, NEVER)
        else:
            exponents = jax.lax.dynamic_slice(prior, (start,), (plan.functions,))
        added = functools.partial(
            _added, plan, noise_std, functions, exponents.astype(xs.dtype)
        )
        return jax.lax.map(lambda part: added(*part), (sums, *by_pair)), None

    columns = 1 + (dim if pool.linear else 0)
    start = _Sums(
        jnp.full((parts, length, batch), NEVER, xs.dtype),
        jnp.zeros((parts, length, batch, columns), xs.dtype),
        jnp.zeros((parts, length, batch), xs.dtype),
    )
    starts = plan.functions * jnp.arange(plan.parts)
    found, _ = jax.lax.scan(of_functions, start, starts)
    total = found.table[..., -1]
    result = Means(found.table[..., :-1] / total[..., None], found.answers / total)
    return jax.tree.map(lambda array: jnp.moveaxis(array, 1, 2), result)


def _added(
    plan: _Plan,
    noise_std: Float[Array, ""] | float,
    functions: Any,
    exponents: Float[Array, " functions"],
    sums: _Sums,
    xs: Float[Array, "length batch dim"],
    ys: Float[Array, "length batch"],
    queries: Float[Array, "length batch dim"] | None,
) -> _Sums:
    """Returns the sums of some prompts with some functions more."""
    linear, (batch, dim) = plan.pool.linear, xs.shape[1:]
    table = jnp.ones((len(exponents), 1), xs.dtype)
    if linear:
        table = jnp.concatenate([functions["weights"], table], axis=1)
    weights, unit = table[:, :-1].T, 1 / noise_std

    def values(x: Float[Array, "batch dim"]) -> Float[Array, "batch functions"]:
        if linear and dim <= UNROLLED:
            terms = (x[:, k, None] * weights[None, k] for k in range(dim))
            return functools.reduce(jnp.add, terms)
        if linear:
            return jnp.matmul(x, weights, precision="highest")
        everywhere = jnp.broadcast_to(x[None], (len(exponents), batch, dim))
        return plan.pool.values(functions, everywhere).T

    def one_pair(state, pair):
        logs, most = state
        x, y, query, before = pair
        said = values(x)
        largest = jnp.maximum(before.largest, most)
        kept = jnp.exp(before.largest - largest)
        shares = jnp.exp(logs - largest[:, None])
        added = jnp.matmul(shares, table, precision="highest")
        answers = before.answers
        if not linear:
            asked = said if query is None else values(query)
            answers = answers * kept + (shares * asked).sum(axis=1)
        after = _Sums(largest, before.table * kept[:, None] + added, answers)
        z = (y[:, None] - said) * unit  # a quotient takes longer
        logs = logs + log_density(plan.law, z, y[:, None] * unit)
        return (logs, logs.max(axis=1)), after

    logs = jnp.broadcast_to(exponents[None], (batch, len(exponents)))
    start = logs, jnp.broadcast_to(exponents.max(), (batch,))
    return jax.lax.scan(one_pair, start, (xs, ys, queries, sums))[1]


_plain = jax.jit(_enumerated, static_argnums=0)


def _program(arrays: Any) -> Callable[..., Means]:
    """Returns the compiled program: inside another one it cannot have options."""
    traced = [jnp.zeros(()), *jax.tree.leaves(arrays)]
    if any(isinstance(array, jax.core.Tracer) for array in traced):
        return _plain
    return _wide() if jax.default_backend() == "cpu" else _plain


@functools.cache
def _wide() -> Callable[..., Means]:
    """Returns the program with the options `WIDE`, or without where XLA has none."""
    try:
        jax.jit(jnp.negative, compiler_options=WIDE)(0.0)
    except Exception:  # another version of XLA: it only takes longer
        return _plain
    return jax.jit(_enumerated, static_argnums=0, compiler_options=WIDE)
