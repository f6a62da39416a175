"""How often do models answer sums rightly that they have not seen, by format?

A model is asked for unseen sums in the format that it was trained on; the sums are the
same for all formats and seeds. An answer is right if every character of it and its end
are: what greedy decoding writes (`icl.codecs.matching`).
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from experiments.engine.figures.evaluation import Evaluation
from icl import ModelConfig, TrainConfig, checks, inference
from icl.codecs.matching import exact_match, right_characters
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import Addition

FORMATS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"layout": "plain"},
    "reverse": {"layout": "reverse"},
    "reverse, no $": {"layout": "reverse", "wrapped": False},
    "plain, unpadded": {"layout": "plain", "padded": False},
    "reverse, unpadded": {"layout": "reverse", "padded": False},
    "simplified": {"layout": "simplified", "padded": None, "lines": 1},
    "detailed": {"layout": "detailed", "padded": None, "lines": 1},
}
"""The fields of the task of every format, by name."""


@dataclass(frozen=True)
class Config:
    """Settings of the models, and of the sums that they are asked for.

    Attributes:
        task: the task, whose layout is that of each format, and whose number of
            examples is each of `examples`.
        model: the shape of all models.
        train: their training.
        formats: names in `FORMATS`.
        examples: the sizes of training sets, ascending.
        seeds: the number of models of each kind, with the seeds 0, 1, ...
        evaluation: the unseen sums.
    """

    task: Addition
    model: ModelConfig
    train: TrainConfig
    formats: tuple[str, ...] = ("plain", "reverse")
    examples: tuple[int, ...] = (1_000, 5_000)
    seeds: int = 5
    evaluation: Evaluation = Evaluation(prompts=1_000)

    def __post_init__(self) -> None:
        checks.of_kind("task", self.task, Addition, "an Addition")
        checks.positive_int("seeds", self.seeds)
        for name in self.formats:
            checks.one_of("formats", name, FORMATS)
        if not self.formats or len(set(self.formats)) < len(self.formats):
            raise ValueError(
                f"formats must be one or more, none twice, got {self.formats}."
            )
        for size in self.examples:
            checks.positive_int("examples", size)
        if not self.examples or list(self.examples) != sorted(set(self.examples)):
            raise ValueError(
                f"examples must be ascending, one or more, got {self.examples}."
            )
        for setting in settings(self):  # which refuse what a set of sums cannot be
            checks.of_kind("task", setting.task, Addition, "an Addition")


def setting_of(config: Config, name: str, examples: int, seed: int) -> Setting:
    """Returns the model of a format, a size of the training set and a seed."""
    task = replace(config.task, examples=examples, **FORMATS[name])
    return Setting(task, config.model, config.train, seed)


def settings(config: Config) -> list[Setting]:
    """Returns all models, seed by seed."""
    return [
        setting_of(config, name, examples, seed)
        for seed, name, examples in itertools.product(
            range(config.seeds), config.formats, config.examples
        )
    ]


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns which answers are right, for every unseen sum.

    Returns:
        A Dataset with `exact` over (seed, format, examples, prompt), 0 or 1; and
        `digit` over (seed, format, examples, column, prompt), whether the answer's
        digit of 10^column is right after right ones, NaN where lines are not padded.
    """
    count, columns = config.evaluation.prompts, config.task.digits + 1
    shape = (config.seeds, len(config.formats), len(config.examples))
    exact = np.zeros((*shape, count), np.float32)
    digit = np.full((*shape, columns, count), np.nan, np.float32)
    for seed, row, column in np.ndindex(shape):
        name, examples = config.formats[row], config.examples[column]
        setting = setting_of(config, name, examples, seed)
        found = answers(setting, models(setting).model, count)
        exact[seed, row, column] = found[0]
        digit[seed, row, column] = found[1]
    return xr.Dataset(
        {
            "exact": (("seed", "format", "examples", "prompt"), exact),
            "digit": (("seed", "format", "examples", "column", "prompt"), digit),
        },
        coords={
            "seed": range(config.seeds),
            "format": list(config.formats),
            "examples": list(config.examples),
            "column": range(columns),
        },
        attrs={
            "digits": config.task.digits,
            "resamples": config.evaluation.resamples,
            "steps": config.train.steps,
        },
    )


def answers(setting: Setting, model: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns which answers are right, (sums,), and which digits of them.

    Digits are (n + 1, sums), the units first; NaN where lines are not padded.
    """
    task = setting.task
    assert isinstance(task, Addition)  # for the type checker
    lines, codec = task.test(count), task.codec
    said = inference.predictions(model, lines)
    right = right_characters(said, lines, codec)
    digits = np.full((task.digits + 1, count), np.nan, np.float32)
    for column in range(task.digits + 1):
        if f"s{column}" in codec.labels:
            slot = codec.labels.index(f"s{column}") - codec.start - 1
            digits[column] = right[:, slot]
    return exact_match(said, lines, codec)[:, -1], digits
