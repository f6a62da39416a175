"""Pictures show nothing that looks broken, and explain what they show."""

import numpy as np
import xarray as xr

from experiments.akyurek2023 import decoded_weights, fig4_plot
from experiments.engine.figures.style import canvas


def test_every_column_of_a_map_of_positions_is_looked_at_by_some_probe():
    """After n pairs the probe reads x1 to y_n; the last x is read by none."""
    names = ["x1", "y1", "x2", "y2", "x3"]
    weights = np.array([[0.25, 0.75, 0, 0, 0], [0.1, 0.2, 0.3, 0.4, 0]])
    scores = xr.Dataset(
        {
            "position_weights": (
                ("head", "layer", "token", "position"),
                weights[None, None],
            ),
            "best_layer": ("head", [0]),
        },
        {"head": ["mlp"], "layer": [0], "position": names, "token": ["y1", "y2"]},
    )
    with canvas(2, 2) as figure:
        axes = figure.subplots()
        image = fig4_plot._map(axes, scores, brightest=1.0)
    shown = image.get_array()
    assert shown.shape == (2, 4)
    np.testing.assert_array_equal(shown.mask[0], [False, False, True, True])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == names[:4]


def test_a_map_in_which_little_is_decoded_is_pale_and_not_black():
    scores = xr.Dataset(
        {"r2": (("layer", "token"), [[0.0, 0.4], [-0.1, np.nan]])},
        {
            "layer": [0, 1],
            "token": ["x1", "y1"],
            "context": ("token", [0, 1]),
            "target": "w",
        },
        {"dim": 2},
    )
    with canvas(2, 2) as figure:
        image = decoded_weights._map(figure.subplots(), scores, largest=0.4)
    colours = image.to_rgba(image.get_array())[..., :3]
    assert colours[0, 0].min() > 0.9 and colours[1, 0].min() > 0.9  # nothing is white
    assert colours[0, 1].max() < 0.5  # the most, though far from 1, is dark
    grey = colours[1, 1]
    assert np.ptp(grey) == 0 and 0.5 < grey[0] < 0.9  # nothing to explain
