"""The blocks of a prequential code, and what it costs on average over orders."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from probes import checks, scores
from probes.codelength.result import Codelength, summed
from probes.groups import one_label_each

RESAMPLES = 1_000


def over_orders(
    costs_of: Callable[[Int[np.ndarray, " prompts"]], np.ndarray],
    member: Int[np.ndarray, " prompts"],
    orders: int,
    rng: np.random.Generator,
) -> Codelength:
    """Returns the bits of a code, averaged over random orders of the groups.

    Args:
        costs_of: the bits of every prompt and coordinate without features and with
            them, (2, prompts, q), given each prompt's place in the order.
        member: the number of each prompt's group.
        orders: the number of orders.
        rng: draws the orders and the resamples.
    """
    count = int(member.max()) + 1
    places = [rng.permutation(count)[member] for _ in range(orders)]
    costs = [costs_of(place) for place in places]
    mean = np.mean(costs, axis=0)
    saved = mean[0] - mean[1]
    low, high = _interval_of_saved(saved, costs, member, rng)
    bits, intercept_bits = mean[1].sum(), mean[0].sum()
    return summed(bits, intercept_bits, saved.sum(axis=0), len(member), low, high)


def _interval_of_saved(
    saved: Float[np.ndarray, "prompts q"],
    costs: list[np.ndarray],
    member: Int[np.ndarray, " prompts"],
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Returns the interval of saved bits per prompt, over groups and orders.

    Groups are resampled, with what all orders save on average. Orders add the variance
    of the mean of so many, with the quantile of Student's t.
    """
    count, orders = int(member.max()) + 1, len(costs)
    per_group = np.bincount(member, saved.sum(axis=1))
    counts = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES)
    draws = (counts @ per_group) / (counts @ np.bincount(member))
    low, high = (float(end.item()) for end in scores.interval(draws[None]))
    if orders == 1:
        return low, high
    of_orders = [float((cost[0] - cost[1]).sum()) / len(saved) for cost in costs]
    quantile = float(stdtrit(orders - 1.0, 1 - (1 - scores.CONFIDENCE) / 2))
    square = quantile**2 * float(np.var(of_orders, ddof=1)) / orders
    value = float(saved.sum()) / len(saved)
    return (
        value - float(np.hypot(value - low, square**0.5)),
        value + float(np.hypot(high - value, square**0.5)),
    )


def members(groups: ArrayLike | None, prompts: int) -> Int[np.ndarray, " prompts"]:
    """Returns the number of each prompt's group."""
    return np.unique(one_label_each(groups, prompts), return_inverse=True)[1]


def check_blocks(first: int | None, growth: float, count: int, *, features: int) -> int:
    """Returns the number of groups in the first block.

    Args:
        first: what was asked for. None: four groups for each feature, 16 or more, but
            no more than half of them.
        growth: the factor by which what is known grows.
        count: the number of groups.
        features: the number of features.

    Raises:
        ValueError: blocks that do not grow, or leave none of the groups to code.
    """
    if first is not None:
        first = checks.positive_int("first", first)
    else:
        first = max(min(max(16, 4 * features), count // 2), 4)
    if not 4 <= first < count:
        raise ValueError(
            f"first must be at least 4 and leave some of the {count} groups to code, "
            f"got {first}."
        )
    if checks.number("growth", growth) <= 1:
        raise ValueError(f"growth must be finite and above 1, got {growth!r}.")
    return first


def blocks_of(
    place: Int[np.ndarray, " prompts"], first: int, growth: float
) -> Iterator[tuple[Bool[np.ndarray, " prompts"], Bool[np.ndarray, " prompts"]]]:
    """Yields, for each block after the first, the known prompts and those it codes."""
    count, end = int(place.max()) + 1, first
    while end < count:
        start, end = end, max(round(end * growth), end + 1)
        yield place < start, (place >= start) & (place < end)
