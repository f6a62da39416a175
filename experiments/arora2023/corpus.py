"""The number of tuples that fit a corpus: how much of success must be on unseen ones.

Claim: combinations of skills soon outnumber whatever a corpus can hold, so that a model
which is right on even a tenth of them has not seen most of these.

Paper: section 5 of Arora and Goyal 2023 ("paucity of stimulus"), and the count of
Skill-Mix (Yu et al. 2023, arXiv 2310.17567).

Run: python -m experiments.arora2023.corpus quick

How to read it: on the left, solid curves are the numbers of sets of t among N skills,
and dashed ones the numbers of such sets that a corpus can hold, if every text needs
eight skills and no set comes twice. Where a solid curve is more than ten times as high
as a dashed one, a model that is right on a tenth of the sets was right on some that it
had not seen. On the right is the least share of a model's successful texts that are
new, by the number of skills and the share of successes, for a corpus of 5e10 sentences.
It assumes that skills occur independently in the corpus, which nothing here tests. The
two points are success rates that are reported for GPT-4; notes on the paper disagree
about them.
"""

import sys
from dataclasses import dataclass

import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.engine.claims.claim import Claim
from experiments.engine.claims.judge import Judge
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    VERMILLION,
    canvas,
)
from icl import checks
from icl.skills import combinations, corpus_share, novelty, unseen_share
from icl.sweeps.store import Models

TIMES = {"tiny": "5 s", "quick": "5 s", "paper": "5 s"}

SKILLS, TEXTS = (100, 1_000, 10_000), (1e6, 1e9, 1e12)
P_SKILL, P_TOPIC, SENTENCES = 0.0144, 0.0022, 5e10
"""How common skills and topics are for Skill-Mix, and the sentences of its corpus."""

REPORTED = {5: 0.12, 6: 0.08}
"""A success rate for each k that is reported for GPT-4, by one of two notes."""


@dataclass(frozen=True)
class Config:
    """Settings of the counts. No model is trained.

    Attributes:
        k: the number of skills that a text needs, and the largest tuple.
        rates: the success rates for which novelty is shown.
    """

    k: int = 8
    rates: tuple[float, ...] = (0.5, 0.1, 0.02)

    def __post_init__(self) -> None:
        checks.positive_int("k", self.k, minimum=4, maximum=60)
        for rate in self.rates:
            if not 0 < checks.finite_number("rates", rate) <= 1:
                raise ValueError(f"rates must lie between 0 and 1, got {rate!r}.")


PRESETS = {"tiny": Config(), "quick": Config(), "paper": Config()}


def compute(config: Config, _: Models) -> xr.Dataset:
    """Counts tuples and what a corpus holds.

    Returns:
        A Dataset with `tuples` over (skills, size), `held` over (texts, size), `unseen`
        over (skills, texts, size), the least share of unseen ones among a tenth of all,
        `new` over (rate, size), and over `reported` what follows from reported rates.
    """
    sizes = list(range(1, config.k + 1))
    tuples = [[float(combinations(n, t)) for t in sizes] for n in SKILLS]
    held = [[texts * combinations(config.k, t) for t in sizes] for texts in TEXTS]
    unseen = [
        [[unseen_share(n, t, d, config.k, competent=0.1) for t in sizes] for d in TEXTS]
        for n in SKILLS
    ]
    new = [[_new(k, rate) for k in sizes] for rate in config.rates]
    return xr.Dataset(
        {
            "tuples": (("skills", "size"), np.array(tuples)),
            "held": (("texts", "size"), np.array(held)),
            "unseen": (("skills", "texts", "size"), np.array(unseen)),
            "new": (("rate", "size"), np.array(new)),
            "share": ("reported", [_share(k) for k in REPORTED]),
            "reported_new": ("reported", [_new(k, r) for k, r in REPORTED.items()]),
        },
        coords={
            "skills": list(SKILLS),
            "texts": list(TEXTS),
            "size": sizes,
            "rate": list(config.rates),
            "reported": list(REPORTED),
        },
    )


def _share(k: int) -> float:
    return corpus_share(P_SKILL, P_TOPIC, SENTENCES, k)


def _new(k: int, rate: float) -> float:
    return novelty(P_SKILL, P_TOPIC, SENTENCES, k, rate)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns the arithmetic of Skill-Mix, and whether tuples outnumber a corpus."""
    judge = Judge(
        "arora2023",
        "corpus",
        "Yu et al. 2023 (Skill-Mix); Arora and Goyal 2023, section 5",
        subject="theory",
    )
    wanted = np.array([0.06811, 9.808e-4])
    share = abs(dataset.share.values / wanted - 1)
    new = abs(dataset.reported_new.values / np.array([0.432, 0.988]) - 1)
    counts = [combinations(101, 4) - 4_082_925, combinations(101, 5) - 79_208_745]
    middle = dataset.unseen.sel(skills=1_000, texts=1e9)
    return [
        judge(
            "10a",
            "A corpus of 5e10 sentences holds a share of 0.0681 of the combinations of "
            "five skills and a topic, and 0.000981 of those of six, to 1 %.",
            float(share.max()),
            "<",
            0.01,
            unit="largest relative difference",
        ),
        judge(
            "10b",
            "Success rates of 0.12 at k = 5 and 0.08 at k = 6 mean at least 43.2 % and "
            "98.8 % new combinations, to 1 %.",
            float(new.max()),
            "<",
            0.01,
            unit="largest relative difference",
            note="It assumes that skills occur independently in the corpus.",
        ),
        judge(
            "10c",
            "Of 101 skills there are 4,082,925 sets of four and 79,208,745 of five.",
            float(max(map(abs, counts))),
            "<=",
            0,
            unit="largest difference",
        ),
        judge(
            "paucity",
            "With 1,000 skills and 1e9 texts of eight skills each, a model that is "
            "right on a tenth of all sets of four has not seen most of these.",
            float(middle.sel(size=4)),
            ">",
            0.5,
            unit="least share of unseen sets",
            bar="ours",
        ),
        judge(
            "paucity-five",
            "The same of sets of five.",
            float(middle.sel(size=5)),
            ">",
            0.5,
            unit="least share of unseen sets",
            bar="ours",
        ),
    ]


COLORS = (BLUE, GREEN, VERMILLION)
GREYS = ("#bbbbbb", "#888888", "#444444")


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws numbers of tuples on the left, and the share of new ones on the right."""
    size = dataset["size"].values
    with canvas(9.5, 4.2) as figure:
        left, right = figure.subplots(1, 2)
        for color, skills in zip(COLORS, dataset.skills.values, strict=True):
            label = f"sets among {skills:,} skills"
            left.plot(
                size,
                dataset.tuples.sel(skills=skills),
                marker="o",
                color=color,
                label=label,
            )
        for color, texts in zip(GREYS, dataset.texts.values, strict=True):
            label = f"held by 1e{np.log10(texts):.0f} texts"
            left.plot(
                size, dataset.held.sel(texts=texts), "--", color=color, label=label
            )
        left.set_yscale("log")
        left.set(title="how many tuples are there?", xlabel="skills of a tuple, t")
        left.legend(fontsize=8)
        styles = zip(
            dataset.rate.values, (SKY, ORANGE, BLACK), ("-", "--", ":"), strict=False
        )
        for rate, color, line in styles:
            right.plot(
                size,
                dataset.new.sel(rate=rate),
                linestyle=line,
                color=color,
                label=f"successes {rate:g}",
            )
        right.plot(
            dataset.reported,
            dataset.reported_new,
            "D",
            color=GREY,
            label="reported of GPT-4: 0.12, 0.08",
        )
        right.set(title="least share of successes that are new", xlabel="skills, k")
        right.legend(loc="upper left", fontsize=8)
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
