"""Which textbook learner is a model nearest to, and how sure is that?

    from icl.compare import nearest
    print(nearest(model, prompts))

A family is as near as its nearest member: ridge is allowed its best alpha, gradient
descent its best number of steps and rate. The distance is the squared prediction
difference at x_i (Akyürek et al. 2023, Eq. 15), averaged over context lengths, by
default 1 .. dim - 1, and divided by dim: their MSPD, the vertical axis of their Figure
3. Shapes: predictions (batch, length), distances (batch, learners).

Intervals are bootstrap intervals over prompts, with the same resamples for all
learners, so that what a prompt does to all of them cancels in a margin. The best
members are chosen again in every resample: the interval includes the choice. It says
what other prompts would give for this trained model, and leaves out what another seed
of its training would: to speak of models of a kind, rank several.

How to read it:

- The winner is *separated* if it is nearer than the runner-up in 97.5 % of the
  resamples or more. That says nothing about how near: look at the distance.
- Otherwise `candidates` lists the families that may be the nearest: the truly nearest
  is left out in 5 % of cases. Each is compared with every other at once ("max-t"), not
  with the winner alone, which is nearer by chance: that would leave it out in 15 %
  where seven are equally near. Take the one with fewest hyper-parameters. Ridge, with
  a small alpha, can come as near to anything as least squares does, and a little nearer
  by chance: its alpha is chosen, and least squares has nothing to choose.
- `at_edge` marks a best member at an end of its grid. There the family runs into
  another (see `grids`), or the grid is too short.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float

from icl import checks
from icl.baselines import Learner
from icl.compare.grids import families as default_families
from icl.compare.members import (
    Contexts,
    Families,
    Predictor,
    family_distances,
    members_of,
)
from icl.prompts import Prompts, check_prompts
from icl.resampling import STATISTICS, Statistic, bootstrap, contenders, interval


class Margin(NamedTuple):
    """How much one distance exceeds another, with its paired 95 % interval.

    The interval is over prompts, for one trained model.
    """

    value: float
    low: float
    high: float


class Fit(NamedTuple):
    """The nearest member of one family.

    Attributes:
        family: its name.
        learner: the nearest member.
        distance: mean (or median) distance over prompts.
        low: lower end of its 95 % interval over prompts, for one trained model.
        high: upper end of that interval.
        margin: how much farther it is than the nearest family, for which it is 0.
        at_edge: whether one of its hyper-parameters is the smallest or the largest
            among the members.
        candidate: whether its family may be the nearest, for all that is known.
    """

    family: str
    learner: Learner
    distance: float
    low: float
    high: float
    margin: Margin
    at_edge: bool
    candidate: bool


@dataclasses.dataclass(frozen=True)
class Nearest:
    """All families, the nearest first; `print` shows them as a table.

    Attributes:
        fits: the best member of each family; equally near families keep the order in
            which they were given.
    """

    fits: tuple[Fit, ...]

    @property
    def winner(self) -> Fit:
        """The nearest family."""
        return self.fits[0]

    @property
    def runner_up(self) -> Fit:
        """The second nearest family."""
        return self.fits[1]

    @property
    def margin(self) -> Margin:
        """How much farther the runner-up is than the winner."""
        return self.runner_up.margin

    @property
    def separated(self) -> bool:
        """Whether the interval of the margin excludes 0."""
        return self.margin.low > 0

    @property
    def candidates(self) -> tuple[str, ...]:
        """The winner, and every family that may be the nearest, by max-t at 5 %."""
        return tuple(fit.family for fit in self.fits if fit.candidate)

    def __str__(self) -> str:
        width = max(len(fit.family) for fit in self.fits)
        wide = max(len(fit.learner.name) for fit in self.fits)
        lines = []
        for fit in self.fits:
            note = " (end of its grid)" if fit.at_edge else ""
            lines.append(
                f"{fit.family:{width}}  {fit.learner.name:{wide}}  "
                f"{fit.distance:.2e} [{fit.low:.2e}, {fit.high:.2e}]{note}"
            )
        verdict = "separated" if self.separated else "not separated"
        value, low, high = self.margin
        lines.append(f"margin {value:.2e} [{low:.2e}, {high:.2e}]: {verdict}")
        return "\n".join(lines)


def nearest(
    learner: Predictor,
    prompts: Prompts,
    families: Families | None = None,
    *,
    contexts: Contexts | None = None,
    divide_by: int | float | None = None,
    statistic: Statistic = "mean",
    resamples: int = 1000,
    seed: int = 0,
) -> Nearest:
    """Returns the nearest member of each family, the nearest family first.

    Intervals are over the prompts, and include that the nearest members are chosen on
    them. They leave out that another seed of its training would give another model: to
    speak of models of a kind, ask several.

    Args:
        learner: a model: anything that, called on prompts, returns predictions
            (batch, length), or an object with `.predictions`, such as a `Transformer`
            or a textbook learner. It is called once, on all prompts, in full float32
            also where a GPU would round; where that is too much, hand over the
            predictions in its place.
        prompts: a few thousand that it was not trained on.
        families: lists of learners by name; None is `grids.families(dim)`.
        contexts: context lengths that are averaged over; None is 1 .. dim - 1, where
            the context does not determine w (1 if dim is 1).
        divide_by: the distances are divided by it; None is dim.
        statistic: "mean" or "median" over the prompts. With noisy labels take the
            median, or leave contexts near dim out: the expectation of least squares'
            distance to anything better is infinite at dim - 1, dim and dim + 1.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        ValueError: there are fewer than two families or prompts, a family has no
            members, the prompts do not have these contexts, or the predictions have
            another shape or are not finite.

    Example:
        >>> import jax
        >>> from icl import LinearRegression
        >>> from icl.baselines import LeastSquares, NearestNeighbors, Ridge
        >>> task = LinearRegression(dim=3, length=4)
        >>> prompts = task.sample(jax.random.key(0), batch=50)
        >>> model = Ridge(0.3)  # or the predictions of any model
        >>> found = nearest(model, prompts, {
        ...     "least squares": [LeastSquares()],
        ...     "ridge": [Ridge(alpha) for alpha in (0.1, 0.3, 1.0)],
        ...     "k-NN": [NearestNeighbors(1), NearestNeighbors(3)]})
        >>> found.winner.learner, found.winner.distance, found.separated
        (Ridge(alpha=0.3), 0.0, True)
        >>> [fit.family for fit in found.fits]
        ['ridge', 'least squares', 'k-NN']
    """
    if families is None:
        families = default_families(check_prompts(prompts).xs.shape[-1])
    distances = family_distances(
        learner, prompts, families, contexts=contexts, divide_by=divide_by
    )
    return rank(
        distances, families, statistic=statistic, resamples=resamples, seed=seed
    )


def rank(
    per_prompt: Float[ArrayLike, "batch learners"],
    families: Families,
    *,
    statistic: Statistic = "mean",
    resamples: int = 1000,
    seed: int = 0,
) -> Nearest:
    """Returns the families in the order of their nearest members.

    Intervals are over the prompts, as those of `nearest`.

    Args:
        per_prompt: what `family_distances` returned for these families, or any other
            distances of the same order.
        families: lists of learners by name, two at least.
        statistic: "mean" or "median" over the prompts.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        ValueError: there are fewer than two families or prompts, a family has no
            members, there are not as many columns as members, or a distance is not
            finite.
    """
    members = members_of(families)
    if len(families) < 2:
        raise ValueError(
            f"families must be two or more to be ranked, got only {list(families)}; "
            "for the best value of a single one, call `effective`."
        )
    axes = "(batch, learners)"
    sizes = (None, len(members))
    per_prompt = np.asarray(checks.array("per_prompt", per_prompt, sizes, axes), float)
    draws = bootstrap(per_prompt, statistic=statistic, resamples=resamples, seed=seed)
    values = STATISTICS[statistic](per_prompt, axis=0)

    ends = np.cumsum([len(family) for family in families.values()])
    columns = np.split(np.arange(len(members)), ends[:-1])
    distances = np.array([values[own].min() for own in columns])
    resampled = np.stack([draws[:, own].min(axis=1) for own in columns], axis=1)
    order = np.argsort(distances, kind="stable")
    may_be_nearest = contenders(distances, resampled)
    excess = resampled - resampled[:, order[:1]]
    lows, highs = interval(resampled)
    margin_lows, margin_highs = interval(excess)

    names, fits = list(families), []
    for i in order:
        best = members[columns[i][np.argmin(values[columns[i]])]]
        beyond = distances[i] - distances[order[0]]
        fits.append(
            Fit(
                family=names[i],
                learner=best,
                distance=float(distances[i]),
                low=float(lows[i]),
                high=float(highs[i]),
                margin=Margin(
                    float(beyond), float(margin_lows[i]), float(margin_highs[i])
                ),
                at_edge=_at_edge(best, families[names[i]]),
                candidate=bool(may_be_nearest[i]),
            )
        )
    return Nearest(tuple(fits))


def _at_edge(best: Learner, family: Sequence[Learner]) -> bool:
    """Whether a number among its hyper-parameters is the smallest or largest of all."""
    for name in getattr(best, "__dataclass_fields__", {}):
        values = {getattr(member, name, None) for member in family}
        numbers = [value for value in values if isinstance(value, int | float)]
        ends = (min(numbers), max(numbers)) if len(numbers) > 1 else ()
        if getattr(best, name) in ends:
            return True
    return False
