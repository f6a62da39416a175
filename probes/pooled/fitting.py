"""What can be read from a learned average of tokens? Many such probes, fitted at once.

A probe weighs the tokens by a = softmax(s), whose scores s are learned and the same for
every prompt, pools the hidden states into p = sum_t a_t h_t, and reads the target out
of p: by a linear map, or by two with a GELU between them. (Akyürek et al. 2023,
Equations 20-21.) The paper projects h_t by a matrix W before it pools. Pooling first
gives the same sum and costs one projection for each prompt instead of one for each
token; and as another linear map follows W with nothing between, their product is one
matrix here: p @ weight + bias, of at most `units` columns. The functions that can be
learned are the same.

Shapes: `hidden` (layers, prompts, tokens, features); `targets` (probes, prompts,
coordinates), one probe for each pair of a target and a set of tokens that may be read;
`reads` (probes, tokens), True where the probe may look. Each probe is fitted in every
layer, so what is learned has the leading axes (layers, probes). Probes share the order
of minibatches and how they begin, and nothing else: fitted together or alone, a probe
is the same up to rounding.

Targets of fewer coordinates are padded with zeros. A coordinate that is constant over
the training prompts, as padding is, is predicted as that constant and has no gradient,
so that it does not influence the others.
"""

import itertools
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.special
from jaxtyping import Array, Bool, Float, Int, Key

PRECISION = jax.lax.Precision.HIGHEST  # a GPU would otherwise multiply in TF32


class Settings(NamedTuple):
    """How probes are shaped and trained.

    Attributes:
        units: width of the hidden layer of an MLP head; None for a linear head.
        learning_rate: of Adam.
        weight_decay: decoupled, times the learning rate (optax.adamw); on weights in
            standardised units, not on biases or scores.
        batch_size: prompts in a minibatch.
        max_iter: epochs at most.
        n_iter_no_change: a probe is done after so many epochs in a row without a lower
            validation loss.
    """

    units: int | None = None
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    batch_size: int = 128
    max_iter: int = 300
    n_iter_no_change: int = 10


class Probes(NamedTuple):
    """What probes have learned, in the units of the hidden states and the targets.

    Attributes:
        scores: softmax of them, over the tokens that may be read, weighs the tokens;
            (layers, probes, tokens).
        weights: one matrix for a linear head, (layers, probes, features, coordinates);
            two for an MLP head, to the hidden units and on to the coordinates.
        biases: one for each matrix, (layers, probes, columns).
    """

    scores: Any
    weights: tuple[Any, ...]
    biases: tuple[Any, ...]


class Fit(NamedTuple):
    """Fitted probes, and the record of how they got there.

    Attributes:
        probes: each as it was after its best epoch.
        validation_loss: mean over validation prompts of the squared error, in units of
            the target's variance and summed over coordinates, at that epoch.
        n_iter: epochs until the probe ran out of patience, or of `max_iter`.
    """

    probes: Probes
    validation_loss: Float[Array | np.ndarray, "layers probes"]
    n_iter: Int[Array | np.ndarray, "layers probes"]


def fit(
    hidden: Float[Array | np.ndarray, "layers prompts tokens features"],
    targets: Float[Array | np.ndarray, "probes prompts coordinates"],
    reads: Bool[np.ndarray, "probes tokens"],
    *,
    train: Int[np.ndarray, " train"],
    validation: Int[np.ndarray, " validation"],
    settings: Settings,
    seed: int = 0,
    layers_at_once: int = 1,
) -> Fit:
    """Fits every probe in every layer by Adam with early stopping; in float32.

    Coordinates are standardised over the training prompts and count alike in the loss.
    Features are standardised over the training prompts and the tokens that a probe
    reads, so that what it may not read cannot reach it in this way either.

    Args:
        hidden: hidden states; taken to the device `layers_at_once` at a time, so that
            it may be memory-mapped.
        targets: what to read out.
        reads: which tokens a probe may read, at least one; others have weight 0.
        train: indices of the prompts that train.
        validation: indices of the prompts that decide when to stop.
        settings: shape and training of the probes.
        seed: of the initial weights and of the order of minibatches.
        layers_at_once: layers that train side by side in one program. More keep a GPU
            busy where features are few; a CPU is no faster for it.

    Returns:
        Probes and records as NumPy arrays.

    Raises:
        ValueError: a probe that may read nothing, `reads` of another shape, or values
            that are not finite.
    """
    expected = (len(targets), hidden.shape[2])
    if reads.shape != expected or not reads.any(axis=1).all():
        raise ValueError(
            f"reads must have shape (probes, tokens) = {expected} and let each probe "
            f"read a token, got shape {reads.shape} with {reads.sum(axis=1)} tokens."
        )
    values, centre, spread = _standardise(np.asarray(targets, float), train)

    def side(layers: Any, prompts: np.ndarray) -> _Prompts:
        states = jnp.asarray(layers[:, prompts], jnp.float32)
        return _Prompts(states, jnp.asarray(values[:, prompts]))

    first = _initial(seed, hidden.shape[2:], targets.shape[2], settings.units)
    chunks = []
    for start in range(0, len(hidden), layers_at_once):
        layers = hidden[start : start + layers_at_once]
        many = (len(layers), len(targets))
        fitted = _fit_layers(
            jax.tree.map(
                lambda a, many=many: np.broadcast_to(a, many + a.shape), first
            ),
            side(layers, train),
            side(layers, validation),
            reads,
            jax.random.key(seed),
            settings,
            batch_size=settings.batch_size,
        )
        chunks.append(jax.device_get(fitted))
    probes, loss, n_iter = jax.tree.map(lambda *parts: np.concatenate(parts), *chunks)
    if not np.isfinite(loss).all():
        raise ValueError(
            "the loss of a probe is not finite, even before training: hidden and "
            "targets must hold finite numbers."
        )
    return Fit(_unfold(probes, centre, spread), loss, n_iter)


def _initial(
    seed: int, states: tuple[int, ...], coordinates: int, units: int | None
) -> Probes:
    """How every probe begins: even weights, random hidden units, a zero output.

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
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets in float32 of mean 0 and variance 1 over the training prompts."""
    centre = targets[:, train].mean(axis=1, keepdims=True)
    spread = targets[:, train].std(axis=1, keepdims=True)
    spread = np.where(spread > 1e-12 * np.abs(centre), spread, 1.0)
    values = (targets - centre) / spread
    return values.astype(np.float32), centre, spread


def _unfold(probes: Probes, centre: np.ndarray, spread: np.ndarray) -> Probes:
    """The same probes, for targets that are not standardised."""
    *weights, last = probes.weights
    *biases, bias = probes.biases
    return probes._replace(
        weights=(*weights, (last * spread).astype(np.float32)),
        biases=(*biases, (bias * spread[:, 0] + centre[:, 0]).astype(np.float32)),
    )


def predict(
    probes: Probes,
    hidden: Float[Array | np.ndarray, "layers prompts tokens features"],
    reads: Bool[np.ndarray, "probes tokens"],
) -> Float[np.ndarray, "layers probes prompts coordinates"]:
    """What every probe reads from each prompt; one layer at a time, in float32."""
    layers = [
        jax.device_get(
            _predict_layers(
                jax.tree.map(lambda array, layer=layer: array[layer, None], probes),
                jnp.asarray(hidden[layer], jnp.float32)[None],
                reads,
            )
        )
        for layer in range(len(hidden))
    ]
    return np.concatenate(layers)


def position_weights(
    probes: Probes, reads: Bool[np.ndarray, "probes tokens"]
) -> Float[np.ndarray, "layers probes tokens"]:
    """How much of each token a probe takes: not negative, and 1 in sum."""
    return scipy.special.softmax(np.where(reads, probes.scores, -np.inf), axis=-1)


class _Prompts(NamedTuple):
    """The prompts on one side of the split."""

    hidden: Float[Array, "layers prompts tokens features"]
    targets: Float[Array, "probes prompts coordinates"]


class _Scale(NamedTuple):
    centre: Float[Array, "layers probes columns"]
    spread: Float[Array, "layers probes columns"]


class _State(NamedTuple):
    """What an epoch changes. `stale`: epochs since a probe's loss last fell."""

    epoch: Int[Array, ""]
    probes: Probes
    moments: Any
    best: Fit
    stale: Int[Array, "layers probes"]


# The first probes are an argument, not made within: for a matrix product by a constant
# zero XLA's CPU backend (jaxlib 0.10.2) makes code that reads memory not written yet.
# Settings but for the size of a batch change without compiling again.
@partial(jax.jit, static_argnames="batch_size")
def _fit_layers(
    first: Probes,
    train: _Prompts,
    validation: _Prompts,
    reads: Bool[Array, "probes tokens"],
    key: Key[Array, ""],
    settings: Settings,
    *,
    batch_size: int,
) -> Fit:
    """Fits all probes of some layers; targets come, and stay, standardised."""
    n_train = train.hidden.shape[1]
    scale = _feature_scale(train.hidden, reads)
    optimiser = optax.adamw(
        settings.learning_rate,
        weight_decay=settings.weight_decay,
        # Only matrices have four axes; scores and biases do not decay.
        mask=lambda probes: jax.tree.map(lambda array: jnp.ndim(array) == 4, probes),
    )

    def losses(probes: Probes, prompts: _Prompts) -> Float[Array, "layers probes"]:
        guesses = _predict_layers(_fold_in(scale, probes), prompts.hidden, reads)
        return jnp.square(guesses - prompts.targets[None]).sum(axis=-1).mean(axis=-1)

    def step(carry: tuple, batch: Int[Array, " batch"]) -> tuple:
        probes, moments = carry
        drawn = _Prompts(train.hidden[:, batch], train.targets[:, batch])
        # No probe's loss depends on another's parameters: the gradient of the sum holds
        # each probe's own.
        gradient = jax.grad(lambda probes: losses(probes, drawn).sum())(probes)
        updates, moments = optimiser.update(gradient, moments, probes)
        return (optax.apply_updates(probes, updates), moments), None

    def unfinished(state: _State) -> Bool[Array, ""]:
        patient = state.stale < settings.n_iter_no_change
        return patient.any() & (state.epoch < settings.max_iter)

    def one_epoch(state: _State) -> _State:
        epoch_key = jax.random.fold_in(key, state.epoch)
        batches = _minibatches(epoch_key, n_train, batch_size)
        carry = (state.probes, state.moments)
        (probes, moments), _ = jax.lax.scan(step, carry, batches)
        running = state.stale < settings.n_iter_no_change
        loss = losses(probes, validation)
        # A probe that is out of patience trains on beside the others, to no effect.
        better = running & (loss < state.best.validation_loss)
        best = Fit(
            jax.tree.map(partial(_where, better), probes, state.best.probes),
            _where(better, loss, state.best.validation_loss),
            state.best.n_iter + running,
        )
        stale = jnp.where(better, 0, state.stale + running)
        return _State(state.epoch + 1, probes, moments, best, stale)

    none = jnp.zeros(first.scores.shape[:2], int)
    # Where no epoch helps, what is kept is the beginning: it predicts the mean.
    best = Fit(first, losses(first, validation), none)
    start = _State(jnp.int32(0), first, optimiser.init(first), best, none)
    best = jax.lax.while_loop(unfinished, one_epoch, start).best
    return best._replace(probes=_fold_in(scale, best.probes))


def _minibatches(
    key: Key[Array, ""], n_train: int, batch_size: int
) -> Int[Array, "batches batch"]:
    """All training prompts in random order, but for a remainder that fills no batch."""
    batch_size = min(batch_size, n_train)
    batches = n_train // batch_size
    order = jax.random.permutation(key, n_train)[: batches * batch_size]
    return order.reshape(batches, batch_size)


def _where(
    condition: Bool[Array, "layers probes"],
    new: Float[Array, "layers probes ..."],
    old: Any,
) -> Float[Array, "layers probes ..."]:
    axes = tuple(range(2, new.ndim))
    return jnp.where(jnp.expand_dims(condition, axes), new, old)


def _feature_scale(
    hidden: Float[Array, "layers prompts tokens features"],
    reads: Bool[Array, "probes tokens"],
) -> _Scale:
    """Of each feature, over the training prompts and the tokens that a probe reads."""
    share = reads / reads.sum(axis=1, keepdims=True)
    means, variances = hidden.mean(axis=1), hidden.var(axis=1)
    average = partial(jnp.einsum, "pt,ltf->lpf", share, precision=PRECISION)
    centre = average(means)
    # Variance about the common mean: within a token, and between the tokens.
    between = jnp.square(means[:, None] - centre[:, :, None])
    variance = average(variances) + (share[None, :, :, None] * between).sum(axis=2)
    spread = jnp.sqrt(variance)
    # A constant feature has only rounding left to divide by.
    return _Scale(centre, jnp.where(spread > 1e-6 * jnp.abs(centre), spread, 1.0))


def _fold_in(scale: _Scale, probes: Probes) -> Probes:
    """The same probes, for features that are not standardised."""
    first = probes.weights[0] / scale.spread[..., None]
    moved = jnp.einsum("lpf,lpfk->lpk", scale.centre, first, precision=PRECISION)
    return probes._replace(
        weights=(first, *probes.weights[1:]),
        biases=(probes.biases[0] - moved, *probes.biases[1:]),
    )


@jax.jit
def _predict_layers(
    probes: Probes,
    hidden: Float[Array, "layers prompts tokens features"],
    reads: Bool[Array, "probes tokens"],
) -> Float[Array, "layers probes prompts coordinates"]:
    """Every probe on the prompts of its layer."""
    over_probes = jax.vmap(_predict, (0, None, 0))
    return jax.vmap(over_probes, (0, 0, None))(probes, hidden, reads)


def _predict(
    probe: Probes,
    hidden: Float[Array, "prompts tokens features"],
    reads: Bool[Array, " tokens"],
) -> Float[Array, "prompts coordinates"]:
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
    return jnp.matmul(states, weight, precision=PRECISION) + bias[None]
