"""Which steps do trained layers of linear attention take, and how well do they do?

Two kinds of models are trained: tied layers, which are one layer applied K times, and
layers of their own. Beside them stand K steps of gradient descent (GD) and of GD++ with
the best shared rate, and the best steps that may differ (`icl.theory`). All losses are
mean squared errors at the query.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import xarray as xr

from experiments.engine.figures.checkpoints import model_after
from experiments.engine.figures.evaluation import Evaluation
from experiments.vonoswald2023 import fig2_measure
from icl import LinearRegression, ModelConfig, Prompts, TrainConfig, Transformer, checks
from icl.constructed.linear_attention import linear_gradient_descent
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import JointTokens
from icl.theory import BestSteps, best_steps, context_eigenvalues, steps_risk

WIDTHS = (0.5, 0.75, 1.0, 1.25, 1.5)
"""The ranges of the inputs, as shares of that of training."""

FACTORS = (0.5, 1.0, 2.0, 5.0)
"""The factors by which w is multiplied."""

EARLIEST = 20
"""The first number of updates after which tied models are looked at on their way."""

BODIES = ("tied", "untied")
LEARNERS = ("GD", "GD++")
OPPONENTS = ("GD++", "GD, own steps", "GD++, own steps")
"""What untied layers are compared with, of as many steps as they have layers."""

UNUSUAL = 0.01
"""The share of contexts, those with the largest eigenvalues of X'X, that untied layers
are not judged on: steps may diverge there, and one such context carries the mean."""

SCALARS = ("eta", "gamma", "rest")


@dataclass(frozen=True)
class Config:
    """Settings of the models and of their comparison.

    Attributes:
        dim: the dimension d.
        pairs: the number n of pairs in the context; one more x is the query.
        input_width: each coordinate of x is uniform on an interval of this width
            around 0.
        tied: the number of times that the layer of a tied model is applied.
        untied: the number of layers of a model with layers of their own.
        train: the training of tied models.
        train_untied: the training of the others.
        seeds: the number of models of each kind, with seeds 0, 1, ...
        contexts: the number of contexts whose spectra the optima are taken from.
        evaluation: the prompts on which all are compared.
    """

    dim: int
    pairs: int
    tied: int
    untied: int
    train: TrainConfig
    train_untied: TrainConfig
    input_width: float = 1.0
    seeds: int = 5
    contexts: int = 40_000
    evaluation: Evaluation = Evaluation(prompts=10_000, seed=1, resamples=500)

    def __post_init__(self) -> None:
        sizes = ("dim", "pairs", "seeds", "contexts")
        checks.normalise(self, checks.positive_int, *sizes)
        # One step says nothing: its gamma has no effect.
        checks.normalise(self, checks.positive_int, "tied", "untied", minimum=2)
        checks.finite_number("input_width", self.input_width, positive=True)


def settings(config: Config) -> list[Setting]:
    """Returns all models, the tied ones first."""
    return [
        _setting(config, body, seed) for body in BODIES for seed in range(config.seeds)
    ]


def _setting(config: Config, body: str, seed: int) -> Setting:
    tied = body == "tied"
    layers = config.tied if tied else config.untied
    model = ModelConfig.linear_attention(config.dim, layers, shared_layers=tied)
    train = config.train if tied else config.train_untied
    return Setting(JointTokens(regression(config)), model, train, seed)


def regression(config: Config) -> LinearRegression:
    """Returns the task, with inputs uniform around 0; the last pair is the query."""
    return fig2_measure.uniform(config.dim, config.pairs, config.input_width)


def optima(config: Config) -> dict[str, BestSteps]:
    """Returns the best steps by name, of as many steps as the models have layers."""
    key = jax.random.key(config.evaluation.seed + 1)
    shape = (config.contexts, config.pairs)
    spectrum = context_eigenvalues(regression(config).sample_inputs(key, shape))
    variance = config.input_width**2 / 12
    found = {}
    for body, steps in (("tied", config.tied), ("untied", config.untied)):
        for name, plus_plus in (("GD", False), ("GD++", True)):
            settings = {"plus_plus": plus_plus, "variance": variance}
            found[f"{body} {name}"] = best_steps(spectrum, steps, **settings)
            if body == "untied":
                own = best_steps(spectrum, steps, shared=False, **settings)
                found[f"{body} {name}, own steps"] = own
    return found


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns losses, distances and learnt scalars of all models.

    Returns:
        A Dataset with, for tied models, `error` (seed, prompt), `prediction` and
        `cosine` against each learner (learner, seed, prompt), errors under shifts of
        the inputs and of w, `error_width` (width, seed, prompt) and `error_weights`
        (factor, seed, prompt), and `scalar` (seed, what); for learners `descent`
        (learner, prompt) and `descent_width` (width, learner, prompt), and the same
        in closed form for each context, `theory_width`; for untied models
        `error_untied` (seed, prompt), with the losses of their opponents in closed form
        for each context, `theory_untied` (opponent, prompt), and `usual` (prompt), 1
        for contexts that are not among the `UNUSUAL` ones, and else 0; and losses by
        step, `history_tied` and
        `history_untied`. Of tied models on their way, after each number `look` of
        updates, `error_way` (seed, look, prompt) and `cosine_way` (learner, seed, look,
        prompt). Other theory is in the attributes.
    """
    best = optima(config)
    prompts, _ = config.evaluation.sample(regression(config), whole=True)
    runs = {
        body: [models(_setting(config, body, seed)) for seed in range(config.seeds)]
        for body in BODIES
    }
    tied = [run.model for run in runs["tied"]]
    steps = [best[f"tied {name}"] for name in LEARNERS]
    spectrum = context_eigenvalues(np.asarray(prompts.xs)[:, :-1])
    descents = [_constructed(config, each) for each in steps]
    compared = [
        [fig2_measure.compare(model, built, prompts) for model in tied]
        for built in descents
    ]
    against = {
        name: np.array([[each[name] for each in row] for row in compared])
        for name in ("prediction", "cosine")
    }
    every: dict[str, Any] = {
        "learner": list(LEARNERS),
        "width": list(WIDTHS),
        "factor": list(FACTORS),
    }
    found: dict[str, Any] = {
        **{name: (("learner", "seed", "prompt"), a) for name, a in against.items()},
        "error": (("seed", "prompt"), _errors(tied, prompts)),
        "descent": (("learner", "prompt"), _errors(descents, prompts)),
        "error_untied": (
            ("seed", "prompt"),
            _errors([run.model for run in runs["untied"]], prompts),
        ),
        "error_width": (("width", "seed", "prompt"), _wider(tied, prompts)),
        "descent_width": (("width", "learner", "prompt"), _wider(descents, prompts)),
        "theory_width": (
            ("width", "learner", "prompt"),
            np.stack([_in_closed_form(config, steps, spectrum, a) for a in WIDTHS]),
        ),
        "error_weights": (
            ("factor", "seed", "prompt"),
            np.stack([_errors(tied, _times(prompts, 1.0, c)) for c in FACTORS]),
        ),
        "scalar": (("seed", "what"), np.stack([scalars(model) for model in tied])),
    }
    largest = spectrum[:, -1]
    usual = largest <= np.quantile(largest, 1 - UNUSUAL)
    found["usual"] = ("prompt",), usual.astype(float)
    opponents = [best[f"untied {name}"] for name in OPPONENTS]
    found["theory_untied"] = (
        ("opponent", "prompt"),
        _in_closed_form(config, opponents, spectrum, 1.0),
    )
    every["opponent"] = list(OPPONENTS)
    looks, on_the_way = _on_the_way(config, models, descents, prompts)
    found, every = found | on_the_way, every | {"look": looks}
    for body in BODIES:
        losses = [run.history.held_out_loss.values[:, 0] for run in runs[body]]
        found[f"history_{body}"] = (("seed", f"step_{body}"), np.stack(losses))
        every[f"step_{body}"] = runs[body][0].history.evaluation.values
    about = {f"risk of {name}": steps.risk for name, steps in best.items()}
    about |= {"tied": config.tied, "untied": config.untied}
    about["risk of predicting 0"] = config.dim * config.input_width**2 / 12
    about |= {"resamples": config.evaluation.resamples}
    about["eta"] = 2 * float(best["tied GD++"].rates[0])
    about["gamma"] = float(best["tied GD++"].gammas[0])
    return xr.Dataset(found, {"what": list(SCALARS), **every}, about)


def _on_the_way(
    config: Config, models: Models, descents: Sequence[Transformer], prompts: Prompts
) -> tuple[list[int], dict[str, tuple]]:
    """Returns the looks at tied models while they learn, and what was seen."""
    looks = [step for step in config.train.kept_steps if step >= EARLIEST]
    seen = [
        [
            [fig2_measure.compare(model, built, prompts) for built in descents]
            for model in (
                model_after(models, _setting(config, "tied", seed), step)
                for step in looks
            )
        ]
        for seed in range(config.seeds)
    ]
    cosines = np.array([[[own["cosine"] for own in at] for at in row] for row in seen])
    errors = np.array([[at[0]["error"] for at in row] for row in seen])
    return looks, {
        "cosine_way": (
            ("learner", "seed", "look", "prompt"),
            np.moveaxis(cosines, 2, 0),
        ),
        "error_way": (("seed", "look", "prompt"), errors),
    }


def scalars(model: Transformer) -> np.ndarray:
    """Returns the eta and gamma that tied layers have learnt, and the largest rest.

    The two products W_Q W_K' and W_V W_O say all that a layer does. They are scaled by
    s and 1/s until the mean diagonal of the first is 1 in the rows of x. For GD++ the
    first is then the identity on x, and the second -eta on y and -gamma on x; all else
    is 0. The rest is the largest distance of an entry from these.
    """
    scores, values = fig2_measure.products(model)
    on_x = np.arange(1, len(scores))
    eta, gamma = -values[0, 0], -values[on_x, on_x].mean()
    identity = np.diag([0.0, *np.ones(len(on_x))])
    rest = max(
        np.abs(scores - identity).max(),
        np.abs(values + np.diag([eta, *np.full(len(on_x), gamma)])).max(),
    )
    return np.array([eta, gamma, rest], float)


def _constructed(config: Config, steps: BestSteps) -> Transformer:
    rate, gamma = float(steps.rates[0]), float(steps.gammas[0])
    built = linear_gradient_descent
    return built(config.tied, config.dim, rate, gamma=gamma, dtype="float32")


def _in_closed_form(
    config: Config, learners: Sequence[BestSteps], spectrum: np.ndarray, width: float
) -> np.ndarray:
    """Returns losses of steps on inputs of another range, (learners, contexts).

    They are averaged over w and the query. Inputs of another range multiply the
    eigenvalues of contexts by its square.
    """
    variance = config.input_width**2 / 12 * width**2
    return np.array(
        [
            steps_risk(
                spectrum * width**2, steps.rates, steps.gammas, variance=variance
            )
            for steps in learners
        ]
    )


def _times(prompts: Prompts, width: float, factor: float) -> Prompts:
    """Returns prompts with larger inputs and a larger w, whose labels follow."""
    ys = prompts.ys * (width * factor)
    return prompts._replace(xs=prompts.xs * width, ys=ys)


def _errors(models: Sequence[Transformer], prompts: Prompts) -> np.ndarray:
    """Returns the squared errors at the query, (models, prompts)."""
    with jax.default_matmul_precision("highest"):
        return np.stack([fig2_measure.error(model, prompts) for model in models])


def _wider(models: Sequence[Transformer], prompts: Prompts) -> np.ndarray:
    return np.stack([_errors(models, _times(prompts, width, 1.0)) for width in WIDTHS])
