"""The parameters of pooled probes, and what probes with such parameters read.

A probe weighs the tokens by a = softmax(s), whose scores s are learned and the same for
every prompt, pools the hidden states into p = sum_t a_t h_t, and reads the target out
of p: by a linear map, or by two with a GELU between them. (Akyürek et al. 2023,
Equations 20-21.) The paper projects h_t by a matrix W before it pools. Pooling first
gives the same sum and costs one projection for each prompt instead of one for each
token; and as another linear map follows W with nothing between, their product is one
matrix here: p @ weight + bias, of at most `units` columns. The functions that can be
learned are the same.

Shapes: `hidden` (layers, prompts, tokens, features); `reads` (probes, tokens), True
where the probe may look. Every probe exists once for each layer, so all parameters have
the leading axes (layers, probes).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Bool, Float

from probes import checks
from probes.arrays import real_or_jax
from probes.pooled.inputs import reads_of, refuse_beyond_float32, states_of

PRECISION = jax.lax.Precision.HIGHEST  # a GPU would otherwise multiply in TF32


class Probes(NamedTuple):
    """The parameters of many probes.

    Attributes:
        scores: their softmax over the tokens that may be read weighs the tokens;
            (layers, probes, tokens).
        weights: one matrix for a linear head, (layers, probes, features, coordinates);
            two for an MLP head, to the hidden units and from there to the coordinates.
        biases: one for each matrix, (layers, probes, columns).
    """

    scores: Any
    weights: tuple[Any, ...]
    biases: tuple[Any, ...]


class Scale(NamedTuple):
    """The means and standard deviations by which columns are standardised."""

    centre: Float[Array, "layers probes columns"]
    spread: Float[Array, "layers probes columns"]


def fold_in(scale: Scale, probes: Probes) -> Probes:
    """Turns probes of standardised features into the same probes of raw features."""
    first = probes.weights[0] / scale.spread[..., None]
    moved = jnp.einsum("lpf,lpfk->lpk", scale.centre, first, precision=PRECISION)
    return probes._replace(
        weights=(first, *probes.weights[1:]),
        biases=(probes.biases[0] - moved, *probes.biases[1:]),
    )


def predict(
    probes: Probes,
    hidden: Float[Array | np.ndarray, "layers prompts tokens features"],
    reads: Bool[np.ndarray, "probes tokens"],
) -> Float[np.ndarray, "layers probes prompts coordinates"]:
    """Returns what every probe reads from each prompt, computed in float32.

    Hidden states are taken to the device one layer at a time.

    Raises:
        ValueError: the probes were fitted to other numbers of layers, tokens or
            features, or something holds no real numbers, or numbers beyond float32.
    """
    probes, reads = _checked(probes, reads)
    states = states_of(hidden)
    layers, _, tokens = probes.scores.shape
    expected = (layers, states.shape[1], tokens, probes.weights[0].shape[2])
    if states.shape != expected:
        raise ValueError(
            "hidden must have the layers, tokens and features that the probes were "
            f"fitted to, {expected[:1] + expected[2:]}, and an axis of prompts behind "
            f"the layers, got shape {states.shape}."
        )
    guesses = []
    for layer, some in enumerate(states):
        refuse_beyond_float32("hidden", some)
        guess = predict_layers(
            jax.tree.map(lambda array, layer=layer: array[layer, None], probes),
            jnp.asarray(some, jnp.float32)[None],
            reads,
        )
        guesses.append(jax.device_get(guess))
    return np.concatenate(guesses)


def position_weights(
    probes: Probes, reads: Bool[np.ndarray, "probes tokens"]
) -> Float[np.ndarray, "layers probes tokens"]:
    """Returns each token's weight in what a probe pools: at least 0, and 1 in sum."""
    probes, reads = _checked(probes, reads)
    return scipy.special.softmax(np.where(reads, probes.scores, -np.inf), axis=-1)


def _checked(probes: Any, reads: Any) -> tuple[Probes, np.ndarray]:
    """Returns probes and what they read as arrays whose shapes fit together."""
    checks.of_kind("probes", probes, Probes, "the probes of a FitResult")
    scores = real_or_jax("probes.scores", probes.scores)
    several = (probes.weights, probes.biases)
    lists = all(isinstance(each, tuple | list) for each in several)
    if not lists or not len(probes.weights) == len(probes.biases) > 0:
        raise ValueError("probes must hold a bias for each of one or more weights.")
    weights = tuple(real_or_jax("probes.weights", each) for each in probes.weights)
    biases = tuple(real_or_jax("probes.biases", each) for each in probes.biases)
    axes = scores.ndim == 3 and all(
        (weight.ndim, bias.ndim) == (4, 3)
        and weight.shape[:2] == bias.shape[:2] == scores.shape[:2]
        and weight.shape[3] == bias.shape[2]
        for weight, bias in zip(weights, biases, strict=True)
    )
    if not axes:
        raise ValueError(
            "probes must have the leading axes (layers, probes) in all arrays, and a "
            "bias for each column of its weights, as those of a FitResult do."
        )
    return Probes(scores, weights, biases), reads_of(reads, scores.shape[1:])


@jax.jit
def predict_layers(
    probes: Probes,
    hidden: Float[Array, "layers prompts tokens features"],
    reads: Bool[Array, "probes tokens"],
) -> Float[Array, "layers probes prompts coordinates"]:
    """Returns what every probe reads from the prompts of its own layer."""
    over_probes = jax.vmap(_predict, (0, None, 0))
    return jax.vmap(over_probes, (0, 0, None))(probes, hidden, reads)


def _predict(
    probe: Probes,
    hidden: Float[Array, "prompts tokens features"],
    reads: Bool[Array, " tokens"],
) -> Float[Array, "prompts coordinates"]:
    """Returns what a single probe of a single layer reads."""
    weights = jax.nn.softmax(probe.scores, where=reads)
    states = jnp.einsum("t,ptf->pf", weights, hidden, precision=PRECISION)
    *inner, last = zip(probe.weights, probe.biases, strict=True)
    for weight, bias in inner:
        states = jax.nn.gelu(_affine(states, weight, bias), approximate=False)
    return _affine(states, *last)


def _affine(
    states: Float[Array, "prompts rows"],
    weight: Float[Array, "rows columns"],
    bias: Float[Array, " columns"],
) -> Float[Array, "prompts columns"]:
    """Returns states @ weight + bias, without TF32."""
    return jnp.matmul(states, weight, precision=PRECISION) + bias[None]
