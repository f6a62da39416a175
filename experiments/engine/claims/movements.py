"""How far predictions moved toward what was written into states: a statistic of means.

`probes.interventions.movement` regresses predictions after an edit on what the written
values would predict and on the predictions before. The same slope follows from means of
products over prompts, which can be resampled over prompts and seeds like all else.
"""

import xarray as xr


def products(
    wanted: xr.DataArray, before: xr.DataArray, **after: xr.DataArray
) -> xr.Dataset:
    """Returns the products whose means over prompts `toward` needs.

    Args:
        wanted: what the written values would predict, with a dimension "prompt".
        before: the predictions without an edit.
        **after: predictions after edits, by name.
    """
    found = {
        "wanted_wanted": wanted**2,
        "before_before": before**2,
        "wanted_before": wanted * before,
    }
    for name, predicted in after.items():
        found[f"wanted_{name}"] = wanted * predicted
        found[f"before_{name}"] = before * predicted
    return xr.Dataset(found)


def toward(means: xr.Dataset, name: str) -> xr.DataArray:
    """Returns how far predictions of this name moved toward what was wanted.

    1 is all of the way. It is NaN where what is wanted and the predictions before are
    proportional.

    Args:
        means: those of `products`.
        name: of some predictions after edits.
    """
    ww, bb, wb = means.wanted_wanted, means.before_before, means.wanted_before
    wanted_after, before_after = means[f"wanted_{name}"], means[f"before_{name}"]
    determinant = ww * bb - wb**2
    determinant = determinant.where(determinant > 1e-9 * ww * bb)
    both = (bb * wanted_after - wb * before_after) / determinant
    return xr.where(bb == 0, wanted_after / ww, both)
