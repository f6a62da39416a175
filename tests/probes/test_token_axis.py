import numpy as np
import xarray as xr
from grid_cases import PROMPTS, TOKENS
from sklearn.linear_model import LinearRegression

from probes import probe_grid


def test_contexts_hand_each_token_its_own_target(hidden, rng):
    contexts = np.array([0, 1, 1, 2])
    target = rng.normal(size=(PROMPTS, 3, 2))
    target[:, 1] = hidden[2, :, 1, :2]
    by_context = probe_grid(hidden, {"t": target}, contexts=contexts)
    by_token = probe_grid(hidden, {"t": target[:, contexts]})
    xr.testing.assert_identical(by_context.drop_vars("context"), by_token)
    assert by_context.context.dims == ("token",)
    assert by_context.context.values.tolist() == contexts.tolist()
    assert by_context.r2.sel(layer=2, token=1, target="t") > 0.99
    assert by_context.r2.sel(layer=2, token=2, target="t") < 0.1


def test_per_token_targets_are_still_read_beside_contexts(hidden, rng):
    target = rng.normal(size=(PROMPTS, TOKENS, 1))
    target[:, 3] = hidden[0, :, 3, :1]
    grid = probe_grid(hidden, {"t": target}, contexts=[0, 1, 1, 2])
    assert grid.r2.sel(layer=0, token=3, target="t") > 0.99


def test_contexts_win_where_an_axis_could_be_either(hidden, rng):
    contexts = np.array([3, 2, 1, 0])  # as many contexts as tokens
    target = rng.normal(size=(PROMPTS, TOKENS, 1))
    target[:, 0] = hidden[0, :, 3, :1]
    grid = probe_grid(hidden, {"t": target}, contexts=contexts)
    assert grid.r2.sel(layer=0, token=3, target="t") > 0.99


def test_ceilings_lie_beside_the_scores(hidden, rng):
    targets = {name: rng.normal(size=(PROMPTS, 1)) for name in "abcd"}
    grid = probe_grid(
        hidden,
        targets,
        contexts=[0, 1, 1, 2],
        tokens=["x1", "y1", "x2", "y2"],
        ceilings={"a": 0.5, "b": [0, 0.2, 0.4, 0.6], "c": np.array([0, 0.5, 1])},
    )
    expected = {
        "a": [0.5] * 4,
        "b": [0, 0.2, 0.4, 0.6],
        "c": [0, 0.5, 0.5, 1],
        "d": [np.nan] * 4,
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(grid.ceiling.sel(target=name), values)
    assert grid.token.values.tolist() == ["x1", "y1", "x2", "y2"]


def test_tokens_can_be_chosen(hidden, rng):
    names = ["x1", "y1", "x2", "y2"]
    target = rng.normal(size=(PROMPTS, 3, 2))
    settings = {
        "contexts": [0, 1, 1, 2],
        "tokens": names,
        "ceilings": {"t": [0, 0.5, 1]},
    }
    for probe in (None, LinearRegression()):
        everywhere = probe_grid(hidden, {"t": target}, probe=probe, **settings)
        some = probe_grid(
            hidden, {"t": target}, probe=probe, at=["y2", "x1"], **settings
        )
        xr.testing.assert_identical(some, everywhere.sel(token=["x1", "y2"]))
