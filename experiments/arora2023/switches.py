"""Skill-Mix with switches: does a model combine more skills than it was shown at once?

Claim: a model that is trained on sums with at most two difficulties at a time succeeds
on sums with three and more, which are combinations that it has never seen.

Paper: the protocol of Skill-Mix (Yu et al. 2023, arXiv 2310.17567), on sums in place of
texts: no language model is called, a switch is on or off for certain, and whether a
combination is new is looked up (claim 14).

Run: python -m experiments.arora2023.switches quick

How to read it: six switches make a sum harder: a carry out of each of its columns, a
zero, a repeated digit, operands of unequal length. The model is trained on sums of
which at most two are on. Left: the share of unseen sums that are right by the number k
of switches that are on, the three scores of Skill-Mix, and what the product of single
switches predicts, which is fitted to unseen sums with one or two of them; from k = 3 on
all combinations are new. A point is given for each switch whose digits of the answer
are right, and three more if all other digits are, if digits stand where digits should
and if the line ends where it should. Digits are asked for after right ones. Right: the
share that is right for each switch that is on, by k.
"""

import sys
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.arora2023.switched_sums import (
    DIGITS,
    SWITCHES,
    SwitchedSums,
    combination,
    few_switches,
    switches_of,
    touched,
)
from experiments.engine.claims.claim import Claim, Interval
from experiments.engine.claims.judge import Judge
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    canvas,
)
from experiments.reference_models import ADDITION
from icl import checks, inference, sweeps
from icl.codecs.matching import exact_match, right_characters
from icl.resampling import interval
from icl.skills import SkillGraph, grade, saturation, skill_successes
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {
    "tiny": "30 s",
    "quick": "2 min, 30 s once the models are trained",
    "paper": "10 min, not measured",
}

RULES = ("full_marks", "all_skills", "skill_fraction")
MOST = 5
"""Sums with more switches are few."""


@dataclass(frozen=True)
class Config:
    """Settings of the models, and of the sums that they are asked for.

    Attributes:
        setting: the first model, which is trained on `SwitchedSums`.
        seeds: the number of models.
        sums: the number of unseen sums of each number of switches.
        resamples: of the sums and the seeds, for intervals.
    """

    setting: Setting
    seeds: int = 3
    sums: int = 1_000
    resamples: int = 500

    def __post_init__(self) -> None:
        checks.of_kind("task", self.setting.task, SwitchedSums, "a SwitchedSums")
        checks.positive_int("seeds", self.seeds)
        checks.positive_int("sums", self.sums, minimum=20, maximum=2_000)
        checks.positive_int("resamples", self.resamples, maximum=10_000)


def _of(base: Setting) -> Setting:
    train = replace(base.train, checkpoints_per_decade=0)
    return Setting(SwitchedSums(), base.model, train)


PRESETS = {
    "tiny": Config(_of(ADDITION["tiny"]), seeds=1, sums=50, resamples=50),
    "quick": Config(_of(ADDITION["quick"])),
    "paper": Config(_of(ADDITION["quick"]), seeds=16, sums=2_000),
}


def settings(config: Config) -> list[Setting]:
    """Returns all models."""
    first = config.setting
    return [replace(first, seed=first.seed + i) for i in range(config.seeds)]


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models, and asks them for sums by the number of switches."""
    sweeps.train_missing(settings(config), models)
    return measure(config, [models(setting).model for setting in settings(config)])


def measure(config: Config, learners: list[Any]) -> xr.Dataset:
    """Returns which sums are right, and their grades.

    Returns:
        A Dataset of `exact`, 0 or 1, and the scores `full_marks`, `all_skills` and
        `skill_fraction` over (seed, k, sum); `on` over (k, sum, switch); and `new` over
        (k, sum), whether no sum of the training set has the same switches on.
    """
    task = config.setting.task
    assert isinstance(task, SwitchedSums) and task.examples is not None
    shown = few_switches(task.examples, task.most, task.seed)
    a, b = unseen(config, shown)
    lines, codec = task.of(a.ravel(), b.ravel()), task.codec
    shape = (len(learners), *a.shape)
    scores = {name: np.zeros(shape) for name in ("exact", *RULES)}
    for seed, learner in enumerate(learners):
        said = inference.predictions(learner, lines)
        exact = exact_match(said, lines, codec)[:, -1].reshape(a.shape)
        scores["exact"][seed] = exact
        right = right_characters(said, lines, codec).reshape(*a.shape, -1)
        digit = (said.argmax(axis=-1) < 10).reshape(*a.shape, -1)
        for row in range(MOST):
            marks = points(a[row], b[row], right[row], digit[row], task)
            of_row = grade(marks[:, None])
            for name in RULES:
                scores[name][seed, row] = of_row[name].values
    on = np.stack([switches_of(x, y) for x, y in zip(a, b, strict=True)])
    known = set(combination(switches_of(shown.a, shown.b)).tolist())
    new = [[one not in known for one in combination(row).tolist()] for row in on]
    axes = ("seed", "k", "sum")
    return xr.Dataset(
        {name: (axes, values) for name, values in scores.items()}
        | {"on": (("k", "sum", "switch"), on), "new": (("k", "sum"), np.array(new))},
        coords={"k": range(1, MOST + 1), "switch": list(SWITCHES)},
        attrs={"resamples": config.resamples, "most": task.most},
    )


def unseen(config: Config, shown: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns sums that are not in the training set, (k, sums), by their switches."""
    order = np.random.default_rng(config.setting.task.seed + 1).permutation(
        10 ** (2 * DIGITS)
    )
    seen = shown.a.astype(int) * 10**DIGITS + shown.b
    order = order[~np.isin(order, seen)]
    a, b = np.divmod(order, 10**DIGITS)
    count = switches_of(a, b).sum(axis=1)
    rows = [np.flatnonzero(count == k)[: config.sums] for k in range(1, MOST + 1)]
    chosen = np.stack(rows)
    return a[chosen], b[chosen]


def points(
    a: np.ndarray, b: np.ndarray, right: np.ndarray, digit: np.ndarray, task: Any
) -> np.ndarray:
    """Returns the verdicts on sums with equally many switches, (sums, k + 3).

    Args:
        a: the first operands.
        b: the second ones.
        right: whether the character of every slot is right, (sums, slots).
        digit: whether what is said there is a digit.
        task: the task, which knows the slots.
    """
    codec, on = task.codec, switches_of(a, b)
    slots = [codec.labels.index(f"s{i}") - codec.start - 1 for i in range(DIGITS + 1)]
    others = [slot for slot in range(right.shape[1]) if slot not in slots]
    about, own = touched(a, b), right[:, slots]
    of_switch = np.asarray((own[:, None] | ~about).all(axis=2))  # (sums, switches)
    k = int(on[0].sum())
    skills = of_switch[on].reshape(len(a), k)
    free = ~(about & on[..., None]).any(axis=1)
    rest = (own | ~free).all(axis=1)
    sense, ends = digit[:, slots].all(axis=1), right[:, others].all(axis=1)
    return np.concatenate([skills, np.stack([rest, sense, ends], axis=1)], axis=1)


# --- claims ---


def product(dataset: xr.Dataset) -> np.ndarray:
    """Returns what single switches predict, (seed, k, sum).

    The probability of each is fitted to unseen sums with as many switches as training
    has, or fewer.
    """
    few = dataset.sel(k=dataset.k <= dataset.attrs["most"])
    names = np.arange(len(SWITCHES))
    on = few.on.values.reshape(-1, len(SWITCHES))
    width = int(on.sum(axis=1).max())
    order = np.argsort(~on, axis=1, kind="stable")[:, :width]
    graph = SkillGraph(names[order], len(SWITCHES), np.take_along_axis(on, order, 1))
    rows = []
    for seed in range(dataset.sizes["seed"]):
        success = few.exact.values[seed].ravel() > 0
        q = np.nan_to_num(skill_successes(graph, success), nan=1.0)
        rows.append(np.where(dataset.on.values, q, 1.0).prod(axis=-1))
    return np.stack(rows)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 14: success at more switches than training has."""
    judge = Judge("arora2023", "switches", "Ours, after Yu et al. 2023")
    predicted = xr.zeros_like(dataset.exact) + product(dataset)
    three = {"k": 3}
    known = float(dataset.exact.sel(k=1).mean()) > 0.2
    missing = "" if known else "The models do not add, not even with one switch on."
    shared: dict[str, Any] = {
        "bar": "ours",
        "missing": missing,
        "interval_over": f"sums and {dataset.sizes['seed']} seeds",
    }
    fresh = dataset.exact.sel(three) * dataset.new.sel(three)
    level = saturation_of(dataset)
    return [
        judge(
            "14",
            "A model that is trained on up to two switches succeeds on three: at least "
            "0.8 times as often as the product of single switches predicts.",
            _ratio(dataset.exact.sel(three), predicted.sel(three), dataset, missing),
            ">",
            0.8,
            unit="share of right sums / product",
            **shared,
        ),
        judge(
            "14b",
            "Most of what it can do with three switches is new: more than half of the "
            "right sums have a combination that training has not.",
            _ratio(fresh, dataset.exact.sel(three), dataset, missing),
            ">",
            0.5,
            unit="share of right sums that are new",
            follows="the training set has no sum with three switches, by construction.",
            **shared,
        ),
        judge(
            "14c",
            "Skill-Mix saturates later than training: the first k at which fewer than "
            "half of the sums have full marks is above three.",
            level,
            ">",
            3,
            unit=f"k; {MOST + 1} means none up to {MOST}",
            **shared | {"interval_over": "nothing: means over sums and seeds"},
        ),
    ]


def saturation_of(dataset: xr.Dataset) -> float:
    """Returns the first k with full marks below one half."""
    means = dataset.full_marks.mean(("seed", "sum"))
    scores = dict(zip(dataset.k.values.tolist(), means.values.tolist(), strict=True))
    return float(saturation(scores, 0.5) or MOST + 1)


def _ratio(
    above: xr.DataArray, below: xr.DataArray, dataset: xr.Dataset, missing: str
) -> Interval:
    """Returns a ratio of means over sums and seeds, both of which are resampled."""
    if missing or not float(below.sum()):
        return Interval(*(3 * [float("nan")]))
    one, other = (x.transpose("seed", "sum").values for x in (above, below))
    value, rng = float(one.mean() / other.mean()), np.random.default_rng(0)
    draws = []
    for _ in range(int(dataset.attrs["resamples"])):
        rows = rng.integers(0, len(one), len(one))[:, None]
        at = rows, rng.integers(0, one.shape[1], one.shape[1])[None]
        draws.append(one[at].mean() / max(other[at].mean(), 1e-12))
    low, high = interval(np.array(draws))
    return Interval(value, min(float(low), value), max(float(high), value))


# --- the picture ---

COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws scores by the number of switches, and the share of each switch."""
    with canvas(10, 4) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        k = dataset.k
        looks = dict(zip(RULES, ((BLACK, "o"), (BLUE, "s"), (GREEN, "D")), strict=True))
        for name, (colour, marker) in looks.items():
            mean = dataset[name].mean(("seed", "sum"))
            label = name.replace("_", " ")
            left.plot(k, mean, color=colour, marker=marker, label=label)
        predicted = product(dataset).mean(axis=(0, 2))
        left.plot(k, predicted, color=GREY, ls="--", label="product of single switches")
        left.axvline(dataset.attrs["most"] + 0.5, color=GREY, lw=1)
        left.set(title="right of the line all is new", ylim=(-0.03, 1.03))
        left.set(xlabel="switches that are on", ylabel="score")
        left.legend(fontsize=8)
        exact = dataset.exact.mean("seed")
        for index, name in enumerate(SWITCHES):
            on = dataset.on.sel(switch=name)
            share = (exact * on).sum("sum") / on.sum("sum")
            right.plot(
                k, share, color=COLOURS[index], marker="osD^vP"[index], label=name
            )
        right.set(title="right sums, by a switch that is on")
        right.set_xlabel("switches that are on")
        right.legend(fontsize=8)
        left.set_xticks(k.values)
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
