"""How often do models answer sums rightly that they have not seen, by format?

A model is asked for unseen sums in the format that it was trained on; the sums are the
same for all formats and seeds. An answer is right if every character of it and its end
are in what greedy decoding writes. Without a scratchpad, one pass says whether they are
(`icl.codecs.matching`). With one, the model writes the line out, because its answer may
be right although its working is not.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from experiments.engine.figures.evaluation import Evaluation, check_unseen
from icl import ModelConfig, TrainConfig, checks, inference
from icl.arithmetic import score
from icl.arithmetic.formats import SCRATCHPADS
from icl.codecs import Lines
from icl.codecs.matching import exact_match, right_characters
from icl.generation import generate
from icl.model.building import abstract_params
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import Addition

SCRATCHPAD: Mapping[str, Any] = {"layout": "simplified", "padded": None, "lines": 1}
FORMATS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"layout": "plain"},
    "reverse": {"layout": "reverse"},
    "reverse, no $": {"layout": "reverse", "wrapped": False},
    "plain, unpadded": {"layout": "plain", "padded": False},
    "reverse, unpadded": {"layout": "reverse", "padded": False},
    "simplified": SCRATCHPAD,
    "simplified, random digits": {**SCRATCHPAD, "corrupt": ("A",)},
    "simplified, random carries": {**SCRATCHPAD, "corrupt": ("C",)},
    "simplified, both random": {**SCRATCHPAD, "corrupt": ("A", "C")},
    "detailed": {**SCRATCHPAD, "layout": "detailed"},
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
        checks.each_of("formats", self.formats, FORMATS)
        for size in self.examples:
            checks.positive_int("examples", size)
        if not self.examples or list(self.examples) != sorted(set(self.examples)):
            raise ValueError(
                f"examples must be ascending, one or more, got {self.examples}."
            )
        for setting in settings(self):  # which refuse what a set of sums cannot be
            check_unseen(addition_of(setting), self.evaluation.prompts)


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


def addition_of(setting: Setting) -> Addition:
    """Returns the task of a setting, which must be one of sums."""
    task = setting.task
    checks.of_kind("task", task, Addition, "an Addition")
    assert isinstance(task, Addition)  # for the type checker
    return task


class Answers(NamedTuple):
    """What of a model's answers is right.

    Attributes:
        exact: whether each answer is right, (sums,).
        digit: whether each digit of it is right after right ones, the units first, (n +
            1, sums); NaN where lines are not padded.
        trace: whether the scratchpad before it is right, (sums,); NaN where there is
            none, or one that is random.
    """

    exact: Float[np.ndarray, " sums"]
    digit: Float[np.ndarray, "digits sums"]
    trace: Float[np.ndarray, " sums"]


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns which answers are right, for every unseen sum.

    Returns:
        A Dataset with the fields of `Answers`: `exact` and `trace` over (seed, format,
        examples, prompt), and `digit` over (seed, format, examples, column, prompt).
        The coordinate `characters` is how many the longest line of a format has.
    """
    count, columns = config.evaluation.prompts, config.task.digits + 1
    shape = (config.seeds, len(config.formats), len(config.examples))
    exact = np.zeros((*shape, count), np.float32)
    digit = np.full((*shape, columns, count), np.nan, np.float32)
    trace = np.full((*shape, count), np.nan, np.float32)
    for at in np.ndindex(shape):
        seed, row, column = at
        name, examples = config.formats[row], config.examples[column]
        setting = setting_of(config, name, examples, seed)
        found = answers(setting, models(setting).model, config.evaluation)
        exact[at], digit[at], trace[at] = found
    of_model = ("seed", "format", "examples")
    return xr.Dataset(
        {
            "exact": ((*of_model, "prompt"), exact),
            "digit": ((*of_model, "column", "prompt"), digit),
            "trace": ((*of_model, "prompt"), trace),
        },
        coords={
            "seed": range(config.seeds),
            "format": list(config.formats),
            "examples": list(config.examples),
            "column": range(columns),
            "characters": ("format", [_characters(config, x) for x in config.formats]),
        },
        attrs={
            "digits": config.task.digits,
            "parameters": parameters(settings(config)[0]),
            "resamples": config.evaluation.resamples,
            "steps": config.train.steps,
        },
    )


def parameters(setting: Setting) -> int:
    """Returns how many numbers a model has."""
    shapes = abstract_params(setting.task.codec, setting.model)
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def answers(setting: Setting, model: Any, evaluation: Evaluation) -> Answers:
    """Returns what of a model's answers to unseen sums is right."""
    task, count = addition_of(setting), evaluation.prompts
    lines, codec = task.test(count, seed=evaluation.seed), task.codec
    digits = np.full((task.digits + 1, count), np.nan, np.float32)
    if task.layout in SCRATCHPADS:
        exact, trace = written(task, lines, generate(model, lines))
        return Answers(exact, digits, trace)
    said = inference.predictions(model, lines)
    right = right_characters(said, lines, codec)
    for column in range(task.digits + 1):
        if f"s{column}" in codec.labels:
            slot = codec.labels.index(f"s{column}") - codec.start - 1
            digits[column] = right[:, slot]
    exact = exact_match(said, lines, codec)[:, -1].astype(np.float32)
    return Answers(exact, digits, np.full(count, np.nan, np.float32))


def written(
    task: Addition, lines: Lines, ids: Int[np.ndarray, "sums tokens"]
) -> tuple[Float[np.ndarray, " sums"], Float[np.ndarray, " sums"]]:
    """Returns which answers of written lines are right, and which scratchpads are.

    Args:
        task: a task of sums with a scratchpad.
        lines: the lines as they should be.
        ids: the lines as a model has written them.
    """
    codec, rows = task.codec, np.asarray(lines.ids)
    found = [
        score(codec.text(said), codec.text(line), task.layout)
        for said, line in zip(ids, rows, strict=True)
    ]
    right = np.array([each.answer for each in found], np.float32)
    trace = np.array([each.trace for each in found], np.float32)
    return right, np.full_like(trace, np.nan) if task.corrupt else trace


def _characters(config: Config, name: str) -> int:
    """Returns the number of characters of the longest line of a format."""
    task = addition_of(setting_of(config, name, config.examples[0], 0))
    return task.length // task.lines
