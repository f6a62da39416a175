"""How many pooled probes are fitted at once: `fit`, and what it prepares.

Shapes: `hidden` (layers, prompts, tokens, features); `targets` (probes, prompts,
coordinates), one probe for each pair of a target and a set of tokens that may be read;
`reads` (probes, tokens), True where the probe may look. Each probe is fitted in every
layer, so what is learned has the leading axes (layers, probes). Probes share the order
of minibatches and their first parameters, and nothing else: fitted together or alone,
a probe is the same up to rounding.

Targets of fewer coordinates are padded with zeros. A coordinate that is constant over
the training prompts, as padding is, is predicted as that constant and has no gradient,
so that it does not influence the others.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from probes import checks
from probes.arrays import real, unit_size
from probes.pooled.config import ProbeConfig, checked
from probes.pooled.inputs import reads_of, refuse_beyond_float32, states_of
from probes.pooled.parameters import Probes
from probes.pooled.training import FitResult, Prompts, fit_layers


def fit(
    hidden: Float[Array | np.ndarray, "layers prompts tokens features"],
    targets: Float[Array | np.ndarray, "probes prompts coordinates"],
    reads: Bool[np.ndarray, "probes tokens"],
    *,
    train: Int[np.ndarray, " train"],
    validation: Int[np.ndarray, " validation"],
    config: ProbeConfig,
    seed: int = 0,
    layers_at_once: int = 1,
    sample_weight: Float[np.ndarray, " prompts"] | None = None,
    labelled: bool = False,
) -> FitResult:
    """Fits every probe in every layer by Adam with early stopping, in float32.

    Coordinates are standardised over the training prompts and count alike in the loss.
    Features are standardised over the training prompts and the tokens that a probe
    reads, so that the other tokens cannot reach a probe in this way either.

    Args:
        hidden: hidden states, which may be memory-mapped: they are taken to the device
            `layers_at_once` at a time.
        targets: what to read out.
        reads: which tokens a probe may read, at least one; others have weight 0.
        train: indices of the prompts that train.
        validation: indices of the prompts that decide when to stop.
        config: shape and training of the probes.
        seed: decides the initial weights and the order of minibatches.
        layers_at_once: number of layers that train side by side in one program. More
            layers keep a GPU busy where features are few; a CPU is no faster for them.
        sample_weight: how much each prompt counts, above 0; None where all count alike.
        labelled: whether targets are labels, 1 for the right one and 0 elsewhere. The
            loss is then the cross-entropy, and what a probe reads are logits; that of a
            label that no training prompt has is -infinity.

    Returns:
        The probes and the record of their training, as NumPy arrays.

    Raises:
        ValueError: a probe that may read nothing, shapes that do not go together,
            prompts that do not exist, settings that are not what they should be, or
            values that are no real numbers, not finite, or beyond float32.
    """
    hidden, config, seed = states_of(hidden), checked(config), checks.seed(seed)
    prompts = hidden.shape[1]
    train = _prompts("train", train, prompts)
    validation = _prompts("validation", validation, prompts)
    labelled = checks.flag("labelled", labelled)
    targets = _targets(targets, np.concatenate([train, validation]), prompts, labelled)
    reads = reads_of(reads, (len(targets), hidden.shape[2]))
    layers_at_once = checks.positive_int("layers_at_once", layers_at_once)
    if sample_weight is not None:
        # Only their ratios count; sums of numbers of unit size do not overflow.
        sample_weight, _ = unit_size(checks.sample_weight(sample_weight, prompts))
        for name, rows in (("train", train), ("validation", validation)):
            if not sample_weight[rows].any():
                raise ValueError(
                    f"sample_weight must be above 0 for some prompts of {name}."
                )
    prepare = _shared_out if labelled else _standardise
    of_train = None if sample_weight is None else sample_weight[train]
    values, centre, spread = prepare(targets, train, of_train)

    def side(layers: Any, prompts: np.ndarray) -> Prompts:
        some = layers[:, prompts]
        refuse_beyond_float32("hidden", some)
        states = jnp.asarray(some, jnp.float32)
        weights = None
        if sample_weight is not None:
            some = sample_weight[prompts]
            weights = jnp.asarray(some / some.mean(), jnp.float32)
        return Prompts(states, jnp.asarray(values[:, prompts]), weights)

    first = _initial(seed, hidden.shape[2:], targets.shape[2], config.units)
    chunks = []
    for start in range(0, len(hidden), layers_at_once):
        layers = hidden[start : start + layers_at_once]
        many = (len(layers), len(targets))
        fitted = fit_layers(
            jax.tree.map(
                lambda a, many=many: np.broadcast_to(a, many + a.shape), first
            ),
            side(layers, train),
            side(layers, validation),
            reads,
            jax.random.key(seed),
            config,
            centre[:, 0].astype(np.float32) if labelled else None,
            batch_size=config.batch_size,
        )
        chunks.append(jax.device_get(fitted))
    probes, loss, n_iter = jax.tree.map(lambda *parts: np.concatenate(parts), *chunks)
    if not np.isfinite(loss).all():
        raise ValueError(
            "the loss of a probe is not finite, even before training: hidden and "
            "targets must hold finite numbers."
        )
    return FitResult(_unfold(probes, centre, spread), loss, n_iter)


def _prompts(name: str, values: Any, prompts: int) -> Int[np.ndarray, " some"]:
    """Returns indices of prompts, at least one."""
    found = checks.indices(name, values, 0, prompts)
    if found.ndim != 1 or not found.size:
        raise ValueError(
            f"{name} must be the indices of at least one prompt, got shape "
            f"{found.shape}."
        )
    return found


def _targets(
    targets: Any, used: Int[np.ndarray, " used"], prompts: int, labelled: bool
) -> Float[np.ndarray, "probes prompts coordinates"]:
    """Returns targets as float64; those of the prompts that are used are checked."""
    found = real("targets", targets).astype(float)
    if found.ndim != 3 or found.shape[1] != prompts or 0 in found.shape:
        raise ValueError(
            f"targets must have shape (probes, prompts={prompts}, coordinates), none "
            f"of them empty, got {found.shape}."
        )
    some = found[:, used]
    refuse_beyond_float32("targets", some, axis=1)
    if labelled and not (np.isin(some, (0, 1)).all() and (some.sum(axis=2) <= 1).all()):
        raise ValueError(
            "targets must be 1 for the right label of a prompt and 0 elsewhere where "
            "they are labelled."
        )
    return found


def _initial(
    seed: int, states: tuple[int, ...], coordinates: int, units: int | None
) -> Probes:
    """Returns one probe's first parameters: even weights, random units, output 0.

    Nothing depends on the numbers of probes and coordinates, and the first prediction
    is the mean of the target. `states` is (tokens, features).
    """
    tokens, features = states
    widths = (
        [features, coordinates] if units is None else [features, units, coordinates]
    )
    weights = [np.zeros(shape, np.float32) for shape in itertools.pairwise(widths)]
    if units is not None:
        drawn = np.random.default_rng(seed).normal(size=(features, units))
        weights[0] = (drawn / np.sqrt(features)).astype(np.float32)
    biases = [np.zeros(width, np.float32) for width in widths[1:]]
    return Probes(np.zeros(tokens, np.float32), tuple(weights), tuple(biases))


def _standardise(
    targets: Float[np.ndarray, "probes prompts coordinates"],
    train: Int[np.ndarray, " train"],
    weights: Float[np.ndarray, " train"] | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns targets of mean 0 and variance 1 over `train`, with what undoes it.

    The targets are float32. What undoes it are the means and standard deviations, 1 for
    a coordinate that is constant.
    """
    seen = targets[:, train]
    if weights is None:
        centre, spread = seen.mean(axis=1, keepdims=True), seen.std(axis=1)[:, None]
    else:
        centre = np.average(seen, axis=1, weights=weights)[:, None]
        squares = np.square(seen - centre)
        spread = np.sqrt(np.average(squares, axis=1, weights=weights))[:, None]
    spread = np.where(spread > 1e-12 * np.abs(centre), spread, 1.0)
    values = (targets - centre) / spread
    return values.astype(np.float32), centre, spread


def _shared_out(
    targets: Float[np.ndarray, "probes prompts labels"],
    train: Int[np.ndarray, " train"],
    weights: Float[np.ndarray, " train"] | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns labels that occur in `train`, logarithms of their shares, and ones.

    The last two undo what is done to targets, as in `_standardise`: probes are fitted
    beside the shares, which are what they read before the training.
    """
    shares = np.average(targets[:, train], axis=1, weights=weights)[:, None]
    known = shares > 0
    prior = np.log(np.where(known, shares, 1.0))
    values = (targets * known).astype(np.float32)
    return values, np.where(known, prior, -np.inf), np.ones_like(shares)


def _unfold(probes: Probes, centre: np.ndarray, spread: np.ndarray) -> Probes:
    """Turns probes of standardised targets into the same probes of raw targets."""
    *weights, last = probes.weights
    *biases, bias = probes.biases
    return probes._replace(
        weights=(*weights, (last * spread).astype(np.float32)),
        biases=(*biases, (bias * spread[:, 0] + centre[:, 0]).astype(np.float32)),
    )
