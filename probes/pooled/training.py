"""The compiled program that trains pooled probes side by side, with early stopping.

Adam minimises the sum of the losses of all probes. No probe's loss depends on the
parameters of another, so that the gradient of the sum holds each probe's own gradient.
Probes share the order of minibatches and nothing else; each has a patience of its own.

Features are standardised over the training prompts and the tokens that a probe reads.
Targets come standardised, and the parameters that are returned read raw features.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from probes.pooled.config import ProbeConfig
from probes.pooled.parameters import (
    PRECISION,
    Probes,
    Scale,
    fold_in,
    predict_layers,
)

LEAST_UNIT = 200  # no number of float32 is smaller than 2^-LEAST_UNIT


class FitResult(NamedTuple):
    """Fitted probes, and the record of their training.

    Attributes:
        probes: the parameters of each probe after its best epoch.
        validation_loss: the squared error at that epoch, in units of the target's
            variance, summed over coordinates and averaged over validation prompts; of
            labels the mean of -log p, in nats.
        n_iter: number of epochs until the probe ran out of patience, or `max_iter`.
    """

    probes: Probes
    validation_loss: Float[Array | np.ndarray, "layers probes"]
    n_iter: Int[Array | np.ndarray, "layers probes"]


class Prompts(NamedTuple):
    """The prompts on one side of the split; weights, if any, are 1 on average."""

    hidden: Float[Array, "layers prompts tokens features"]
    targets: Float[Array, "probes prompts coordinates"]
    weights: Float[Array, " prompts"] | None = None


class _Carry(NamedTuple):
    """What one epoch hands to the next.

    Attributes:
        epoch: number of epochs that are done.
        probes: the parameters now.
        moments: the optimiser's running averages.
        best: the parameters after the best epoch so far.
        stale: number of epochs since a probe's validation loss last fell.
    """

    epoch: Int[Array, ""]
    probes: Probes
    moments: Any
    best: FitResult
    stale: Int[Array, "layers probes"]


# The first probes are an argument, not made within: for a matrix product by a constant
# zero XLA's CPU backend (jaxlib 0.10.2) makes code that reads memory not written yet.
# The size of a batch is a shape; no other setting needs another compilation.
@partial(jax.jit, static_argnames="batch_size")
def fit_layers(
    first: Probes,
    train: Prompts,
    validation: Prompts,
    reads: Bool[Array, "probes tokens"],
    key: Key[Array, ""],
    config: ProbeConfig,
    prior: Float[Array, "probes coordinates"] | None = None,
    *,
    batch_size: int,
) -> FitResult:
    """Fits all probes of some layers to targets that are standardised already.

    With a `prior`, the logarithms of the labels' shares, targets are labels, 1 for the
    right one and 0 elsewhere, and what a probe reads is added to the prior.
    """
    scale = _feature_scale(train.hidden, reads, train.weights)
    optimizer = _adam(config)

    def losses(probes: Probes, prompts: Prompts) -> Float[Array, "layers probes"]:
        guesses = predict_layers(fold_in(scale, probes), prompts.hidden, reads)
        if prior is None:
            each = jnp.square(guesses - prompts.targets[None]).sum(axis=-1)
        else:
            each = _cross_entropy(guesses + prior[None, :, None], prompts.targets[None])
        if prompts.weights is not None:
            each = each * prompts.weights[None, None]
        return each.mean(axis=-1)

    step = _training_step(losses, optimizer, train)

    def unfinished(carry: _Carry) -> Bool[Array, ""]:
        patient = carry.stale < config.n_iter_no_change
        return patient.any() & (carry.epoch < config.max_iter)

    def one_epoch(carry: _Carry) -> _Carry:
        epoch_key = jax.random.fold_in(key, carry.epoch)
        batches = _minibatches(epoch_key, train.hidden.shape[1], batch_size)
        trained = (carry.probes, carry.moments)
        (probes, moments), _ = jax.lax.scan(step, trained, batches)
        running = carry.stale < config.n_iter_no_change
        loss = losses(probes, validation)
        # A probe that is out of patience trains on beside the others, to no effect.
        better = running & (loss < carry.best.validation_loss)
        best = FitResult(
            jax.tree.map(partial(_where, better), probes, carry.best.probes),
            _where(better, loss, carry.best.validation_loss),
            carry.best.n_iter + running,
        )
        stale = jnp.where(better, 0, carry.stale + running)
        return _Carry(carry.epoch + 1, probes, moments, best, stale)

    none = jnp.zeros(first.scores.shape[:2], int)
    # Where no epoch helps, the first parameters are kept: they predict the mean.
    best = FitResult(first, losses(first, validation), none)
    start = _Carry(jnp.int32(0), first, optimizer.init(first), best, none)
    best = jax.lax.while_loop(unfinished, one_epoch, start).best
    return best._replace(probes=fold_in(scale, best.probes))


def _cross_entropy(
    logits: Float[Array, "layers probes prompts labels"],
    right: Float[Array, "1 probes prompts labels"],
) -> Float[Array, "layers probes prompts"]:
    """Returns -log p of the right label, and 0 where none is right.

    A label that no training prompt has, whose logit is -infinity, is right nowhere.
    """
    total = jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    return (right * (total - jnp.where(right > 0, logits, 0.0))).sum(axis=-1)


def _adam(config: ProbeConfig) -> optax.GradientTransformation:
    """Returns Adam with weight decay on the matrices alone."""
    return optax.adamw(
        config.learning_rate,
        weight_decay=config.weight_decay,
        # Only matrices have four axes; scores and biases do not decay.
        mask=lambda probes: jax.tree.map(lambda array: jnp.ndim(array) == 4, probes),
    )


def _training_step(
    losses: Callable[[Probes, Prompts], Float[Array, "layers probes"]],
    optimizer: optax.GradientTransformation,
    train: Prompts,
) -> Callable[[tuple, Int[Array, " batch"]], tuple]:
    """Returns the function that `lax.scan` calls for each minibatch."""

    def step(carry: tuple, batch: Int[Array, " batch"]) -> tuple:
        probes, moments = carry
        weights = None if train.weights is None else train.weights[batch]
        drawn = Prompts(train.hidden[:, batch], train.targets[:, batch], weights)
        gradient = jax.grad(lambda probes: losses(probes, drawn).sum())(probes)
        updates, moments = optimizer.update(gradient, moments, probes)
        return (optax.apply_updates(probes, updates), moments), None

    return step


def _minibatches(
    key: Key[Array, ""], n_train: int, batch_size: int
) -> Int[Array, "batches batch"]:
    """Returns the training prompts in random order, less what fills no minibatch."""
    batch_size = min(batch_size, n_train)
    batches = n_train // batch_size
    order = jax.random.permutation(key, n_train)[: batches * batch_size]
    return order.reshape(batches, batch_size)


def _where(
    condition: Bool[Array, "layers probes"],
    new: Float[Array, "layers probes ..."],
    old: Any,
) -> Float[Array, "layers probes ..."]:
    """Returns the new arrays of the probes that meet the condition, else the old."""
    axes = tuple(range(2, new.ndim))
    return jnp.where(jnp.expand_dims(condition, axes), new, old)


def _feature_scale(
    hidden: Float[Array, "layers prompts tokens features"],
    reads: Bool[Array, "probes tokens"],
    weights: Float[Array, " prompts"] | None,
) -> Scale:
    """Returns each feature's scale over the prompts and tokens that a probe reads."""
    share = reads / reads.sum(axis=1, keepdims=True)
    # Squares of float32 end at 1e38. In units of powers of 2, one for each token and
    # feature, they neither overflow nor vanish, and nothing is rounded.
    _, units = jnp.frexp(jnp.abs(hidden).max(axis=1))
    hidden = jnp.ldexp(hidden, -units[:, None])
    if weights is None:
        means, variances = hidden.mean(axis=1), hidden.var(axis=1)
    else:
        of_prompt = weights[None, :, None, None]
        means = (hidden * of_prompt).mean(axis=1)
        variances = (jnp.square(hidden - means[:, None]) * of_prompt).mean(axis=1)
    means = jnp.ldexp(means, units)
    centre = jnp.einsum("pt,ltf->lpf", share, means, precision=PRECISION)
    # Now in the unit of the largest token that a probe reads.
    read = reads[None, :, :, None]
    largest = jnp.where(read, units[:, None], -LEAST_UNIT).max(axis=2, keepdims=True)
    smaller = jnp.minimum(units[:, None] - largest, 0)
    # Variance about the common mean: within a token, and between the tokens.
    within = jnp.ldexp(variances[:, None], 2 * smaller)
    between = jnp.square(jnp.ldexp(means[:, None] - centre[:, :, None], -largest))
    variance = (share[None, :, :, None] * (within + jnp.where(read, between, 0))).sum(2)
    spread = jnp.ldexp(jnp.sqrt(variance), largest[:, :, 0])
    # A constant feature has only rounding left to divide by.
    return Scale(centre, jnp.where(spread > 1e-6 * jnp.abs(centre), spread, 1.0))
