"""What models that add get right over training, character by character.

A model is asked, at every checkpoint, for sums that it was not trained on, in the
format that it was trained on. What comes out is kept for every sum and every character
of its answer: whether the character is the most probable one after right ones, and how
probable it is. All metrics are reductions of these (`icl.emergence`); a checkpoint is
read once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import log_softmax

from experiments.engine.figures.checkpoints import ModelAt
from experiments.engine.figures.evaluation import Evaluation, check_unseen
from icl import checks, inference
from icl.codecs.matching import right_characters
from icl.emergence import Choices, Hits, LogProbabilities
from icl.sweeps.setting import Setting
from icl.tasks import Addition

FORMATS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"layout": "plain", "padded": None},
    "reverse": {"layout": "reverse", "padded": None},
    "scratchpad": {"layout": "simplified", "padded": None, "wrapped": None},
}
"""The fields of the task of every format, by name."""

DIGITS = 10
"""A digit is its own place in all alphabets, so that these come first."""


@dataclass(frozen=True)
class Config:
    """Settings of the models, and of the sums that they are asked for.

    Attributes:
        setting: the first model, whose layout is that of each format in turn. Its
            training keeps checkpoints at log-spaced steps.
        formats: names in `FORMATS`.
        seeds: the number of models of each format.
        first_step: checkpoints before this step are left out.
        evaluation: the unseen sums.
    """

    setting: Setting
    formats: tuple[str, ...] = ("plain", "reverse", "scratchpad")
    seeds: int = 8
    first_step: int = 10
    evaluation: Evaluation = Evaluation(prompts=1_000)

    def __post_init__(self) -> None:
        task = self.setting.task
        checks.of_kind("task", task, Addition, "an Addition")
        assert isinstance(task, Addition)  # for the type checker
        check_unseen(task, self.evaluation.prompts)
        checks.positive_int("seeds", self.seeds)
        checks.positive_int("first_step", self.first_step)
        checks.each_of("formats", self.formats, FORMATS)
        if len(self.steps) < 3:
            raise ValueError(
                "first_step must leave three checkpoints or more, got "
                f"{self.first_step} with checkpoints after {self.steps}; set "
                "train.checkpoints_per_decade higher."
            )

    @property
    def steps(self) -> list[int]:
        """The steps whose checkpoints are looked at."""
        kept = self.setting.train.kept_steps
        return [step for step in kept if step >= self.first_step]


def setting_of(config: Config, name: str, seed: int) -> Setting:
    """Returns the model of a format and a seed."""
    first = config.setting
    assert isinstance(first.task, Addition)  # for the type checker
    task = replace(first.task, **FORMATS[name])
    return replace(first, task=task, seed=first.seed + seed)


def settings(config: Config) -> list[Setting]:
    """Returns all models, seed by seed."""
    return [
        setting_of(config, name, seed)
        for seed in range(config.seeds)
        for name in config.formats
    ]


def measure(config: Config, model_at: ModelAt) -> xr.Dataset:
    """Returns the scores of every unseen sum at every checkpoint, by every metric.

    Args:
        config: which models and sums.
        model_at: a function that returns the model of a setting after so many steps.

    Returns:
        A Dataset over (format, seed, step, prompt): `exact`, whether the answer is
        right; `characters`, the share of its characters that are; `wrong_characters`,
        the number of those that are not; and `log_p` of the whole answer. Of padded
        formats, NaN for others: `at_place` over (format, seed, step, place, prompt),
        whether each digit is right (s0: the units), and the end of the line; and of
        each digit as a choice among ten, `right` and `wrong`, the mean log-probability
        of the right digit and of a wrong one, and `brier`.
    """
    rows = []
    for name in config.formats:
        of_seeds = [
            of_model(config, setting_of(config, name, seed), model_at)
            for seed in range(config.seeds)
        ]
        rows.append(xr.concat(of_seeds, xr.Variable("seed", range(config.seeds))))
    return xr.concat(rows, xr.Variable("format", list(config.formats))).assign_attrs(
        resamples=config.evaluation.resamples,
        digits=config.setting.task.digits,
        steps=config.setting.train.steps,
    )


def of_model(config: Config, setting: Setting, model_at: ModelAt) -> xr.Dataset:
    """Returns the scores of one model at all of its checkpoints."""
    task = setting.task
    assert isinstance(task, Addition)  # for the type checker
    lines, codec, steps = (
        task.test(config.evaluation.prompts, seed=config.evaluation.seed),
        task.codec,
        np.array(config.steps),
    )
    ids = np.asarray(lines.ids)[:, codec.start + 1 :]
    answers = np.asarray(lines.answers)[:, codec.start + 1 :]
    hits, logs, digits = [], [], []
    slots = digit_slots(task)
    for step in config.steps:
        said = inference.predictions(model_at(setting, step), lines)
        hits.append(right_characters(said, lines, codec) | ~answers)
        each = log_softmax(said.astype(float), axis=-1)
        of_right = np.take_along_axis(each, ids[..., None], axis=-1)[..., 0]
        logs.append(np.where(answers, of_right, 0.0))
        digits.append(log_softmax(said[:, slots, :DIGITS].astype(float), axis=-1))
    outcomes = Hits(steps, np.stack(hits))
    wrong = outcomes.edit_distance().scores
    axes = ("step", "prompt")
    found = xr.Dataset(
        {
            "exact": (axes, outcomes.exact_match().scores.astype(np.float32)),
            "wrong_characters": (axes, wrong.astype(np.float32)),
            "characters": (axes, 1 - wrong / answers.sum(axis=1)),
            "log_p": (axes, LogProbabilities(steps, np.stack(logs)).answer().scores),
        },
        coords={"step": steps},
    )
    return found.assign(_padded(task, outcomes, np.stack(digits), ids[:, slots]))


def digit_slots(task: Addition) -> list[int]:
    """Returns the slots of the answer's digits, units first; none if not padded."""
    codec = task.codec
    names = [f"s{i}" for i in range(task.digits + 1)] if codec.labels else []
    return [codec.labels.index(name) - codec.start - 1 for name in names]


def _padded(
    task: Addition, outcomes: Hits, digits: np.ndarray, truth: np.ndarray
) -> dict[str, tuple]:
    """Returns what is known of digits one by one, NaN where they have no fixed place.

    `digits` are log-probabilities of the ten digits, (step, prompt, digit, 10).
    """
    steps, prompts, slots = outcomes.hits.shape
    shape, names = (steps, prompts), ("right", "wrong", "brier")
    own, places = digit_slots(task), task.digits + 2
    axes = ("step", "prompt")
    if not own:
        missing = np.full(shape, np.nan, np.float32)
        place = np.full((steps, places, prompts), np.nan, np.float32)
        curves = dict.fromkeys(names, (axes, missing))
        return {"at_place": (("step", "place", "prompt"), place)} | curves
    others = [slot for slot in range(slots) if slot not in own]
    parts = [outcomes.hits[:, :, slot] for slot in own]
    parts.append(np.asarray(outcomes.hits[:, :, others].all(axis=2)))
    choices = Choices(outcomes.scale, digits, truth)
    curves = (
        choices.right_log_probability(),
        choices.wrong_log_probability(),
        choices.brier(),
    )
    found = {
        name: (axes, curve.scores.astype(np.float32))
        for name, curve in zip(names, curves, strict=True)
    }
    place = np.stack(parts, axis=1).astype(np.float32)
    return {"at_place": (("step", "place", "prompt"), place)} | found
