"""Onsets: from which layer, or token, on can a target be decoded?

The answer is a place where a curve of scores crosses a line, and such places move with
the sample: a curve that rises slowly crosses anywhere. So the crossing is looked for in
every bootstrap resample of the test prompts, and of the seeds where there are several,
and its interval is that of the crossings. Tokens are never resampled: those of one
prompt share their weight vector.

Two lines are common. *Half the error*: the first layer whose unexplained variance
1 - R2 is at most a share (one half) of that of the embedding, layer 0; it says where
the network has made progress. *A share of the ceiling*: the first place whose R2 is at
least a share of what could be known there, if that is anything; it may be layer 0.
Where there is no R2, because the target does not vary, there is no onset.

A resample that never crosses has no onset, and the share of such resamples is reported
as `never`. An end of the interval that lies among such resamples is infinite.
"""

from typing import Literal

import numpy as np
import xarray as xr

from probes import checks
from probes.scores import CONFIDENCE


def onset(
    grid: xr.Dataset,
    *,
    along: str = "layer",
    line: Literal["embedding", "ceiling"] = "embedding",
    share: float = 0.5,
    seed: int = 0,
) -> xr.Dataset:
    """Returns the first place along an axis at which each target can be decoded.

    Args:
        grid: a grid from `probe_grid(..., keep_resamples=True)`. Several grids that are
            joined along "seed" are averaged, and the seeds are resampled too.
        along: "layer", or "token" (in the order of the grid).
        line: what is to be crossed. "embedding": 1 - R2 is at most `share` of that of
            the first place. "ceiling": R2 is at least `share` of the ceiling.
        share: share of the error or of the ceiling, between 0 and 1.
        seed: decides the resampling of seeds.

    Returns:
        A Dataset over the other axes of `r2` with the position along the axis, counted
        from 0: `onset` (infinite if the line is never crossed, NaN where R2 is, or
        where that of the first place is, if the line is "embedding"), `onset_low` and
        `onset_high`, a 95 % interval, `onset_resampled`, in every resample (to compare
        two onsets in the same ones), and `never`, the share of resamples without an
        onset.

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
    if "r2_resampled" not in grid:
        raise ValueError(
            "grid must hold resampled scores; call probe_grid with keep_resamples=True."
        )
    if not grid.sizes["resample"]:
        raise ValueError(
            "grid has a single test group, and so no resamples; give probe_grid more "
            "groups, or a larger test_fraction."
        )
    if along not in ("layer", "token"):
        raise ValueError(f"along must be 'layer' or 'token', got {along!r}.")
    checks.share("share", share)
    resampled, estimate = grid.r2_resampled, grid.r2
    if "seed" in grid.dims:
        resampled = _resample_seeds(resampled, seed)
        estimate = estimate.mean("seed")
    low_tail = (1 - CONFIDENCE) / 2
    found = _crossing(estimate, grid, along, line, share)
    draws = _crossing(resampled, grid, along, line, share)
    # NumPy warns of quantiles of nothing but NaN: zeros stand in for those.
    known = draws.notnull().any("resample")
    # No onset is later than any: "higher" keeps infinities from being averaged.
    ends = draws.where(known, 0.0).quantile(
        [low_tail, 1 - low_tail], "resample", method="higher"
    )
    ends = ends.where(known)
    return xr.Dataset(
        {
            "onset": found,
            "onset_low": ends.isel(quantile=0, drop=True),
            "onset_high": ends.isel(quantile=1, drop=True),
            "onset_resampled": draws,
            "never": (draws == np.inf).mean("resample").where(found.notnull()),
        },
        attrs={"along": along, "line": line, "share": share},
    )


def _crossing(
    r2: xr.DataArray, grid: xr.Dataset, along: str, line: str, share: float
) -> xr.DataArray:
    """Returns the first position at which the line is crossed, or infinity."""
    if line == "embedding":
        first = r2.isel({along: 0})
        crossed, known = 1 - r2 <= share * (1 - first), first.notnull()
    elif line == "ceiling":
        ceiling = grid.ceiling
        if "seed" in ceiling.dims:
            ceiling = ceiling.mean("seed")
        if ceiling.isnull().all():
            raise ValueError("the grid has no ceilings; give probe_grid some.")
        crossed, known = (r2 >= share * ceiling) & (ceiling > 0), True
    else:
        raise ValueError(f"line must be 'embedding' or 'ceiling', got {line!r}.")
    places = xr.DataArray(np.arange(r2.sizes[along], dtype=float), dims=along)
    crossing = places.where(crossed, np.inf).min(along)
    return crossing.where(r2.notnull().any(along) & known)


def _resample_seeds(resampled: xr.DataArray, seed: int) -> xr.DataArray:
    """Returns means over seeds that are drawn anew, with replacement, each time."""
    seeds, draws = resampled.sizes["seed"], resampled.sizes["resample"]
    chosen = np.random.default_rng(seed).integers(seeds, size=(draws, seeds))
    weights = np.stack([(chosen == s).mean(axis=1) for s in range(seeds)])
    # Multiplied by 0, a seed without a score would still spoil the mean.
    return (resampled * xr.DataArray(weights, dims=("seed", "resample"))).sum(
        "seed", skipna=False
    )
