"""What comes out of a training run? A model that knows how it was made.

`save` and `load` put it on disk and take it back through `icl.training.checkpoint`, and
`Trained.export` puts it into one file (`icl.training.export`); a saved model needs
nothing else to be loaded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax import nnx

from icl import cautions, checks
from icl.arrays import shown
from icl.files import expanded
from icl.model.building import abstract_params, check_reads, model_of
from icl.model.config import ModelConfig
from icl.model.transformer import Transformer
from icl.pytrees import named
from icl.tasks.base import Task, check_is_task
from icl.tasks.drawing import sketch
from icl.tasks.registry import check_kinds
from icl.training import checkpoint, export
from icl.training.checkpoint import CheckpointError, Stored
from icl.training.config import TrainConfig, schedule
from icl.training.description import (
    DRAWN,
    Configs,
    check_sizes,
    configs,
    describe,
    redrawn_since,
)

if TYPE_CHECKING:  # `import icl.train` does not wait for it
    import xarray as xr


# The records of a run, with the axes of each.
HISTORY = {
    "loss": ("step",),
    "gradient_norm": ("step",),
    "held_out_loss": ("evaluation", "slot"),
}
ORIGIN = ("init", "optimizer")  # a checkpoint says these of a run, besides its configs


class TaskChangedWarning(UserWarning):
    """The task of a saved model draws other batches by now: its code has changed."""


@dataclass(frozen=True)
class Trained:
    """A trained model and all that made it.

    `train`, `load` and `load_pretrained` return one.

    Attributes:
        model: the transformer, ready to be called on prompts.
        history: a Dataset of `loss`, `gradient_norm` and `learning_rate` by step (as
            they were before that step's update), and `held_out_loss` by (evaluation,
            slot), where `evaluation` is the number of updates made until then. The
            slots of prompts are called "context" and are context lengths. Losses are
            those of the task's codec: mean squared errors, not halved, for pairs.
        task: the task it was trained on; `task.sample(key, batch=)` draws more prompts.
        model_config: the shape and variant of the model.
        train_config: the settings of the run.
        steps: the number of updates made.
        origin: has "init", a hash of the parameters that the run began with, if it was
            a warm start; and "optimizer", if that was handed over from Python.
    """

    model: Transformer
    history: "xr.Dataset"
    task: Task
    model_config: ModelConfig
    train_config: TrainConfig
    steps: int
    origin: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_model(cls, model: Transformer, task: Task) -> "Trained":
        """Returns a model from elsewhere in the form that `save` and `export` take.

        It has made no updates and its history is empty. Its `train_config` is the
        default one, and has no meaning.

        Args:
            model: the model, such as `icl.import_model` returns.
            task: the task that it reads.

        Raises:
            ValueError: the tokens of the task are not those that the model reads.
        """
        check_is_task(task)
        checks.of_kind("model", model, Transformer, "a transformer")
        check_reads(model, task.codec)
        made_of = (task, model.config, TrainConfig())
        return assemble(made_of, nnx.state(model), _no_records(task), steps=0)

    def export(self, path: str | Path, *, history: bool = True) -> Path:
        """Writes the model into one safetensors file, and returns the file's path.

        The file needs neither `icl` nor JAX to be read: it holds the parameters by
        name, bit for bit, and in its metadata all that made them, as JSON
        (`icl.training.export`). `load` returns the same model.

        Args:
            path: the file, whose name ends in ".safetensors"; one that is there
                already is replaced.
            history: whether the records are kept too. They are complete: 8 bytes for
                each step, and 4 for each slot of each evaluation.

        Raises:
            ValueError: the name of the file has another end.
            OSError: the file cannot be written; an old one is still there.
        """
        history = checks.flag("history", history)
        return export.write(expanded(path), _stored(self, history))


def save(path: str | Path, trained: Trained) -> Path:
    """Writes a trained model into the directory `path`, and returns the step's folder.

    Raises:
        FileExistsError: `path` holds a checkpoint already, perhaps a run's.
        OSError: the directory cannot be written.
    """
    place = expanded(path)
    wanted = "a trained model, such as train(...) returns"
    checks.of_kind("trained", trained, Trained, wanted)
    if checkpoint.folders(place):
        raise FileExistsError(
            f"There is a checkpoint in {path} already; choose another directory."
        )
    return checkpoint.write(place, _stored(trained))


def _stored(trained: Trained, history: bool = True) -> Stored:
    """Returns what is kept of a trained model, with or without its records."""
    about = describe(trained.task, trained.model_config, trained.train_config)
    about |= {DRAWN: sketch(trained.task), **trained.origin}
    arrays = named(nnx.state(trained.model), "state.params")
    if history:
        records = {name: np.asarray(trained.history[name]) for name in HISTORY}
        records["evaluated"] = np.asarray(trained.history["evaluation"])
        arrays |= named(records, "history")
    return Stored(trained.steps, about, arrays)


def load(path: str | Path, *, tasks: Sequence[type[Task]] = ()) -> Trained:
    """Reads a trained model from a run's directory, a step's folder or one file.

    Args:
        path: a run's directory, from which the newest step is taken; a step's folder;
            or a file that ends in ".safetensors", which `Trained.export` has written.
        tasks: the classes of your own tasks that it may have been trained on, such as
            `[Sparse]`. Registered ones (`icl.tasks.register`) are known.

    Raises:
        FileNotFoundError: there is no checkpoint, or no such file.
        CheckpointError: no checkpoint is whole, or it has another format, or it is an
            ensemble's, or its task is not known; or a file is truncated, changed, or
            not written by icl.
        ValueError: `tasks` holds something else than classes of tasks.

    A `TaskChangedWarning` says if the task draws other batches than those that the
    model was trained on.
    """
    check_kinds(tasks)
    place = expanded(path)
    if export.is_export(place):
        stored = export.read(place)
        try:
            found = _understood(path, stored, tasks)
        except CheckpointError as error:
            raise checkpoint.naming(place, error) from error
    else:
        read: list[Trained] = []
        stored = checkpoint.find(
            place, lambda each: read.append(_understood(path, each, tasks))
        )
        found = read[-1]
    for line in redrawn_since(stored.about, found.task):
        cautions.warn(f"{path}: {line}.", TaskChangedWarning)
    return found


def _understood(
    path: str | Path, stored: Stored, tasks: Sequence[type[Task]]
) -> Trained:
    """Returns the model that a checkpoint holds.

    The checkpoint may come from somebody else. Sizes in its configs are compared with
    its arrays before anything of these sizes is made.

    Raises:
        CheckpointError: it holds no single model.
    """
    if "members" in stored.about:
        raise CheckpointError(
            f"{path} holds an ensemble of {shown(stored.about['members'])} models; "
            "call train_ensemble with its arguments and this directory to get them."
        )
    check_sizes(stored.about, stored.arrays)
    made_of = configs(stored.about, tasks)
    abstract = abstract_params(made_of[0].codec, made_of[1])
    with jax.enable_x64(True):  # float64 parameters stay what they are
        params = checkpoint.fitted(stored, abstract, "state.params")
    origin = {name: stored.about[name] for name in ORIGIN if name in stored.about}
    kept = any(name.startswith("history.") for name in stored.arrays)
    slots = len(made_of[0].codec.slots)
    history = history_of(stored, slots) if kept else _no_records(made_of[0])
    try:
        return assemble(made_of, params, history, stored.step, origin)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise CheckpointError(
            f"The records in the checkpoint cannot be read: {error}"
        ) from error


def assemble(
    made_of: Configs,
    params: Any,
    history: Mapping[str, np.ndarray],
    steps: int,
    origin: Mapping[str, Any] | None = None,
) -> Trained:
    """Returns the parts of one run put together."""
    task, model_config, train_config = made_of
    origin = origin or {}
    return Trained(
        model=model_of(task.codec, model_config, params),
        history=_as_dataset(history, task, train_config, "optimizer" in origin),
        task=task,
        model_config=model_config,
        train_config=train_config,
        steps=steps,
        origin=origin,
    )


def history_of(
    stored: Stored, slots: int, members: tuple[int, ...] = ()
) -> dict[str, np.ndarray]:
    """Returns the records of a run among a checkpoint's arrays.

    Args:
        stored: the checkpoint.
        slots: the number of slots of the run's task.
        members: the number of models if the run is an ensemble, (members,).

    Raises:
        CheckpointError: some are missing, or they are not of one run of so many steps.
    """
    names = (*HISTORY, "evaluated")
    missing = [name for name in names if f"history.{name}" not in stored.arrays]
    if missing:
        raise CheckpointError(f"The checkpoint has no records {', '.join(missing)}.")
    records = {name: stored.arrays[f"history.{name}"] for name in names}
    evaluations = records["evaluated"].shape[:1]
    wanted = {
        "loss": (stored.step, *members),
        "gradient_norm": (stored.step, *members),
        "held_out_loss": (*evaluations, *members, slots),
        "evaluated": evaluations or (0,),
    }
    kinds = {name: "f" for name in HISTORY} | {"evaluated": "i"}
    for name, array in records.items():
        if array.shape != wanted[name] or array.dtype.kind not in kinds[name]:
            raise CheckpointError(
                f"The records in the checkpoint are not of its run: {name} is of "
                f"{array.dtype} and has shape {array.shape}, not {wanted[name]}."
            )
    at = records["evaluated"]
    rising = (np.diff(at, prepend=-1) > 0).all() and (at <= stored.step).all()
    if not rising or (stored.step and not at.size):
        raise CheckpointError(
            f"The records in the checkpoint are not of its run of {stored.step} steps: "
            f"it was evaluated after {shown(at.tolist())}."
        )
    return records


def _no_records(task: Task) -> dict[str, np.ndarray]:
    """Returns the records of a run that has made no step, or has kept none."""
    slots = len(task.codec.slots)
    history = {name: np.zeros(0) for name in ("loss", "gradient_norm")}
    return history | {
        "held_out_loss": np.zeros((0, slots)),
        "evaluated": np.zeros(0, int),
    }


def _as_dataset(
    history: Mapping[str, np.ndarray], task: Task, config: TrainConfig, own: bool
) -> "xr.Dataset":
    """Returns the records of a run with their axes.

    `own` says that the optimiser has a learning rate of its own.
    """
    import xarray as xr

    codec, steps = task.codec, np.arange(len(history["loss"]))
    # The schedule is called once, on an array, and not once per step.
    rates = config.learning_rate * np.asarray(jax.vmap(schedule(config))(steps))
    records = {
        name: ([codec.slot if axis == "slot" else axis for axis in axes], history[name])
        for name, axes in HISTORY.items()
    }
    rate = np.full(steps.shape, np.nan) if own else rates
    return xr.Dataset(
        records | {"learning_rate": (("step",), rate)},
        coords={
            "step": steps,
            "evaluation": history["evaluated"],
            codec.slot: np.asarray(codec.slots),
        },
        attrs={"loss": codec.loss_name},
    )
