"""Slow and fast skills: what a corpus teaches if some skills are used far more often.

Claim: frequent skills are learnt first; tuples come later than single skills; and most
tuples that a model can do have never stood in one text of its corpus.

Paper: section 7 of Arora and Goyal 2023. The learner is a toy of ours, which is told
how fast a skill is learnt, and the mean of steps is that of Michaud et al. 2023 (arXiv
2303.13506).

Run: python -m experiments.arora2023.exposure quick

How to read it: 300 skills are used in proportion to 1 / rank. A skill that was seen n
times fails with a probability of 0.8 exp(-n / 20), and a piece fails if any of its four
skills does: this is put in, and nothing here tests it. On the left, the competence of
each skill falls with its rank, and rises with the number of texts. In the middle is the
share of skills and of tuples that succeed nine times in ten. It depends on the law they
are drawn from: by how often they are used, or all alike. On the right, skills are
learnt one by one, each at once, and the mean error still falls as a straight line on
logarithmic axes.
"""

import sys
from dataclasses import dataclass

import matplotlib.figure
import numpy as np
import xarray as xr
from scipy.stats import spearmanr

from experiments.arora2023.exposure_claims import ALPHA, claims
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
from icl import checks
from icl.skills import SkillGraph, tuples_of, zipf
from icl.sweeps.store import Models

TIMES = {"tiny": "10 s", "quick": "20 s", "paper": "1 min"}

COMPETENT = 0.9
"""The share of successes from which on a skill, or a tuple, counts as competent."""

FAILS_UNSEEN, SLOWNESS = 0.8, 20.0
"""How often an unseen skill fails, and the exposures by which that falls to 1/e."""

QUANTA = 1_000_000
"""The number of quanta whose mean is a power law: with fewer, its tail is cut off."""


@dataclass(frozen=True)
class Config:
    """Settings of the toy. No model is trained.

    Attributes:
        skills: the number of skills.
        k: the number of skills of a text.
        tested: the number of tuples on which the learner is tested.
        decades: corpora have 100 to 10^(2 + decades) texts, four sizes a decade.
        seed: of the corpora and the tested tuples.
    """

    skills: int = 300
    k: int = 4
    tested: int = 20_000
    decades: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        checks.positive_int("skills", self.skills, minimum=10, maximum=10_000)
        checks.positive_int("k", self.k, minimum=2, maximum=6)
        checks.positive_int("tested", self.tested, minimum=100, maximum=1_000_000)
        checks.positive_int("decades", self.decades, minimum=1, maximum=4)
        checks.positive_int("seed", self.seed, minimum=0)


PRESETS = {
    "tiny": Config(tested=2_000),
    "quick": Config(),
    "paper": Config(tested=100_000, decades=4),
}


def compute(config: Config, _: Models) -> xr.Dataset:
    """Teaches the toy from corpora of growing size.

    Returns:
        A Dataset with, over `texts`, the share `theta` of tested tuples that fail, the
        shares of competent skills `single_measure` and `single_count`, of competent
        tuples `tuple_measure` and `tuple_uniform`, the share `seen` of tested tuples
        whose skills all stood in one text, and `same` of those that are the skills of a
        text, with repetitions; the shares `new` and `new_same` of competent tuples for
        which that is not so; and the rank correlation `order` of a skill's frequency
        and its competence; over (texts, skill) the `competence` of each; and over
        `learnt` the mean error `left` of quanta.
    """
    counts = [round(10 ** (2 + i / 4)) for i in range(4 * config.decades + 1)]
    rows = [taught(config, texts) for texts in counts]
    names = [name for name in rows[0] if name != "competence"]
    learnt = np.unique(np.geomspace(10, 1_000, 9).round().astype(int))
    left = 1 - np.cumsum(zipf(QUANTA, 1 + ALPHA))[learnt - 1]
    return xr.Dataset(
        {name: ("texts", np.array([row[name] for row in rows])) for name in names}
        | {
            "competence": (
                ("texts", "skill"),
                np.stack([r["competence"] for r in rows]),
            ),
            "left": ("learnt", left),
        },
        coords={
            "texts": counts,
            "skill": np.arange(1, config.skills + 1),
            "learnt": learnt,
        },
        attrs={"k": config.k},
    )


def taught(config: Config, texts: int) -> dict[str, float | np.ndarray]:
    """Returns what the toy can do after a corpus of so many texts."""
    law = zipf(config.skills)
    corpus = SkillGraph.sample(
        texts, config.k, config.skills, law=law, seed=config.seed
    )
    tested = SkillGraph.sample(
        config.tested, config.k, config.skills, law=law, seed=config.seed + 1
    )
    alike = SkillGraph.sample(
        config.tested, config.k, config.skills, seed=config.seed + 2
    )
    skill = 1 - FAILS_UNSEEN * np.exp(-corpus.exposures / SLOWNESS)
    success = skill[tested.edges].prod(axis=1)
    able = success >= COMPETENT
    seen, same = (
        stood_together(corpus, tested),
        are_the_skills_of_a_text(corpus, tested),
    )
    return {
        "competence": skill,
        "theta": float(1 - success.mean()),
        "single_measure": float(law[skill >= COMPETENT].sum()),
        "single_count": float((skill >= COMPETENT).mean()),
        "tuple_measure": float(able.mean()),
        "tuple_uniform": float((skill[alike.edges].prod(axis=1) >= COMPETENT).mean()),
        "seen": float(seen.mean()),
        "same": float(same.mean()),
        "new": _share_new(able, seen),
        "new_same": _share_new(able, same),
        "order": float(spearmanr(corpus.exposures, skill).statistic),
    }


def _share_new(able: np.ndarray, known: np.ndarray) -> float:
    """Returns the share of competent tuples that are not known, or NaN."""
    return float((able & ~known).sum() / able.sum()) if able.any() else float("nan")


def are_the_skills_of_a_text(corpus: SkillGraph, tested: SkillGraph) -> np.ndarray:
    """Returns whether each tested piece has just the skills of a text."""
    powers = corpus.skills ** np.arange(corpus.k)
    held = np.sort(corpus.edges.astype(np.int64), axis=1) @ powers
    return np.isin(np.sort(tested.edges.astype(np.int64), axis=1) @ powers, held)


def stood_together(corpus: SkillGraph, tested: SkillGraph) -> np.ndarray:
    """Returns whether all skills of each tested piece stand in one text."""
    found = np.zeros(tested.pieces, bool)
    different = np.asarray(tested.uses.sum(axis=1)).ravel()
    base = corpus.skills
    for size in range(1, corpus.k + 1):
        powers = base ** np.arange(size)
        held = tuples_of(corpus, size)[0] @ powers
        members, piece, number = tuples_of(tested, size)
        known = np.isin(members @ powers, held)
        whole = different[piece] == size
        found[piece[whole]] = known[number[whole]]
    return found


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws competence by rank, shares by texts, and the mean of steps."""
    with canvas(11, 4.2) as figure:
        ranks, shares, steps = figure.subplots(1, 3)
        chosen = [texts for texts in dataset.texts.values if np.log10(texts) % 1 == 0]
        for color, texts in zip(
            (ORANGE, GREEN, BLUE, PURPLE, BLACK), chosen, strict=False
        ):
            one = dataset.competence.sel(texts=texts)
            ranks.plot(one.skill, one, color=color, label=f"{texts:,} texts")
        ranks.set_xscale("log")
        ranks.set(title="fast and slow skills", xlabel="rank of a skill")
        ranks.set_ylabel("competence")
        ranks.set_ylim(-0.2, 1.04)  # the legend stands below the curves
        ranks.legend(loc="lower left")
        lines = {
            "single_measure": ("skills, by use", BLUE, "-", "o"),
            "single_count": ("skills, all alike", SKY, "--", "o"),
            "tuple_measure": ("tuples, by use", VERMILLION, "-", "s"),
            "tuple_uniform": ("tuples, all alike", ORANGE, "--", "s"),
            "seen": ("tuples in one text", GREY, ":", ""),
        }
        for name, (label, color, line, marker) in lines.items():
            shares.plot(
                dataset.texts,
                dataset[name],
                line,
                color=color,
                marker=marker,
                label=label,
            )
        shares.set_xscale("log")
        shares.set(title=f"share that succeeds in {COMPETENT:.0%}", xlabel="texts")
        shares.set_ylim(-0.03, 1.5)  # the legend stands above the curves
        shares.set_yticks(np.linspace(0, 1, 6))
        shares.legend(loc="upper left", fontsize=8)
        left = dataset.left
        steps.plot(left.learnt, left, "o", color=BLUE, label="mean over quanta")
        law = left.values[0] * (left.learnt / left.learnt[0]) ** -ALPHA
        steps.plot(left.learnt, law, "--", color=GREY, label=f"slope -{ALPHA:g}")
        steps.set_xscale("log")
        steps.set_yscale("log")
        steps.set(title="the mean of steps is a line", xlabel="quanta that are learnt")
        steps.set_ylabel("mean error")
        steps.legend()
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
