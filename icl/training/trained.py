"""What comes out of a training run: a model that knows how it was made.

`save` and `load` put it on disk and take it back through `icl.training.checkpoint`; a
saved model needs nothing else to be loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icl.model.building import abstract_params, blueprint
from icl.model.config import ModelConfig
from icl.model.transformer import Transformer
from icl.tasks.linear import LinearRegression
from icl.training import checkpoint
from icl.training.checkpoint import CheckpointError, Stored
from icl.training.config import TrainConfig, schedule
from icl.training.description import configs, describe

if TYPE_CHECKING:
    import xarray as xr


# What is recorded of a run, and the axes of each record.
HISTORY = {
    "loss": ("step",),
    "gradient_norm": ("step",),
    "held_out_loss": ("evaluation", "context"),
}


@dataclass(frozen=True)
class Trained:
    """A trained model and all that made it.

    What `train`, `load` and `load_pretrained` return.

    Attributes:
        model: the transformer, ready to be called on prompts.
        history: a Dataset of `loss`, `gradient_norm` and `learning_rate` by step (as
            they were before that step's update), and `held_out_loss` by (evaluation,
            context), where `evaluation` is the number of updates made until then.
            Losses are mean squared errors, not halved.
        task: what it was trained on; `task.sample(key, batch=)` draws more prompts.
        model_config: shape and variant of the model.
        train_config: settings of the run.
        steps: updates made.
    """

    model: Transformer
    history: "xr.Dataset"
    task: LinearRegression
    model_config: ModelConfig
    train_config: TrainConfig
    steps: int


def save(path: str | Path, trained: Trained) -> Path:
    """Writes a trained model into the directory `path`; returns the step's folder.

    Raises:
        FileExistsError: `path` holds a checkpoint already, perhaps a run's.
        OSError: the directory cannot be written.
    """
    if checkpoint.folders(Path(path)):
        raise FileExistsError(
            f"There is a checkpoint in {path} already; choose another directory."
        )
    about = describe(trained.task, trained.model_config, trained.train_config)
    history = {name: np.asarray(trained.history[name]) for name in HISTORY}
    history["evaluated"] = np.asarray(trained.history["evaluation"])
    arrays = {
        **checkpoint.flatten(nnx.state(trained.model), "state.params"),
        **checkpoint.flatten(history, "history"),
    }
    return checkpoint.write(Path(path), Stored(trained.steps, about, arrays))


def load(path: str | Path) -> Trained:
    """A trained model from a run's directory (its newest step) or one step's folder.

    Raises:
        FileNotFoundError: no checkpoint there.
        CheckpointError: none that is whole, one of another format, or an ensemble's.
    """
    path = Path(path)
    whole = (path / "manifest.json").exists()
    stored = checkpoint.read(path) if whole else checkpoint.read_latest(path)
    if stored is None:
        raise FileNotFoundError(f"There is no checkpoint in {path}.")
    if "members" in stored.about:
        raise CheckpointError(
            f"{path} holds an ensemble of {stored.about['members']} models; call "
            "train_ensemble with its arguments and this directory to get them."
        )
    task, model_config, train_config = configs(stored.about)
    abstract = abstract_params(task, model_config)
    with jax.enable_x64(True):  # float64 parameters stay what they are
        params = checkpoint.unflatten(stored.arrays, abstract, "state.params")
    return assemble(
        task, model_config, train_config, params, history_of(stored.arrays), stored.step
    )


def assemble(
    task: LinearRegression,
    model_config: ModelConfig,
    train_config: TrainConfig,
    params: Any,
    history: Mapping[str, np.ndarray],
    steps: int,
) -> Trained:
    """The parts of one run put together."""
    graphdef, _ = blueprint(task, model_config)
    # On the default device: a model that stayed on all of a run's devices would do
    # all its later work once on each of them.
    with jax.enable_x64(True):  # float64 parameters stay what they are
        params = jax.tree.map(jnp.asarray, jax.device_get(params))
        model = nnx.merge(graphdef, params)
    return Trained(
        model=model,
        history=_as_dataset(history, train_config),
        task=task,
        model_config=model_config,
        train_config=train_config,
        steps=steps,
    )


def untrained(model: Transformer, task: LinearRegression) -> Trained:
    """A model as it is, in the form that `save` takes: no updates, an empty history.

    Its `train_config` is the default one, and stands for nothing.
    """
    history = {name: np.zeros((0,) * len(axes)) for name, axes in HISTORY.items()}
    history["evaluated"] = np.zeros(0, int)
    params = nnx.state(model)
    return assemble(task, model.config, TrainConfig(), params, history, steps=0)


def history_of(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The records of a run among a checkpoint's arrays."""
    names = (*HISTORY, "evaluated")
    return {name: arrays[f"history.{name}"] for name in names}


def _as_dataset(history: Mapping[str, np.ndarray], config: TrainConfig) -> "xr.Dataset":
    import xarray as xr

    steps = np.arange(len(history["loss"]))
    # The schedule as an array function: one call, not one dispatch per step.
    rates = config.learning_rate * np.asarray(jax.vmap(schedule(config))(steps))
    records = {name: (axes, history[name]) for name, axes in HISTORY.items()}
    return xr.Dataset(
        records | {"learning_rate": (("step",), rates)},
        coords={
            "step": steps,
            "evaluation": history["evaluated"],
            "context": np.arange(history["held_out_loss"].shape[1]),
        },
        attrs={"loss": "mean squared error over prompts and contexts, not halved"},
    )
