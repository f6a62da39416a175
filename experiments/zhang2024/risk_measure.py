"""How well does a trained layer of linear attention do on contexts unlike its own?

What the layer answers is linear in the query: x_q' h, where h follows from its kernels
and from the sum of e e' over the tokens e = (y, x) of the context. So the error of a
context is (h - w)' Q (h - w), averaged over queries of covariance Q exactly, and long
contexts cost little.

Convention: the layer adds up over pairs, and the theory averages. On M pairs, where N
were trained on, sums are therefore multiplied by N / M.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from experiments.engine.figures.evaluation import Evaluation, linear_task
from icl import (
    LinearRegression,
    ModelConfig,
    TrainConfig,
    Transformer,
    checks,
    inference,
)
from icl.model.building import arrays_of
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import JointTokens
from icl.theory import layer_risk, trained_layer

LONGER = (1, 2, 4, 32)
"""The lengths of test contexts, as multiples of that in training."""

SHIFTS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The factors by which the covariance of inputs is multiplied."""

INPUTS = ("isotropic", "uneven")
LEARNERS = ("model", "closed form")

CHUNK = 500
"""The number of contexts that are in memory at once."""


@dataclass(frozen=True)
class Config:
    """Settings of the trained layers and of their contexts.

    Attributes:
        dim: the dimension d.
        pairs: the number N of pairs of a context in training.
        train: the training of each layer.
        transformer: the setting of a transformer with softmax attention, which is shown
            inputs of another covariance, too.
        ratio: the largest eigenvalue of the covariance of "uneven" inputs over the
            smallest; their sum is d.
        seeds: the number of layers of each kind, with seeds 0, 1, ...
        evaluation: the contexts.
    """

    dim: int
    pairs: int
    train: TrainConfig
    transformer: Setting
    ratio: float = 8.0
    seeds: int = 5
    evaluation: Evaluation = Evaluation(prompts=10_000, seed=1, resamples=500)

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "dim", "pairs", "seeds")
        checks.normalise(self, checks.finite_number, "ratio", positive=True)
        task = linear_task(self.transformer, own_weights=True)
        checks.positive_int("transformer.task.length", task.length, minimum=2)


def eigenvalues(config: Config, inputs: str) -> Float[np.ndarray, " dim"]:
    """Returns those of the covariance of inputs, whose sum is d."""
    ratio = config.ratio if inputs == "uneven" else 1.0
    values = np.geomspace(ratio, 1.0, config.dim)
    return values * config.dim / values.sum()


def regression(config: Config, inputs: str) -> LinearRegression:
    """Returns the task of a layer, with a query behind N pairs."""
    covariance = None
    if inputs == "uneven":
        covariance = tuple(eigenvalues(config, inputs).tolist())
    return LinearRegression(config.dim, config.pairs + 1, covariance=covariance)


def settings(config: Config) -> list[Setting]:
    """Returns all layers, and the transformer."""
    layers = [
        _setting(config, inputs, seed)
        for inputs in INPUTS
        for seed in range(config.seeds)
    ]
    return [*layers, config.transformer]


def _setting(config: Config, inputs: str, seed: int) -> Setting:
    task = JointTokens(regression(config, inputs))
    model = ModelConfig.linear_attention(config.dim, 1)
    return Setting(task, model, config.train, seed)


def maps(model: Transformer) -> tuple[np.ndarray, np.ndarray]:
    """Returns what a layer does: x_q' of (d, d + 1) scores, and values, (d + 1,).

    Its answer is x_q' scores (sum of e e') values.
    """
    arrays = arrays_of(model)
    query, key, value = np.split(
        np.asarray(arrays["body.0.attention.qkv.kernel"], float), 3, axis=1
    )
    out = np.asarray(arrays["body.0.attention.out.kernel"], float)
    return (query @ key.T)[1:], -(value @ out)[:, 0]


def preconditioner(model: Transformer, pairs: int) -> Float[np.ndarray, "dim dim"]:
    """Returns G of the layer, by which averages of y x are multiplied."""
    scores, values = maps(model)
    return pairs * scores[:, 1:] * values[0]


def learnt_weights(
    model: Transformer, xs: np.ndarray, ys: np.ndarray, pairs: int
) -> Float[np.ndarray, "contexts dim"]:
    """Returns h of each context, with sums of as many pairs as in training."""
    scores, values = maps(model)
    tokens = np.concatenate([ys[..., None], xs], axis=-1)
    fetched = np.einsum("bne,bn->be", tokens, tokens @ values)
    return pairs / xs.shape[1] * fetched @ scores.T


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns the errors of layers and of the closed form on the same contexts.

    Returns:
        A Dataset with `error` over (inputs, learner, longer, seed, prompt) and
        `shifted` over (learner, shift, seed, prompt), in units of the error of
        predicting 0; `apart` (inputs, seed), the relative distance of the learnt
        preconditioner to the closed form, and `rest`, the largest other term relative
        to it; `transformer` over (shift, asked). Risks in closed form, `risk` (inputs,
        longer) and `risk_shifted` (shift), `limit` (inputs) for infinitely many pairs,
        and `risk_transformer` (shift), of a layer with the transformer's d and n.
    """
    count, seeds = config.evaluation.prompts, range(config.seeds)
    error = np.zeros((len(INPUTS), 2, len(LONGER), config.seeds, count), np.float32)
    shifted = np.zeros((2, len(SHIFTS), config.seeds, count), np.float32)
    apart, rest = np.zeros((2, len(INPUTS), config.seeds))
    for place, inputs in enumerate(INPUTS):
        trained = [models(_setting(config, inputs, seed)).model for seed in seeds]
        wanted = trained_layer(eigenvalues(config, inputs), config.pairs)
        for row, longer in enumerate(LONGER):
            error[place, :, row] = _errors(config, trained, wanted, inputs, longer)
        for seed, model in enumerate(trained):
            apart[place, seed], rest[place, seed] = _distance(config, model, wanted)
        if inputs == "isotropic":
            for row, factor in enumerate(SHIFTS):
                shifted[:, row] = _errors(config, trained, wanted, inputs, 1, factor)
    dims = ("learner", "shift", "seed", "prompt")
    found = {
        "error": (("inputs", "learner", "longer", "seed", "prompt"), error),
        "shifted": (dims, shifted),
        "apart": (("inputs", "seed"), apart),
        "rest": (("inputs", "seed"), rest),
        "transformer": (("shift", "asked"), _of_transformer(config, models)),
        **_closed_forms(config),
    }
    coords = {"inputs": list(INPUTS), "learner": list(LEARNERS)}
    coords |= {"longer": list(LONGER), "shift": list(SHIFTS), "seed": list(seeds)}
    about = {"dim": config.dim, "pairs": config.pairs}
    about |= {"resamples": config.evaluation.resamples}
    return xr.Dataset(found, coords, about)


def _contexts(
    config: Config, inputs: str, longer: int
) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
    """Yields places, inputs, labels and weights of contexts, chunk by chunk."""
    random = np.random.default_rng(config.evaluation.seed)
    root = np.sqrt(eigenvalues(config, inputs))
    for start in range(0, config.evaluation.prompts, CHUNK):
        count = min(CHUNK, config.evaluation.prompts - start)
        shape = (count, longer * config.pairs, config.dim)
        xs = root * random.standard_normal(shape)
        ws = random.standard_normal((count, config.dim))
        ys = np.einsum("bnd,bd->bn", xs, ws)
        yield slice(start, start + count), xs, ys, ws


def _errors(
    config: Config,
    trained: list[Transformer],
    wanted: np.ndarray,
    inputs: str,
    longer: int,
    factor: float = 1.0,
) -> Float[np.ndarray, "learner seed prompt"]:
    """Returns errors on inputs whose covariance is multiplied by a factor."""
    found = np.zeros((2, len(trained), config.evaluation.prompts))
    query = eigenvalues(config, inputs)  # of the covariance; the factor cancels
    for at, xs, ys, ws in _contexts(config, inputs, longer):
        xs, ys = xs * factor**0.5, ys * factor**0.5
        averaged = np.einsum("bnd,bn->bd", xs, ys) / xs.shape[1]
        learnt = [learnt_weights(model, xs, ys, config.pairs) for model in trained]
        closed = averaged @ wanted.T
        for row, solved in enumerate((np.stack(learnt), closed[None])):
            errors = np.square(solved - ws) @ query / query.sum()
            found[row, :, at] = errors
    return found


def _distance(
    config: Config, model: Transformer, wanted: np.ndarray
) -> tuple[float, float]:
    """Returns how far G is from the closed form, and how large all else is."""
    scores, values = maps(model)
    own = preconditioner(model, config.pairs)
    apart = np.linalg.norm(own - wanted) / np.linalg.norm(wanted)
    size = np.sqrt(np.square(scores[:, 1:]).mean()) * config.dim**0.5
    others = np.abs(scores[:, 0]).max() / size, np.abs(values[1:] / values[0]).max()
    return float(apart), float(max(others))


def _of_transformer(config: Config, models: Models) -> Float[np.ndarray, "shift asked"]:
    """Returns errors of the transformer at the last x, over those of predicting 0."""
    model, task = (
        models(config.transformer).model,
        linear_task(config.transformer),
    )
    prompts, _ = config.evaluation.sample(task, whole=True)
    found = []
    for factor in SHIFTS:
        xs, ys = prompts.xs * factor**0.5, prompts.ys * factor**0.5
        predicted = inference.predictions(model, prompts._replace(xs=xs, ys=ys))
        errors = np.square(predicted[:, -1] - np.asarray(ys)[:, -1])
        found.append(errors / (factor * task.normaliser))
    return np.stack(found)


def _closed_forms(config: Config) -> dict:
    """Returns risks of the closed form in units of that of predicting 0."""
    risk, limit = np.zeros((len(INPUTS), len(LONGER))), np.zeros(len(INPUTS))
    for place, inputs in enumerate(INPUTS):
        values = eigenvalues(config, inputs)
        layer, zero = trained_layer(values, config.pairs), values.sum()
        for row, longer in enumerate(LONGER):
            risk[place, row] = layer_risk(layer, values, longer * config.pairs) / zero
        limit[place] = layer_risk(layer, values, np.inf) / zero
    task = linear_task(config.transformer)
    return {
        "risk": (("inputs", "longer"), risk),
        "limit": (("inputs",), limit),
        "risk_shifted": (("shift",), _shifted_risk(config.dim, config.pairs)),
        "risk_transformer": (("shift",), _shifted_risk(task.dim, task.length - 1)),
    }


def _shifted_risk(dim: int, pairs: int) -> np.ndarray:
    ones = np.ones(dim)
    layer = trained_layer(ones, pairs)
    return np.array([layer_risk(layer, c * ones, pairs) / (c * dim) for c in SHIFTS])
