"""Which sweeps by depth or width lie in a folder?

Models that differ in their depth alone, or in their width alone, are points of a curve.
Nothing is trained for it: the folder is that of results, where other figures have left
models, or one of your own. Finished models of linear regression are looked at, and all
others are left out.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from icl import LinearRegression, inference
from icl.emergence import Curve, Errors
from icl.training import checkpoint, description
from icl.training.description import Configs
from icl.training.trained import load

SIZES = ("layers", "width")
LEAST = 3
"""A curve has at least so many points."""

HITS, SOLVED = 0.1, 0.01
"""The thresholds of a query's error and of a prompt's mean squared error."""


class FoundSweep(NamedTuple):
    """Models that differ in one size alone.

    Attributes:
        size: "layers" or "width".
        values: the sizes, ascending.
        folders: the folder of each model.
        task: what they were trained on.
        beside: the other size, which all of them share, such as "width 64".
    """

    size: str
    values: tuple[int, ...]
    folders: tuple[Path, ...]
    task: LinearRegression
    beside: str

    @property
    def name(self) -> str:
        """What the sweep is called in pictures."""
        return f"{self.size} at {self.beside}, d = {self.task.dim}"


def found_sweeps(folder: Path | None) -> list[FoundSweep]:
    """Returns the sweeps in a folder, each with three sizes or more.

    Args:
        folder: a folder of results, whose models lie in `models`; or one in which every
            model has a folder, as `icl.train(..., directory=)` makes it. None has no
            sweeps.
    """
    groups: dict[tuple, dict[int, Path]] = {}
    for place, (task, model, train) in _finished(folder):
        for size, other in (SIZES, SIZES[::-1]):
            fields = asdict(model).items()
            rest = tuple((name, value) for name, value in fields if name != size)
            beside = f"{other} {getattr(model, other)}"
            of_size = groups.setdefault((size, beside, task, rest, train), {})
            of_size.setdefault(getattr(model, size), place)  # one seed is enough
    found = []
    for (size, beside, task, _, _), by_value in groups.items():
        if len(by_value) >= LEAST:
            values = tuple(sorted(by_value))
            folders = tuple(by_value[value] for value in values)
            found.append(FoundSweep(size, values, folders, task, beside))
    return sorted(found, key=lambda sweep: (sweep.name, sweep.folders))


def _finished(results: Path | None) -> Iterator[tuple[Path, Configs]]:
    """Yields folder and configs of every finished model of linear regression."""
    if results is None:
        return
    models = results / "models"
    for folder in sorted((models if models.is_dir() else results).glob("*")):
        try:
            newest = checkpoint.newest(folder)
            made_of = newest and description.configs(newest[1])
        except (checkpoint.CheckpointError, OSError):  # it is no model of this version
            continue
        if newest and made_of and newest[0] == made_of[2].steps:
            task = made_of[0]
            if type(task) is LinearRegression and task.fixed_weights is None:
                yield folder, made_of


def curves(
    sweep: FoundSweep, prompts: int, model_of: Callable[[Path], Any] | None = None
) -> dict[str, Curve]:
    """Returns scores by size, of the same outputs by every metric.

    The queries of a prompt are its contexts of d pairs and more, where w is known.

    Args:
        sweep: which models.
        prompts: the number of fresh prompts.
        model_of: a function that returns the model of a folder; None reads it.
    """
    read = model_of or (lambda folder: load(folder).model)
    asked, _ = inference.sample(sweep.task, prompts, seed=0)
    said = [inference.predictions(read(folder), asked) for folder in sweep.folders]
    known = slice(min(sweep.task.dim, asked.ys.shape[1] - 1), None)
    truth = np.asarray(inference.true_labels(asked), float)[:, known]
    errors = Errors.from_predictions(
        np.array(sweep.values),
        np.stack(said).astype(float)[..., known],
        truth,
        variance=sweep.task.dim * sweep.task.weight_std**2,
    )
    return {
        "log nmse": errors.log_nmse(),
        "nmse": errors.nmse(),
        "hit": errors.hit(HITS),
        "all of": errors.all_of(truth.shape[1], epsilon=HITS),
        "solved": errors.solved(SOLVED),
    }
