"""Gradient descent step by step on in-context regressions, scored by every metric.

The scale is the number k of steps of w <- w - (1 / lambda_max) X'(Xw - y), from w = 0,
where lambda_max is the largest eigenvalue of that prompt's X'X. (With one step size for
all prompts the mean error explodes through a few badly conditioned ones.) There is no
noise and n > d, so that the error along an eigenvector is (1 - lambda / lambda_max)^k
of what it was: no step is taken here, and no model is run.
"""

from dataclasses import dataclass

import jax
import numpy as np
import xarray as xr

from experiments.engine.figures.evaluation import Evaluation
from icl import LinearRegression, Prompts, checks
from icl.emergence import Choices, Errors

THRESHOLDS = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
"""Of `solved`: the largest mean squared error of a prompt, in units of the variance."""

LARGEST_COUNTS = (1, 2, 4, 8)
"""How many queries must be right at once; only those that there are."""

SHUFFLES = 64
"""How often queries are dealt out to other prompts, for `apart`."""


@dataclass(frozen=True)
class Config:
    """Settings of the figure. No model is trained.

    Attributes:
        dim: the dimension d.
        pairs: the number n of pairs in the context, above d.
        queries: fresh inputs at which each prompt is asked.
        doublings: steps are 1, 2, 4, ..., 2^doublings.
        candidates: the number of options of multiple choice.
        epsilon: a query is hit if its error is below epsilon sqrt(d).
        evaluation: the prompts, and the resamples of intervals.
    """

    dim: int = 8
    pairs: int = 16
    queries: int = 8
    doublings: int = 8
    candidates: int = 4
    epsilon: float = 0.1
    evaluation: Evaluation = Evaluation(prompts=4_000, seed=0, resamples=1_000)

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "dim", "queries")
        checks.positive_int("doublings", self.doublings, minimum=2, maximum=30)
        checks.positive_int("candidates", self.candidates, minimum=2)
        checks.finite_number("epsilon", self.epsilon, positive=True)
        if checks.positive_int("pairs", self.pairs) <= self.dim:
            raise ValueError(
                f"pairs must be more than dim={self.dim}, so that w can be learnt, got "
                f"{self.pairs}."
            )
        self.evaluation.require_prompts(2 * self.queries)

    @property
    def steps(self) -> np.ndarray:
        """The numbers of steps, k."""
        return 2 ** np.arange(self.doublings + 1)


def measure(config: Config) -> xr.Dataset:
    """Returns the scores of every prompt after k steps, by every metric.

    Returns:
        A Dataset over (k, prompt) of `nmse`, `hit`, `grade`, `brier`, `right` and
        `wrong`, with `all_of` over (queries, k, prompt), `solved` over (threshold, k,
        prompt), and `apart` over (shuffle, k): all queries right, each of another
        prompt.
    """
    xs, weights, rng = draw(config)
    predictions = predict(xs[:, : config.pairs], weights, xs[:, config.pairs :], config)
    truth = np.einsum("bqd,bd->bq", xs[:, config.pairs :], weights)
    k, d = config.steps, float(config.dim)
    errors = Errors.from_predictions(k, predictions, truth, variance=d)
    hits = errors.hits(config.epsilon)
    counts = [count for count in LARGEST_COUNTS if count <= config.queries]
    others = rng.standard_normal((len(xs), config.candidates - 1, config.dim))
    wrong = np.einsum("bqd,bcd->bqc", xs[:, config.pairs :], others)
    candidates = np.concatenate([truth[..., None], wrong], axis=2)
    choices = Choices.from_predictions(k, predictions, candidates, variance=d)
    curves = {
        "nmse": errors.nmse(),
        "hit": hits.rate(),
        "grade": choices.accuracy(),
        "brier": choices.brier(),
        "right": choices.right_log_probability(),
        "wrong": choices.wrong_log_probability(),
    }
    together = [hits.all_of(count).scores for count in counts]
    solved = [errors.solved(limit).scores for limit in THRESHOLDS]
    return xr.Dataset(
        {name: (("k", "prompt"), curve.scores) for name, curve in curves.items()}
        | {
            "all_of": (("queries", "k", "prompt"), np.stack(together)),
            "solved": (("threshold", "k", "prompt"), np.stack(solved)),
            "apart": (("shuffle", "k"), apart(hits, rng)),
        },
        coords={"k": k, "queries": counts, "threshold": list(THRESHOLDS)},
        attrs={"resamples": config.evaluation.resamples, "epsilon": config.epsilon},
    )


def draw(config: Config) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Returns inputs (prompt, pairs + queries, d), weights, and what else is drawn."""
    task = LinearRegression(dim=config.dim, length=config.pairs + config.queries)
    seed = config.evaluation.seed
    prompts: Prompts = task.sample(
        jax.random.key(seed), batch=config.evaluation.prompts
    )
    xs, weights = (np.asarray(a, float) for a in (prompts.xs, prompts.weights))
    return xs, weights, np.random.default_rng(seed)


def predict(
    xs: np.ndarray, weights: np.ndarray, queries: np.ndarray, config: Config
) -> np.ndarray:
    """Returns predictions (k, prompt, query) after k steps of gradient descent."""
    values, vectors = np.linalg.eigh(np.swapaxes(xs, 1, 2) @ xs)
    own = np.einsum("bde,bd->be", vectors, weights)
    asked = np.einsum("bqd,bde->bqe", queries, vectors)
    left = 1 - values / values[:, -1:]
    return np.stack(
        [np.einsum("bqe,be->bq", asked, (1 - left**k) * own) for k in config.steps]
    )


def apart(hits, rng: np.random.Generator) -> np.ndarray:
    """Returns the share in which all queries are right, each of another prompt.

    Prompts are dealt into groups again and again, as few groups are all right. A number
    is the mean of one deal; all of them are of the same prompts.
    """
    prompts, count = hits.hits.shape[1:]
    shares = []
    for _ in range(SHUFFLES):
        dealt = type(hits)(hits.scale, hits.hits[:, rng.permutation(prompts)])
        shares.append(dealt.all_of(count, across="prompts").values)
    return np.stack(shares)
