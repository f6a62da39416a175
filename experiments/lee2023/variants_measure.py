"""How well do models add that were trained in another way, and what is asked of them?

A variant changes fields of the task, and has its question: which sums are asked, and
after how many worked lines. All answers are greedy, and sums are unseen.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from experiments.engine.figures.evaluation import Evaluation, check_unseen
from experiments.lee2023.formats_measure import addition_of
from icl import checks, inference
from icl.arithmetic.columns import carries
from icl.codecs import Lines
from icl.codecs.matching import exact_match
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import Addition

VARIANTS = (
    *("balanced", "uniform", "unpadded", "left out"),
    *("absolute", "coupled", "abacus", "lines"),
)
"""How models are trained."""

QUESTIONS = ("unseen", "left-out operand", "one digit more", "1 shot", "3 shots")
"""What is asked: sums as in training; with an operand that no sum of training had; of
operands with a digit more; after worked lines."""

SHARE_OUT = 0.1
"""The share of operands that are left out."""

SHOTS = 4
"""The number of lines in a sequence, where there are several."""


@dataclass(frozen=True)
class Config:
    """Settings of the variants.

    Attributes:
        setting: the model that is varied; its lines are padded.
        variants: which variants are trained.
        seeds: the number of models of each, with the seed of the setting and the
            numbers after it.
        evaluation: the unseen sums.
    """

    setting: Setting
    variants: tuple[str, ...] = VARIANTS
    seeds: int = 5
    evaluation: Evaluation = Evaluation(prompts=1_000)

    def __post_init__(self) -> None:
        task = addition_of(self.setting)
        checks.positive_int("task.digits", task.digits, maximum=8)
        checks.positive_int("seeds", self.seeds)
        checks.each_of("variants", self.variants, VARIANTS)
        if not task.codec.labels:
            raise ValueError(
                "task must write padded lines, one in a sequence, got "
                f"layout={task.layout!r}, padded={task.padded}, lines={task.lines}."
            )
        for name in self.variants:
            varied = variant_of(task, name)
            check_unseen(varied, self.evaluation.prompts, lines=varied.lines)


def variant_of(task: Addition, name: str) -> Addition:
    """Returns the task that a variant is trained on."""
    most = 10**task.digits
    fields: Mapping[str, Mapping[str, Any]] = {
        "balanced": {},
        "uniform": {"law": "uniform"},
        "unpadded": {"padded": False},
        "left out": {"left_out": left_out(most)},
        "absolute": {"room": task.digits + 1},
        "coupled": {"room": task.digits + 1, "positions": "coupled"},
        "abacus": {"room": task.digits + 1, "positions": "abacus"},
        "lines": {"lines": SHOTS},
    }
    return replace(task, **fields[name])


def left_out(most: int) -> tuple[int, ...]:
    """Returns a tenth of the numbers below `most`, spread over all last digits."""
    count = int(SHARE_OUT * most)
    return tuple(sorted(37 * (i + 1) % most for i in range(count)))


def setting_of(config: Config, name: str, seed: int) -> Setting:
    """Returns the model of a variant and a seed, counted from 0."""
    task = variant_of(addition_of(config.setting), name)
    return replace(config.setting, task=task, seed=config.setting.seed + seed)


def settings(config: Config) -> list[Setting]:
    """Returns all models, seed by seed."""
    pairs = itertools.product(range(config.seeds), config.variants)
    return [setting_of(config, name, seed) for seed, name in pairs]


def asked(task: Addition, question: str, evaluation: Evaluation) -> Lines | None:
    """Returns the lines of a question, or None where a variant has no answer to it."""
    count, seed = evaluation.prompts, evaluation.seed
    if question == "unseen":
        return task.test(count, seed=seed, with_left_out=False)
    if question.endswith(("shot", "shots")):
        lines = int(question.split()[0]) + 1
        return task.test(count, lines, seed=seed) if task.lines >= lines else None
    rng = np.random.default_rng(seed + 2)
    most = 10**task.digits
    if question == "left-out operand" and task.left_out:
        a = rng.choice(task.left_out, count)
        return task.of(a, rng.integers(0, most, count))
    if question == "one digit more" and task.room is not None:
        longer = replace(task, digits=task.digits + 1, examples=None, law="uniform")
        first = rng.integers(most, 10 * most, count)  # with all its digits
        return longer.of(first, rng.integers(0, 10 * most, count))
    return None


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns which answers are right.

    Returns:
        A Dataset with `exact` over (seed, variant, question, prompt), 0 or 1, NaN where
        a variant has no answer to a question; and `carried` over the same, the number
        of carries of every sum.
    """
    shape = (config.seeds, len(config.variants))
    count = config.evaluation.prompts
    exact = np.full((*shape, len(QUESTIONS), count), np.nan, np.float32)
    carried = np.zeros_like(exact)
    for seed, row in np.ndindex(shape):
        setting = setting_of(config, config.variants[row], seed)
        task, model = addition_of(setting), models(setting).model
        for column, question in enumerate(QUESTIONS):
            lines = asked(task, question, config.evaluation)
            if lines is not None:
                exact[seed, row, column] = _right(model, lines)
                carried[seed, row, column] = _carries(lines)
    dims = ("seed", "variant", "question", "prompt")
    return xr.Dataset(
        {"exact": (dims, exact), "carried": (dims, carried)},
        coords={
            "seed": range(config.seeds),
            "variant": list(config.variants),
            "question": list(QUESTIONS),
        },
        attrs={
            "digits": addition_of(config.setting).digits,
            "resamples": config.evaluation.resamples,
            "steps": config.setting.train.steps,
        },
    )


def _right(model: Any, lines: Lines) -> np.ndarray:
    """Returns whether the last answer of every sequence is right."""
    return exact_match(inference.predictions(model, lines), lines, model.codec)[:, -1]


def _carries(lines: Lines) -> np.ndarray:
    latents = lines.latents or {}
    a, b = (np.asarray(latents[name])[:, -1] for name in "ab")
    return carries(a, b, 9).sum(axis=-1)
