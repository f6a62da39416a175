"""What do mean states of a function say, and what is made of labels that say nothing?

The task vector of a function at a layer and a token is the mean of the hidden state
there over many prompts with this function. Every prompt is averaged with its mirror
image, whose inputs and labels have the other sign: it has the same function, and what
the two differ in cancels, so that a mean of finitely many prompts holds none of it.

Shapes: states are (prompts, tokens, width); the tokens are x_1, y_1, ..., x_n, so that
labels stand at odd places, and the last token is the x that is asked about.
"""

import itertools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float

from experiments.raventos2023.pools_claims import FEW
from experiments.raventos2023.pools_measure import Several, prompts_of, task_of
from icl import Prompts, Transformer, inference
from icl.baselines import DiscretePosterior, PosteriorMean
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import Pool, Task

CONTEXTS = 200
"""Prompts of each function that are averaged, beside as many mirror images."""

EDITS = ("labels", "query")
"""What is written: the donor's vectors at all labels, or the difference of the two
functions' vectors, which is added at the x that is asked about."""

SOURCES = ("seen", "new")
"""Functions of training, or fresh ones."""

LEARNERS = ("posterior", "ridge", "zero")
"""Whom the model is compared with on labels that say nothing."""

LABELS, LAST_LABEL, QUERY = slice(1, None, 2), -2, -1


def measure(config: Several, models: Models) -> xr.Dataset:
    """Measures task vectors of the models of all pools.

    Returns:
        A Dataset over (seed, size, ...), where the size is infinite for a model without
        a pool, with

        - `after` over (edit, layer, prompt): the predictions at the last x after an
          edit; `before` and `wanted` over (prompt,) are those without one, and what the
          donor's function says;
        - `inside` over (vectors, source, layer, prompt): the squared length of a state
          at the last label, less the mean over prompts, within the span of the vectors
          of some functions there; `whole` over (source, layer, prompt) is that of all
          of it. They are missing at the embedding, whose vectors are all the same;
        - `apart` over (learner, prompt): the squared difference / d of the model to a
          learner, at the last x, where each label is of a function of its own.
    """
    sizes = (*config.sizes, None)
    rows = [
        xr.concat([_of_model(config, models, size, seed) for size in sizes], dim="size")
        for seed in range(config.seeds)
    ]
    found = xr.concat(rows, dim="seed").assign_coords(
        size=[np.inf if size is None else float(size) for size in sizes],
        seed=range(config.seeds),
    )
    resamples = config.evaluation.resamples
    return found.assign_attrs(dim=config.task.dim, resamples=resamples)


def _of_model(
    config: Several, models: Models, size: int | None, seed: int
) -> xr.Dataset:
    """Returns what is measured of one model."""
    task = task_of(config, size, seed)
    model = models(Setting(task, config.model, config.train, seed)).model
    return xr.merge(
        [edits(config, task, model), random_labels(config, task, model)],
        combine_attrs="drop",
    )


# --- vectors ---


def functions_of(config: Several, task: Task) -> Mapping[str, Float[np.ndarray, "f d"]]:
    """Returns the weights of at most `FEW` functions of training, and of new ones."""
    keys = jax.random.split(jax.random.key(config.evaluation.seed))
    drawn = [np.asarray(config.task.functions(key, FEW)["weights"]) for key in keys]
    if not isinstance(task, Pool):
        return dict(zip(SOURCES, drawn, strict=True))
    count = min(task.size, FEW)
    seen = np.asarray(task.members(jnp.arange(count))["weights"])
    return {"seen": seen, "new": drawn[1][:count]}


def asked(config: Several, prompts: Prompts, weights: np.ndarray) -> Prompts:
    """Returns prompts with the same inputs and noise, and with these weights each."""
    key = jax.random.key(config.evaluation.seed)
    return prompts_of(config.task, key, prompts.xs, weights)


def task_vectors(
    config: Several, model: Transformer, weights: Float[np.ndarray, "functions dim"]
) -> Float[np.ndarray, "layers functions tokens width"]:
    """Returns the mean state of each function at each layer and token.

    All functions have the same inputs and the same noise.
    """
    prompts, _ = config.evaluation.sample(config.task, more=CONTEXTS, whole=True)
    prompts = jax.tree.map(lambda array: array[-CONTEXTS:], prompts)
    vectors = []
    for own in weights:
        one = asked(config, prompts, np.tile(own, (CONTEXTS, 1)))
        mirrored = one._replace(xs=-one.xs, ys=-one.ys)
        both = jax.tree.map(lambda *parts: jnp.concatenate(parts), one, mirrored)
        hidden = inference.hidden_states(model, both)
        vectors.append(hidden.mean(axis=1, dtype=float))
    return np.stack(vectors, axis=1).astype(np.float32)


def edits(config: Several, task: Task, model: Transformer) -> xr.Dataset:
    """Returns predictions after edits, and states within the span of task vectors."""
    functions = functions_of(config, task)
    vectors = {
        name: task_vectors(config, model, weights)
        for name, weights in functions.items()
    }
    fresh, _ = config.evaluation.sample(config.task, whole=True)
    count = len(functions["seen"])
    own = np.arange(config.evaluation.prompts) % count
    step = np.random.default_rng(config.evaluation.seed).integers(1, count, len(own))
    donor = (own + step) % count
    prompts = asked(config, fresh, functions["seen"][own])
    hidden = {
        "seen": inference.hidden_states(model, prompts),
        "new": inference.hidden_states(model, fresh),
    }
    after = [
        [
            inference.resumed(model, written(state, seen, own, donor, edit), layer)
            for layer, (state, seen) in enumerate(
                zip(hidden["seen"], vectors["seen"], strict=True)
            )
        ]
        for edit in EDITS
    ]
    given = functions["seen"][donor]
    wanted = (given * np.asarray(prompts.xs[:, -1])).sum(axis=-1)
    return (
        _spans(vectors, hidden)
        .assign(
            after=(("edit", "layer", "prompt"), np.array(after)),
            before=("prompt", inference.predictions(model, prompts)[:, -1]),
            wanted=("prompt", wanted),
        )
        .assign_coords(edit=list(EDITS), layer=range(len(hidden["seen"])))
    )


def written(
    state: Float[np.ndarray, "prompts tokens width"],
    vectors: Float[np.ndarray, "functions tokens width"],
    own: np.ndarray,
    donor: np.ndarray,
    edit: str,
) -> Float[np.ndarray, "prompts tokens width"]:
    """Returns states into which the vectors of the donor's function are written."""
    edited = state.copy()
    if edit == "labels":
        edited[:, LABELS] = vectors[donor][:, LABELS]
    else:
        edited[:, QUERY] += vectors[donor, QUERY] - vectors[own, QUERY]
    return edited


def _spans(
    vectors: Mapping[str, np.ndarray], hidden: Mapping[str, np.ndarray]
) -> xr.Dataset:
    """Returns the squared lengths of states, and those within spans of vectors."""
    layers, count = hidden["seen"].shape[:2]
    shape = (len(SOURCES), layers, count)
    whole, inside = np.full(shape, np.nan), np.full((len(SOURCES), *shape), np.nan)
    for column, layer in itertools.product(range(len(SOURCES)), range(1, layers)):
        states = hidden[SOURCES[column]][layer, :, LAST_LABEL].astype(float)
        states -= states.mean(axis=0)
        whole[column, layer] = np.square(states).sum(axis=-1)
        for row, name in enumerate(SOURCES):
            basis = span(vectors[name][layer, :, LAST_LABEL])
            within = np.square(states @ basis.T).sum(axis=-1)
            inside[row, column, layer] = within
    return xr.Dataset(
        {
            "whole": (("source", "layer", "prompt"), whole),
            "inside": (("vectors", "source", "layer", "prompt"), inside),
        },
        coords={"vectors": list(SOURCES), "source": list(SOURCES)},
    )


def span(
    vectors: Float[np.ndarray, "functions width"],
) -> Float[np.ndarray, "rank width"]:
    """Returns orthonormal directions of the differences between vectors."""
    centred = vectors - vectors.mean(axis=0, dtype=float)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    return directions[sizes > 1e-6 * sizes[0]]


# --- labels that say nothing ---


def random_labels(config: Several, task: Task, model: Transformer) -> xr.Dataset:
    """Returns how far the model is from learners where labels say nothing.

    Each label is that of a function of its own, drawn from the law of the weights.
    """
    prompts, key = config.evaluation.sample(config.task, whole=True)
    function_key, noise_key = jax.random.split(key)
    count, length, dim = prompts.xs.shape
    functions = config.task.functions(function_key, count * length)
    values = config.task.values(functions, prompts.xs.reshape(-1, 1, dim))
    ys = config.task.labels(noise_key, values.reshape(count, length))
    prompts = prompts._replace(ys=ys)
    own = inference.predictions(model, prompts)[:, -1].astype(float)
    noise_std = config.task.noise_std
    said = {
        "posterior": np.full(count, np.nan),
        "ridge": inference.predictions(PosteriorMean(noise_std), prompts)[:, -1],
        "zero": np.zeros(count),
    }
    if isinstance(task, Pool):
        learner = DiscretePosterior(task)
        said["posterior"] = inference.predictions(learner, prompts)[:, -1]
    apart = [np.square(own - said[name]) / dim for name in LEARNERS]
    return xr.Dataset(
        {
            "apart": (("learner", "prompt"), np.array(apart)),
        },
        coords={"learner": list(LEARNERS)},
    )
