"""What do pooled probes read out of a model's hidden states? For Figures 4 and 5.

The paper's probe is described in its section 5, Equations 20-21. A softmax over
positions, which is learned and the same for every prompt, averages the states of a
layer, and a linear map or a two-layer MLP reads the target out of the average. There is
one probe for each layer, target and number of examples n; after n examples it may read
the tokens x1, y1, ..., xn, yn.

There are two targets: X'y, here divided by n, and the weights that least squares finds
in the n examples. An error is the mean squared error over the variance, 1 - R2, so that
neither the division nor the growth of X'y with n matters; the paper does not say how it
normalised its errors.

Three models are probed: the one in question; the paper's control, which has the same
shape and training but saw w = (1, ..., 1) in every training prompt, so that it had
nothing to learn in context; and a model of that shape that was not trained at all. All
are probed on the same prompts, whose w is random. The measurements are kept in
`probing/` of the results folder, because two figures need them.

A prompt of n pairs ends at xn, whose label is not fed to the model. So there are probes
for n - 1 numbers of examples (the paper has n = 40 of them).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import jax
import numpy as np
import xarray as xr

from experiments.engine.figures.evaluation import (
    Evaluation,
    check_test_fraction,
    linear_task,
)
from experiments.engine.figures.runs import kept
from experiments.engine.figures.seeds import each_alone, joined, own_settings
from experiments.engine.figures.side_by_side import side_by_side
from experiments.engine.provenance import digest
from experiments.reference_models import control_of
from icl import (
    Prompts,
    Transformer,
    checks,
    inference,
    sweeps,
    token_contexts,
    token_names,
)
from icl.model.building import build
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.targets import learner_weights, moment, target_values
from probes import PooledProbe, probe_grid
from probes.pooled import fit, position_weights

Kind = Literal["trained", "control", "untrained"]
TARGETS = {"X'y / n": "moment vector X'y", "w OLS": "least-squares weights"}
HEADS = {"linear": "linear", "mlp": "MLP"}
REFITS = 12


@dataclass(frozen=True)
class Config:
    """Settings of the probed model, and of its probes.

    Attributes:
        setting: the model, or the first of several.
        seeds: the number of models; their seeds are that of the setting and the numbers
            after it.
        evaluation: the prompts from which probes are fitted and on which they are
            tested; the tested ones are resampled. Hidden states take
            (layers + 1) x prompts x tokens x width x 4 bytes.
        units: the number of hidden units of the MLP probe.
        learning_rate: the learning rate of Adam for the probes.
        batch_size: the number of prompts in a minibatch of the probes' training.
        epochs: the largest number of epochs of the probes' training.
        patience: the number of epochs without a lower validation error after which a
            probe's training stops.
        test_fraction: the share of the prompts on which probes are tested.
        refits: how often the probes of the best layer are fitted again, to resampled
            training prompts, for the uncertainty of their position weights.
        probe_seed: the seed of the split and of the probes' training.
    """

    setting: Setting
    evaluation: Evaluation = Evaluation()
    units: int = 64
    learning_rate: float = 1e-2
    batch_size: int = 128
    epochs: int = 400
    patience: int = 10
    test_fraction: float = 0.25
    refits: int = REFITS
    probe_seed: int = 0
    seeds: int = 1

    def __post_init__(self) -> None:
        task = linear_task(self.setting, own_weights=True)
        for name in ("seeds", "units", "batch_size", "epochs", "patience", "refits"):
            checks.positive_int(name, getattr(self, name))
        self.evaluation.require_prompts(16)
        checks.positive_int("task.length", task.length, minimum=2)
        checks.positive_int("probe_seed", self.probe_seed, minimum=0)
        checks.finite_number("learning_rate", self.learning_rate, positive=True)
        check_test_fraction(self.test_fraction)


def settings(config: Config) -> list[Setting]:
    """Returns the models that are trained: those in question, and their controls."""
    trained = own_settings(config)
    return [*trained, *map(control_of, trained)]


def measure(config: Config, which: Kind, models: Models) -> xr.Dataset:
    """Returns the scores and position weights of all probes of one of the models.

    Returns:
        A Dataset over (head, layer, token, target), where the tokens are y1, y2, ...,
        with `r2`, its interval and the other scores of `probe_grid`,
        `position_weights` with one more axis `position`, and

        - `error`, (head, layer, target): 1 - R2, averaged over tokens, and
          `error_resampled`, with one more axis `resample`;
        - `best_layer`, (head, target): the layer where the error is least on validation
          prompts, on which no error is reported;
        - `refitted`, (target, refit, token, position): the position weights of the MLP
          probe at its layer, for the trained model alone.
    """

    def make() -> xr.Dataset:
        refits = config.refits if which == "trained" else 0
        return _probe_model(config, _model(config, models, which), refits)

    if models.results is None:
        return make()
    folder = models.results / "akyurek2023" / "probing" / f"{which}-{digest(config)}"
    return kept(folder, make, partial(_parts, which=which))


def _parts(dataset: xr.Dataset, which: Kind) -> list[object]:
    """Returns what figures and claims need of what `measure` has kept."""
    named = dataset.sel(head=list(HEADS), target=list(TARGETS))
    parts = [
        named.error.transpose("head", "layer", "target"),
        named.error_resampled.transpose("head", "layer", "target", "resample"),
        named.position_weights.isel(layer=named.best_layer).sel(position=dataset.token),
        dataset.context.transpose("token"),
        int(dataset.attrs["dim"]),
    ]
    if which == "trained":
        places = ("target", "refit", "token", "position")
        parts.append(named.refitted.transpose(*places))
    return parts


def _model(config: Config, models: Models, which: Kind) -> Transformer:
    """Returns one of the three models."""
    setting = config.setting
    if which == "untrained":
        return build(setting.task.codec, setting.model, jax.random.key(setting.seed))
    return models(setting if which == "trained" else control_of(setting)).model


def _probe_model(config: Config, model: Transformer, refits: int) -> xr.Dataset:
    """Returns the scores of all probes of a model, some of them fitted again."""
    task = linear_task(config.setting)
    prompts, _ = config.evaluation.sample(task, whole=True)
    hidden = inference.hidden_states(model, prompts)
    targets = values(prompts)
    grid = _with_errors(_probe_grids(config, task.length, hidden, targets))
    if refits:
        weights = [
            _refit(
                config,
                hidden[int(grid.best_layer.sel(head="mlp", target=name))],
                target,
                token_contexts(task.length),
                refits,
            )
            for name, target in targets.items()
        ]
        grid["refitted"] = ("target", "refit", "token", "position"), np.stack(weights)
    names = token_names(task.length)
    return grid.assign_coords(position=names).assign_attrs(dim=task.dim)


def _probe_grids(
    config: Config, length: int, hidden: np.ndarray, targets: Mapping[str, np.ndarray]
) -> xr.Dataset:
    """Returns what `probe_grid` finds, with each head along a dimension `head`."""
    names = token_names(length)
    grids = [
        probe_grid(
            hidden,
            targets,
            probe=probe(config, head),
            contexts=token_contexts(length),
            tokens=names,
            at=names[1::2],
            ceilings=dict.fromkeys(targets, 1.0),
            test_fraction=config.test_fraction,
            resamples=config.evaluation.resamples,
            seed=config.probe_seed,
            control=False,  # other models are the control here, and cost less
            keep_resamples=True,
        )
        for head in HEADS
    ]
    return xr.concat(grids, xr.Variable("head", list(HEADS)))


def _with_errors(grid: xr.Dataset) -> xr.Dataset:
    """Returns the grid with errors averaged over tokens in place of resampled R2s."""
    error = 1 - grid.r2_resampled.mean("token")
    grid = grid.drop_vars("r2_resampled").assign(
        error=1 - grid.r2.mean("token"), error_resampled=error.astype("float32")
    )
    return grid.assign(best_layer=grid.validation_error.mean("token").argmin("layer"))


def _refit(
    config: Config,
    states: np.ndarray,
    target: np.ndarray,
    contexts: np.ndarray,
    refits: int,
) -> np.ndarray:
    """Returns position weights of MLP probes that are fitted to resampled prompts."""
    places = np.arange(1, states.shape[1], 2)
    reads = np.arange(states.shape[1]) <= places[:, None]
    wanted = np.moveaxis(target[:, contexts[places]], 1, 0)
    weights = []
    for refit in range(refits):
        rng = np.random.default_rng([config.probe_seed, refit])
        order = rng.permutation(len(states))
        stop, train = np.split(order, [len(order) // 5])
        fitted = fit(
            states[None],
            wanted,
            reads,
            train=rng.choice(train, len(train)),
            validation=stop,
            config=probe(config, "mlp").config(),
            seed=refit,
        )
        weights.append(position_weights(fitted.probes, reads)[0])
    return np.stack(weights)


def values(prompts: Prompts) -> dict[str, np.ndarray]:
    """Returns both targets after every number of examples, (prompts, contexts, d)."""
    found = target_values([moment("mean"), learner_weights()], prompts)
    return dict(zip(TARGETS, found.values(), strict=True))


def probe(config: Config, head: str) -> PooledProbe:
    """Returns the paper's probe with this head."""
    return PooledProbe(
        head=head,
        units=config.units,
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        max_iter=config.epochs,
        n_iter_no_change=config.patience,
        random_state=config.probe_seed,
    )


def compare(config: Config, models: Models) -> xr.Dataset:
    """Returns what `measure` finds for all models, along a dimension `model`.

    Where there are several seeds, they have a first dimension.
    """
    sweeps.train_missing(settings(config), models)
    kinds = get_args(Kind)
    calls = list(itertools.product(each_alone(config), kinds))
    found = side_by_side(measure, calls, models)
    starts = range(0, len(found), len(kinds))
    groups = [found[start : start + len(kinds)] for start in starts]
    return joined(list(map(_compared, groups)), config)


def _compared(found: Sequence[xr.Dataset]) -> xr.Dataset:
    """Returns what was found for the three models of one seed as one Dataset."""
    trained, *others = found
    every = [trained.drop_vars("refitted"), *others]
    names = xr.Variable("model", list(get_args(Kind)))
    together = xr.concat(every, names, combine_attrs="drop")
    return together.assign(refitted=trained.refitted).assign_attrs(dim=trained.dim)
