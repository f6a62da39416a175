"""Onsets: from which layer, or token, on can a target be decoded?

The answer is a place where a curve of scores crosses a line, and such places move with
the sample: a curve that rises slowly crosses anywhere. The interval comes from a band
that holds for all places at once: the crossing is no earlier than the first place whose
upper end crosses, and no later than the first whose lower end does. (The percentiles of
resampled crossings are biased to early places, and cover the truth in 84 to 88 % of
cases where a curve is flat.)

The band is over test prompts, for these probes of this network; with several seeds,
over prompts and seeds. Tokens are never resampled: those of one prompt share their
weight vector.

Two lines are common. *Half the error*: the first layer whose unexplained variance
1 - R2 is at most a share (one half) of that of the embedding, layer 0; it says where
the network has made progress. *A share of the ceiling*: the first place whose R2 is at
least a share of what could be known there, if that is anything; it may be layer 0.
Where there is no R2, because the target does not vary, there is no onset.

A resample that never crosses has no onset, and the share of such resamples is reported
as `never`. The upper end of an interval is infinite where no lower end crosses.
"""

from typing import Literal

import numpy as np
import xarray as xr

from probes import checks
from probes.arrays import shown
from probes.scores import simultaneous


def onset(
    grid: xr.Dataset,
    *,
    along: str = "layer",
    line: Literal["embedding", "ceiling"] = "embedding",
    share: float = 0.5,
    score: str = "r2",
) -> xr.Dataset:
    """Returns the first place along an axis at which each target can be decoded.

    Args:
        grid: a grid from `probe_grid(..., keep_resamples=True)`. Several grids that are
            joined along "seed" are averaged; the interval is over prompts and seeds.
        along: "layer", "token" or "step" (in the order of the grid).
        line: what is to be crossed. "embedding": 1 - R2 is at most `share` of that of
            the first place. "ceiling": R2 is at least `share` of the ceiling.
        share: share of the error or of the ceiling, between 0 and 1.
        score: the name of the score, 1 minus which is the error; "accuracy",
            "balanced_accuracy" or "auroc" for a grid of labels.

    Returns:
        A Dataset over the other axes of `r2` with the position along the axis, counted
        from 0: `onset` (infinite if the line is never crossed, NaN where R2 is, or
        where that of the first place is, if the line is "embedding"), `onset_low` and
        `onset_high`, a 95 % interval, `onset_resampled`, in every resample of the
        prompts, and `never`, the share of resamples without an onset. The interval is
        over the test prompts, and over seeds if the grid has several; it holds for all
        places along the axis at once, and for one target at a time. It leaves out that
        probes fitted to other training prompts would have another onset, and where
        there is a single seed, that another network would.

    Raises:
        ValueError: no resamples in the grid (as with a single test group), no ceiling
            where one is wanted, an unknown axis or line, a share that is not between 0
            and 1.

    Example:
        >>> from probes import probe_grid
        >>> rng = np.random.default_rng(0)
        >>> w = rng.normal(size=(400, 2))
        >>> hidden = rng.normal(size=(4, 400, 1, 8))
        >>> hidden[2:, :, 0, :2] += 3 * w
        >>> found = onset(probe_grid(hidden, {"w": w}, keep_resamples=True))
        >>> found.onset.item(), found.onset_low.item(), found.onset_high.item()
        (2.0, 2.0, 2.0)
    """
    checks.of_kind("grid", grid, xr.Dataset, "a Dataset of probe_grid")
    checks.of_kind("score", score, str, "the name of a variable")
    if f"{score}_resampled" not in grid or score == "log_loss":
        raise ValueError(
            f"grid must hold resampled scores of {score!r}, of which 1 is the best; "
            "call probe_grid with keep_resamples=True, and for labels give "
            "score='accuracy'."
        )
    if not grid.sizes["resample"]:
        raise ValueError(
            "grid has a single test group, and so no resamples; give probe_grid more "
            "groups, or a larger test_fraction."
        )
    known = isinstance(along, str) and along in ("layer", "token", "step")
    if not known or along not in grid.dims:
        raise ValueError(
            "along must be 'layer', 'token' or, in a grid of probe_by_step, 'step', "
            f"and the grid must have that axis; got {shown(along)}, and a grid with "
            f"the axes {tuple(map(str, grid.dims))}."
        )
    checks.one_of("line", line, ("embedding", "ceiling"))
    share = checks.share("share", share)
    value = _margin(grid[score], grid, along, line, share)
    draws = _margin(grid[f"{score}_resampled"], grid, along, line, share)
    low, high = simultaneous(value, draws, along)
    if "seed" in value.dims:
        value, draws = value.mean("seed", skipna=False), draws.mean("seed")
    found, resampled = _first(value, along), _first(draws, along)
    known = found.notnull()
    return xr.Dataset(
        {
            "onset": found,
            "onset_low": _first(high, along).where(known),
            "onset_high": _first(low, along).where(known),
            "onset_resampled": resampled,
            "never": (resampled == np.inf).mean("resample").where(known),
        },
        attrs={"along": along, "line": line, "share": share},
    )


def _margin(
    r2: xr.DataArray, grid: xr.Dataset, along: str, line: str, share: float
) -> xr.DataArray:
    """Returns how far R2 lies above the line: at 0 or more it has crossed."""
    if line == "embedding":
        return share * (1 - r2.isel({along: 0})) - (1 - r2)
    if grid.ceiling.isnull().all():
        raise ValueError("the grid has no ceilings; give probe_grid some.")
    # What nobody can know is not decoded, whatever chance gives.
    known = (grid.ceiling > 0) | r2.isnull()
    return (r2 - share * grid.ceiling).where(known, -np.inf)


def _first(margin: xr.DataArray, along: str) -> xr.DataArray:
    """Returns the first position that has crossed, infinity, or NaN without a curve."""
    places = xr.DataArray(np.arange(margin.sizes[along], dtype=float), dims=along)
    first = places.where(margin >= 0, np.inf).min(along)
    return first.where(margin.notnull().any(along))
