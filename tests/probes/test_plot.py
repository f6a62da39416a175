"""Pictures show the numbers of the grid, and can be read at 33 layers and 80 tokens."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import LogisticRegression

from probes import probe_grid

pytest.importorskip("matplotlib")

import matplotlib

matplotlib.use("agg")

from matplotlib import pyplot

from probes.plot import curves, heatmap, thinned


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def grid():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(80, 2))
    hidden = rng.normal(size=(3, 80, 4, 5))
    hidden[2, :, 3, :2] += 3 * w
    constant = np.stack([np.zeros((80, 1)), *rng.normal(size=(3, 80, 1))], axis=1)
    with pytest.warns(UserWarning, match="late at x"):
        return probe_grid(
            hidden,
            {"w": w, "late": constant},
            tokens=["x", "y", "z", "last"],
            ceilings={"w": [0, 0.4, 0.8, 1]},
            resamples=50,
        )


@pytest.fixture(scope="module")
def large():
    """A grid as of a language model, with long names of tokens."""
    rng = np.random.default_rng(0)
    shape = (33, 80, 1)
    axes = ("layer", "token", "target")
    r2 = rng.uniform(-3, 1, shape)
    found = {"r2": r2, "r2_low": r2 - 0.1, "r2_high": r2 + 0.1, "control_r2": 0 * r2}
    return xr.Dataset(
        {name: (axes, values) for name, values in found.items()},
        {
            "layer": np.arange(33),
            "token": [f"token{i}" for i in range(80)],
            "target": ["w"],
        },
    )


def test_a_heatmap_shows_every_score(grid):
    ax = heatmap(grid, target="w")
    image = ax.images[0]
    np.testing.assert_array_equal(image.get_array(), grid.r2.sel(target="w"))
    assert image.get_clim() == (0, 1)
    assert image.origin == "lower"
    assert [label.get_text() for label in ax.get_xticklabels()] == list(grid.token)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "1", "2"]
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("w", "token", "layer")


def test_a_cell_without_a_score_is_grey(grid):
    ax = heatmap(grid, target="late")
    assert ax.images[0].get_array().mask.sum() == 3  # the first token of three layers
    colours = ax.images[0].to_rgba(ax.images[0].get_array())
    grey = matplotlib.colors.to_rgba("lightgrey")
    np.testing.assert_allclose(colours[:, 0], np.tile(grey, (3, 1)))


def test_other_scores_have_their_own_range(grid):
    ax = heatmap(grid, "mse", target="w")
    mse = grid.mse.sel(target="w").values
    assert ax.images[0].get_clim() == (mse.min(), mse.max())


def test_curves_along_layers(grid):
    ax = curves(grid, target="w", token=["y", "last"])
    cells = grid.sel(target="w", token="last")
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_array_equal(lines["token last"].get_ydata(), cells.r2)
    band = ax.collections[1].get_paths()[0].vertices[:, 1]
    assert set(band) >= {*cells.r2_low.values, *cells.r2_high.values}
    drawn = [np.asarray(line.get_ydata()).tolist() for line in ax.lines]
    assert cells.control_r2.values.tolist() in drawn
    assert [0.4] * 3 in drawn and [1.0] * 3 in drawn  # the ceilings
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["token y", "token last", "control", "ceiling"]


def test_curves_along_tokens(grid):
    ax = curves(grid, target="w", layer=2)
    np.testing.assert_array_equal(
        ax.lines[0].get_ydata(), grid.r2.sel(target="w", layer=2)
    )
    ceiling = next(line for line in ax.lines if line.get_linestyle() == ":")
    np.testing.assert_array_equal(ceiling.get_ydata(), [0, 0.4, 0.8, 1])
    assert ax.get_xlabel() == "token" and ax.get_ylabel() == "R2"


def test_curves_of_labels_show_what_guessing_reaches():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1], [50, 30]))
    hidden = rng.normal(size=(2, 80, 1, 3))
    hidden[1, :, 0, 0] += 4 * labels
    grid = probe_grid(
        hidden,
        {"c": labels},
        probe=LogisticRegression(),
        groups=np.arange(80),
        resamples=50,
    )
    for score, name, value in (
        ("accuracy", "the most frequent label", grid.majority.values.flat[0]),
        ("log_loss", "shares of the labels", grid.prior_log_loss.values.flat[0]),
        ("auroc", "chance", 0.5),
    ):
        ax = curves(grid, score)
        lines = {line.get_label(): line for line in ax.lines}
        assert set(np.asarray(lines[name].get_ydata()).tolist()) == {value}
        np.testing.assert_array_equal(
            lines["token 0"].get_ydata(), grid[score].values.flat
        )


def test_labels_do_not_overlap_at_33_layers_and_80_tokens(large):
    pictures = (
        heatmap(large),
        curves(large, token=["token0", "token79"]),
        curves(large, layer=[0, 16, 32]),
    )
    for ax in pictures:
        ax.figure.canvas.draw()
        for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
            boxes = [label.get_window_extent() for label in labels]
            pairs = itertools.pairwise(boxes)
            assert len(boxes) > 4
            assert not any(one.overlaps(other) for one, other in pairs)
    layers = [label.get_text() for label in pictures[0].get_yticklabels()]
    assert layers == ["0", "4", "8", "12", "16", "20", "24", "28", "32"]


def test_wild_cells_do_not_flatten_the_curves(large):
    ax = curves(large, token="token3")
    assert large.r2.sel(token="token3").min() < -1
    low, high = ax.get_ylim()
    assert -0.3 < low < 0 and 1 < high < 1.1


def test_pictures_go_into_given_axes(grid):
    _, axes = pyplot.subplots(1, 2)
    assert heatmap(grid, target="w", ax=axes[0]) is axes[0]
    assert curves(grid, target="w", ax=axes[1]) is axes[1]
    assert len(pyplot.get_fignums()) == 1


def test_thinned_labels():
    for count in (1, 7, 33, 80, 1000):
        for most in (1, 5, 24):
            places = thinned(count, most)
            assert places[0] == 0 and 1 <= len(places) <= most
            assert set(np.diff(places)) <= {1, 2, 4, 10, 20, 40, 100, 200, 400, 1000}


@pytest.mark.parametrize("draw", [heatmap, curves])
def test_grids_that_cannot_be_drawn(draw, grid):
    with pytest.raises(ValueError, match=r"has the targets \['w', 'late'\]; choose"):
        draw(grid)
    with pytest.raises(ValueError, match="target must be one of"):
        draw(grid, target="v")
    with pytest.raises(ValueError, match=r"the score 'auroc'; it holds r2, mse"):
        draw(grid, "auroc", target="w")
    with pytest.raises(ValueError, match=r"more axes than .*\['seed'\].*grid.sel"):
        draw(xr.concat([grid, grid], dim="seed"), target="w")
    with pytest.raises(ValueError, match=r"no axis 'layer' any more"):
        draw(grid.isel(layer=0), target="w")


def test_curves_that_cannot_be_drawn(grid, large):
    with pytest.raises(ValueError, match="not both"):
        curves(grid, target="w", token="x", layer=0)
    with pytest.raises(ValueError, match=r"token must be among .*got 'v'"):
        curves(grid, target="w", token="v")
    with pytest.raises(ValueError, match="layer must be among"):
        curves(grid, target="w", layer=[])
    with pytest.raises(ValueError, match="80 curves cannot be told apart"):
        curves(large)


def test_matplotlib_is_loaded_when_something_is_drawn():
    code = "import probes, sys; probes.plot.heatmap; print('matplotlib' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"
