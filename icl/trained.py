"""What comes out of a training run: a model that knows how it was made.

`save` and `load` put it on disk and take it back through `icl.checkpoint`; a saved
model needs nothing else to be loaded.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icl import checkpoint
from icl.checkpoint import CheckpointError, Stored
from icl.layers import ModelConfig
from icl.model import Transformer
from icl.optimizer import TrainConfig, schedule
from icl.tasks import LinearRegression

if TYPE_CHECKING:
    import xarray as xr

TASKS = {task.__name__: task for task in (LinearRegression,)}

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


def build(task: LinearRegression, config: ModelConfig, key: Any) -> Transformer:
    """A model for a task, its parameters drawn from `key`."""
    return Transformer(config, dim=task.dim, length=task.length, rngs=nnx.Rngs(key))


def abstract_model(task: LinearRegression, config: ModelConfig) -> Transformer:
    """A model with shapes and dtypes in place of parameters; nothing is computed."""
    return nnx.eval_shape(lambda: build(task, config, jax.random.key(0)))


@functools.cache
def blueprint(task: LinearRegression, config: ModelConfig) -> tuple[Any, Any]:
    """The two parts that `nnx.merge` takes: graph definition, and abstract parameters.

    Tracing what initialises a model takes half a second, so it is done once.
    """
    return nnx.split(abstract_model(task, config))


def abstract_params(task: LinearRegression, config: ModelConfig) -> Any:
    """Shapes and dtypes of a model's parameters, as the pytree that holds them."""
    return blueprint(task, config)[1]


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


def describe(
    task: LinearRegression, model_config: ModelConfig, train_config: TrainConfig
) -> dict[str, Any]:
    """The configs of a run as they come back from JSON, with lists for tuples."""
    described: dict[str, dict[str, Any]] = {
        "task": {"kind": type(task).__name__, **asdict(task)},
        "model": asdict(model_config),
        "train": asdict(train_config),
    }
    # As if these fields did not exist, which they did not when the first models were
    # saved: experiments find a model by the hash of this description.
    if task.fixed_weights is None:
        del described["task"]["fixed_weights"]
    if train_config.precision == "default":
        del described["train"]["precision"]
    return json.loads(json.dumps(described))


def configs(
    about: Mapping[str, Any],
) -> tuple[LinearRegression, ModelConfig, TrainConfig]:
    """The configs that `describe` wrote.

    Raises:
        CheckpointError: a task, field or value that this version does not know.
    """
    try:
        task = {name: _as_tuples(value) for name, value in about["task"].items()}
        return (
            TASKS[task.pop("kind")](**task),
            ModelConfig(**about["model"]),
            TrainConfig(**about["train"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint's configs are of another version of icl: {error}."
        ) from error


def _as_tuples(value: Any) -> Any:
    """JSON's lists, nested or not, as the tuples that a task holds."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


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
