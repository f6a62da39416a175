"""Which answer stands in each layer, and which step of an iteration is it similar to?

Every layer has a head of its own: ridge regression from the residual stream at x_i to
the label, the same for all contexts, fitted on other prompts than it is measured on. As
in the released code nothing is normed in front of it but the last layer. The answers of
layers are held against iterates of Newton's iteration for the inverse of X'X, and of
gradient descent (GD).

Conventions: Newton starts at X'X / |X'X X'X|_F, as the released code does. GD has a
rate of its own for each prompt, 1 / (2 lambda_max) of the longest context, with which
no direction overshoots in any context, whatever the covariance of the inputs; the
released code has one rate for all (eta = 0.01), which diverges on ill-conditioned
prompts.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float

from icl import Prompts, Transformer, inference
from icl.baselines import GradientDescent, LeastSquares, Newton, decompose
from icl.codecs.pairs import INPUTS
from icl.compare import error_similarity, implied_weights, weight_similarity

NEWTON = tuple(range(33))
"""The numbers of Newton iterations."""

DESCENT = (0, 1, 2, 3, *(2**i * half // 2 for i in range(2, 16) for half in (2, 3)))
"""The numbers of steps of GD, about geometric. After none it predicts 0: the floor."""

FAMILIES = ("Newton", "GD")
STEPS = {"Newton": NEWTON, "GD": DESCENT}

SHRINKAGE = 1e-6
"""The penalty of a head, as a share of the mean square of a coordinate of the states.
It keeps the fit stable where coordinates are copies of each other, and does no more."""

CHUNK = 400
"""The number of prompts whose states are in memory at once."""

Outputs = Float[np.ndarray, "layers prompts length"]
Heads = list[tuple[Float[np.ndarray, " width"], float]]


def states_of(model: Transformer, prompts: Prompts) -> Iterator[list[np.ndarray]]:
    """Yields the states at x by layer, (prompts, length, width), chunk by chunk.

    The last layer is normed, as the head of the model reads it.
    """
    for start in range(0, len(prompts.ys), CHUNK):
        at = slice(start, start + CHUNK)
        part = Prompts(prompts.xs[at], prompts.ys[at])
        hidden = inference.hidden_states(model, part)
        last = np.asarray(model.normalised(jnp.asarray(hidden[-1])))
        yield [np.asarray(state)[:, INPUTS] for state in [*hidden[:-1], last]]


def fit_heads(model: Transformer, prompts: Prompts) -> Heads:
    """Returns a head for each layer, fitted to the labels of these prompts."""
    labels = np.asarray(prompts.ys, float)
    size = model.config.width + 2  # with a constant and the label
    sums = np.zeros((len(model.body) + 1, size, size))
    for place, states in enumerate(states_of(model, prompts)):
        ys = labels[place * CHUNK : (place + 1) * CHUNK].reshape(-1, 1)
        for layer, state in enumerate(states):
            rows = np.asarray(state, float).reshape(len(ys), -1)
            columns = np.hstack([rows, np.ones((len(ys), 1)), ys])
            sums[layer] += columns.T @ columns
    return [_ridge(moments) for moments in sums]


def _ridge(moments: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the coefficients and the intercept of a fit, from sums of products."""
    gram, cross = moments[:-1, :-1].copy(), moments[:-1, -1]
    width = len(gram) - 1
    penalty = SHRINKAGE * np.trace(gram[:width, :width]) / width
    gram[np.arange(width), np.arange(width)] += penalty
    solved = np.linalg.solve(gram, cross)
    return solved[:-1], float(solved[-1])


def read_outs(model: Transformer, heads: Heads, prompts: Prompts) -> Outputs:
    """Returns what each layer answers at each x, (layers + 1, prompts, length)."""
    parts = []
    for states in states_of(model, prompts):
        pairs = zip(states, heads, strict=True)
        parts.append(np.stack([s.astype(float) @ w + b for s, (w, b) in pairs]))
    return np.concatenate(parts, axis=1)


def iterates(prompts: Prompts) -> dict[str, list[Any]]:
    """Returns what each family says after each number of steps, by name.

    They are objects with `.predictions` and `.weights`, as learners return them.
    """
    newton = decompose(prompts)
    found: dict[str, list[Any]] = {
        "Newton": [Newton(k, norm="frobenius")(newton) for k in NEWTON],
        "OLS": [LeastSquares()(newton)],
    }
    scale = largest_singular_values(prompts)
    xs = prompts.xs / scale[:, None, None]
    descent = decompose(Prompts(xs, prompts.ys / scale[:, None]))
    solved = [GradientDescent(k, 0.5)(descent) for k in DESCENT]
    found["GD"] = [
        each._replace(predictions=each.predictions * scale[:, None]) for each in solved
    ]
    return found


def largest_singular_values(prompts: Prompts) -> np.ndarray:
    """Returns that of the inputs of the longest context, (prompts,)."""
    singular = np.linalg.svd(np.asarray(prompts.xs, float)[:, :-1], compute_uv=False)
    return singular[:, 0].astype(prompts.xs.dtype)


def similarities(
    outputs: Outputs, learners: Sequence[Any], ys: Any, contexts: Any = None
) -> Float[np.ndarray, "layers learners prompts"]:
    """Returns SimE of each layer with each learner, by prompt.

    A learner that answers some prompt up to round-off has no direction of errors there,
    and is left out, as NaN for all prompts.
    """
    predicted = np.stack([np.asarray(learner.predictions) for learner in learners])
    found = error_similarity(outputs, predicted, ys, contexts=contexts)
    found[:, np.any(np.isnan(found), axis=(0, 2))] = np.nan
    return found


def weight_similarities(
    model: Transformer,
    heads: Heads,
    prompts: Prompts,
    learners: Sequence[Any],
    queries: np.ndarray,
    contexts: Sequence[int],
) -> Float[np.ndarray, "layers learners prompts"]:
    """Returns SimW of each layer with each learner, by prompt.

    The weights of a layer are fitted to what it answers at new inputs after a context,
    each of them asked in a prompt of its own.

    Args:
        model: the transformer.
        heads: its heads, of `fit_heads`.
        prompts: the contexts.
        learners: what learners say of the same prompts.
        queries: new inputs, (prompts, contexts, q, dim).
        contexts: the context lengths that are asked after.
    """
    fitted, (batch, _, count, dim) = [], queries.shape
    for place, context in enumerate(contexts):
        asked = queries[:, place]
        given = np.asarray(prompts.xs), np.asarray(prompts.ys)
        xs, ys = (np.repeat(a, count, axis=0) for a in given)
        xs[:, context] = asked.reshape(-1, dim)  # nothing behind it is seen
        answers = read_outs(model, heads, Prompts(jnp.asarray(xs), jnp.asarray(ys)))
        answers = answers[..., context].reshape(-1, batch, 1, count)
        at = asked[:, None]
        fitted.append(np.stack([implied_weights(at, own).weights for own in answers]))
    weights = np.concatenate(fitted, axis=2)  # (layers, prompts, contexts, dim)
    solved = np.stack([np.asarray(each.weights)[:, contexts] for each in learners])
    every = range(len(contexts))
    found = weight_similarity(weights, solved, contexts=list(every))
    return np.nan_to_num(found)  # weights of 0, after no step, are like none


def steps_dataset(found: dict[str, Any]) -> xr.Dataset:
    """Returns a Dataset with the coordinates that all measures of layers have."""
    layers = next(a.shape[d.index("layer")] for d, a in found.values() if "layer" in d)
    coords: dict[str, Any] = {"layer": np.arange(layers)}
    for family, steps in STEPS.items():
        coords[f"step_{family}"] = list(steps)
    return xr.Dataset(found, coords)
