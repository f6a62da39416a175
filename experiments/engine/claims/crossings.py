"""Where do shares come up to a level along a dimension, for every resample at once?"""

import xarray as xr

from icl.emergence.transitions import crossing


def crossed(shares: xr.DataArray, over: str, level: float = 0.5) -> xr.DataArray:
    """Returns the coordinate at which shares first come up to a level, or NaN.

    Between two coordinates it is interpolated in their logarithm.
    """
    scale = shares[over].values.astype(float)
    return xr.apply_ufunc(
        lambda values: crossing(scale, values, level), shares, input_core_dims=[[over]]
    )
