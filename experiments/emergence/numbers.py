"""Numbers of curves that are dimensions of a Dataset, for every resample at once."""

import xarray as xr

from icl.emergence.shapes import shape_of

MEANING = (
    "L and B in the legends are linearity and breakthroughness, after BIG-bench: a "
    "steady rise has a large L, a sudden one a large B"
)
"""What a figure says below its panels, for readers of its picture alone."""


def linearity(scores: xr.DataArray, over: str) -> xr.DataArray:
    """Returns L / (n - 1) along a dimension, of scores where higher is better."""
    return _along(
        lambda y: shape_of(y, finite=False).normalised_linearity, scores, over
    )


def breakthroughness(scores: xr.DataArray, over: str) -> xr.DataArray:
    """Returns B / (n - 1) along a dimension, with the floor of `shape_of`."""
    return _along(
        lambda y: shape_of(y, finite=False).normalised_breakthroughness, scores, over
    )


def _along(function, scores: xr.DataArray, over: str) -> xr.DataArray:
    """Returns a function of the last axis, which is one dimension."""
    return xr.apply_ufunc(function, scores, input_core_dims=[[over]])
