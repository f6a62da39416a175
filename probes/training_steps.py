"""How does what can be decoded grow over training?

A jump in the loss of a run can be held against what its hidden states knew before it:
the grid of scores is measured at checkpoints of the run, with the same prompts, the
same split and the same resamples at every step, so that steps differ in nothing but the
network. `onset(grid, along="step")` then says from which step on a target can be
decoded, with an interval that holds for all steps at once.

When it misleads: a score may rise because the state changes its scale or its rank, and
not because the network has learned; hold it against a control target
(`random_function`), measured in the same call. The steps are those of one run: another
seed jumps at another step.
"""

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import xarray as xr
from numpy.typing import ArrayLike

from probes.arrays import shown
from probes.grid import probe_grid
from probes.grid.sources import Hidden


def probe_by_step(
    checkpoints: Mapping[int, Hidden] | Iterable[tuple[int, Hidden]],
    targets: Mapping[str, ArrayLike],
    **settings: Any,
) -> xr.Dataset:
    """Fits and scores the probes of `probe_grid` at every checkpoint of a run.

    Args:
        checkpoints: pairs of a step and the hidden states of the network at that step,
            in whatever form `probe_grid` takes them, in any order of the steps. The
            prompts are the same at each. A generator has one network's states in memory
            at a time.
        targets: what to read out, as in `probe_grid`; the same at every step.
        settings: the other arguments of `probe_grid`.

    Returns:
        The Dataset of `probe_grid` with one more axis, `step`, in ascending order;
        `ceiling`, which does not depend on the network, is without it.

    Raises:
        ValueError: no checkpoints, a step that is no integer or occurs twice, states of
            other shapes or forms than those of other steps; and as in `probe_grid`,
            where the message begins with the step.

    Example:
        The target can be read from step 100 on:

        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> w = rng.normal(size=(200, 2))
        >>> def hidden(step):
        ...     states = rng.normal(size=(1, 200, 1, 6))
        ...     states[0, :, 0, :2] += (step >= 100) * 3 * w
        ...     return states
        >>> steps = [1, 10, 100, 1000]
        >>> grid = probe_by_step(((step, hidden(step)) for step in steps), {"w": w})
        >>> grid.step.values[grid.r2.squeeze() > 0.5].tolist()
        [100, 1000]
    """
    several = isinstance(checkpoints, Iterable) and not isinstance(checkpoints, str)
    if not several:
        raise ValueError(
            f"checkpoints must be pairs (step, hidden), got {shown(checkpoints)}."
        )
    grids: dict[int, xr.Dataset] = {}
    for step, hidden in _pairs(checkpoints):
        if step in grids:
            raise ValueError(f"steps must differ, but step {step} occurs twice.")
        try:
            grids[step] = probe_grid(hidden, targets, **settings)
        except ValueError as error:
            raise ValueError(f"step {step}: {error}") from error
        _refuse_unlike(grids, step)
    if not grids:
        raise ValueError("checkpoints must hold at least one step, got none.")
    steps = sorted(grids)
    ceiling = grids[steps[0]].ceiling
    joined = xr.concat(
        [grids[step].drop_vars("ceiling") for step in steps],
        dim="step",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="override",
    )
    return joined.assign_coords(step=steps).assign(ceiling=ceiling)


def _pairs(
    checkpoints: Mapping[int, Hidden] | Iterable[tuple[int, Hidden]],
) -> Iterator[tuple[int, Hidden]]:
    """Yields the steps, as integers, and their states."""
    pairs: Iterable[Any] = (
        checkpoints.items() if isinstance(checkpoints, Mapping) else checkpoints
    )
    for pair in pairs:
        try:
            given, hidden = pair
            step = operator.index(given)
        except (TypeError, ValueError):
            raise ValueError(
                "checkpoints must be pairs (step, hidden) with an integer step, got "
                f"{_kind(pair)}."
            ) from None
        yield step, hidden


def _refuse_unlike(grids: Mapping[int, xr.Dataset], step: int) -> None:
    """Refuses a step whose cells or prompts are not those of the first."""
    first = next(iter(grids))
    for axis in ("layer", "token"):
        sizes = [grids[each].sizes[axis] for each in (first, step)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"all steps must have the same {axis}s, but step {first} has "
                f"{sizes[0]} and step {step} has {sizes[1]}."
            )
    splits = [grids[each].split.item() for each in (first, step)]
    if splits[0] != splits[1]:
        raise ValueError(
            f"steps {first} and {step} test other prompts: an iterator is tested on "
            "its last prompts, and arrays and functions on prompts that are drawn; "
            "give all steps in one form."
        )


def _kind(pair: Any) -> str:
    """Returns what a pair is, for a message."""
    shape = getattr(pair, "shape", None)
    if shape is not None:
        return f"an array of shape {tuple(shape)}"
    if isinstance(pair, tuple | list):
        return f"({', '.join(type(part).__name__ for part in pair)})"
    return shown(pair)
