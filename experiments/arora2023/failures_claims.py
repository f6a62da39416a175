"""Do failures of real learners keep to the theory? Claims S5, S6 and S11.

Those about models that add are in `sums_claims` and `switches`. Prompts with the same
active coordinates are one weighted piece, right or wrong, so that resampled prompts are
other weights of the same few pieces.
"""

import numpy as np
import xarray as xr

from experiments.engine.claims.claim import Claim, Interval
from experiments.engine.claims.judge import Judge
from icl.resampling import interval
from icl.skills import SkillGraph, bound, composition

SOME, MOST = 0.01, 0.3
"""The shares of failing prompts between which the claims look at a learner."""


def graph_of(one: xr.Dataset) -> tuple[SkillGraph, np.ndarray]:
    """Returns the graph of one cell, with a piece for each set and outcome."""
    dim = int(one.attrs["dim"])
    active = np.sort(one.active.values, axis=1)
    rows = np.concatenate([active, one.success.values[:, None]], axis=1)
    rows, counts = np.unique(rows, axis=0, return_counts=True)
    graph = SkillGraph(rows[:, :-1], dim, measure=counts.astype(float))
    return graph, rows[:, -1] > 0


def attacked(graph: SkillGraph, success: np.ndarray) -> float:
    """Returns the failure rate of one coordinate if as many prompts fail on purpose.

    All sets of coordinates are alike, so that the prompts that need one coordinate
    fail first: as many as fail, or all of them.
    """
    theta = float(graph.weights[~success].sum())
    return float(min(1.0, theta / (graph.k / graph.skills)))


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what failures do, where some and not most prompts fail."""
    judge = Judge("arora2023", "failures", "Ours, after Arora and Goyal 2023")
    cells = _cells(dataset)
    learners = [str(name) for name in dataset.learner.values]
    subjects = ("theory", "models")
    found = []
    for letter, learner, subject in zip("ab", learners, subjects, strict=True):
        chosen = [cell for name, *cell in cells if name == learner]
        missing = (
            "" if chosen else f"{learner} fails never, or mostly, on these prompts."
        )
        measured = _measured(chosen, dataset) if chosen else 3 * [float("nan")]
        found += _of_learner(judge, letter, learner, subject, measured, missing)
    return found


def _cells(dataset: xr.Dataset) -> list[tuple]:
    """Returns learner, graph and outcomes wherever some and not most prompts fail."""
    cells = []
    for learner in dataset.learner.values:
        for inputs in dataset.inputs.values:
            for context in dataset.context.values:
                one = dataset.sel(learner=learner, inputs=inputs, context=context)
                graph, success = graph_of(one)
                if SOME <= graph.weights[~success].sum() <= MOST:
                    cells.append((str(learner), graph, success))
    return cells


def _measured(cells: list, dataset: xr.Dataset) -> list[Interval]:
    """Returns the largest over cells of three statistics, with intervals."""
    rng = np.random.default_rng(int(dataset.attrs["seed"]))
    count, prompts = int(dataset.attrs["resamples"]), dataset.sizes["prompt"]
    draws = [rng.multinomial(prompts, g.weights, size=count) for g, _ in cells]
    rows = []
    for draw in range(-1, count):
        values = []
        for (graph, success), weights in zip(cells, draws, strict=True):
            measure = graph.weights if draw < 0 else weights[draw].astype(float)
            again = SkillGraph(graph.edges, graph.skills, measure=measure)
            values.append(_statistics(again, success))
        rows.append(np.max(values, axis=0))
    low, high = interval(np.array(rows[1:]))
    return [
        Interval(float(v), float(min(a, v)), float(max(b, v)))
        for v, a, b in zip(rows[0], low, high, strict=True)
    ]


def _statistics(graph: SkillGraph, success: np.ndarray) -> list[float]:
    """Returns excess over the bound, share of the attack, and size of the log ratio."""
    theta = float(graph.weights[~success].sum())
    rates = _rates(graph, success)
    over = [-1 / graph.skills]  # where there is no bound, nothing is above it
    for alpha in (1 / graph.skills, 0.25, 0.5):
        limit = bound(theta, graph.k, alpha)
        if limit is not None:
            over.append(float((rates > limit.failure).mean()) - alpha)
    pairs = composition(graph, success, least=1)
    sizes = abs(np.log(np.maximum(pairs.ratio.values, 1e-6)))
    return [max(over), rates.max() / attacked(graph, success), float(sizes.mean())]


def _rates(graph: SkillGraph, success: np.ndarray) -> np.ndarray:
    """Returns the failure rate of each coordinate."""
    wrong = graph.edge_weights(graph.weights * ~success)
    return wrong / graph.edge_weights(graph.weights)


def _of_learner(judge, letter, learner, subject, measured, missing) -> list[Claim]:
    """Returns claims 5, 6 and 11 of one learner."""
    where = "wherever 1 to 30 % of the prompts fail"
    over = "prompts, for one trained model" if subject == "models" else "prompts"
    shared = {
        "bar": "ours",
        "subject": subject,
        "missing": missing,
        "interval_over": over,
    }
    return [
        judge(
            f"5{letter}",
            f"Failures of {learner} obey the bound at their own theta, {where}: no "
            "larger share of coordinates than alpha is above it.",
            measured[0],
            "<=",
            0,
            unit="largest share above, less alpha",
            **shared,
        ),
        judge(
            f"6{letter}",
            f"They are far from the worst case, {where}: the coordinate that fails "
            "most does so less than 0.8 times as often as an adversary could make it.",
            measured[1],
            "<",
            0.8,
            unit="failure rate / the adversary's",
            **shared,
        ),
        judge(
            f"11{letter}",
            f"Success of {learner} at pairs of coordinates is the product of "
            f"single ones, {where}.",
            measured[2],
            "<",
            0.1,
            unit="largest mean size of log(observed / product)",
            **shared,
        ),
    ]
