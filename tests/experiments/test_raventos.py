"""Pools of functions: what is planted is found, and untrained models go through."""

import itertools

import jax
import numpy as np
import pytest
import xarray as xr

from experiments.raventos2023 import pools
from experiments.raventos2023.pools_claims import threshold_size
from experiments.raventos2023.pools_measure import LAWS, LEARNERS, Config, settings
from icl import Trained
from icl.model.building import build
from icl.sweeps.store import Models

SIZES = (2.0, 8.0, 32.0, 128.0, np.inf)
PAIRS = [f"{a}, {b}" for a, b in itertools.combinations(LEARNERS, 2)]


def planted(r=(64.0, 8.0, 0.5, 0.1), few=0.01):
    """Distances of which r is known, with 1 % of noise over 40 prompts."""
    sizes = {"seed": range(3), "size": list(SIZES), "law": list(LAWS), "pair": PAIRS}
    shape = [len(values) for values in sizes.values()]
    means = xr.DataArray(np.full(shape, 0.1), sizes, dims=tuple(sizes))
    means.loc[{"law": "new", "pair": "model, ridge"}] = 0.1
    for size, value in zip(SIZES[:-1], r, strict=True):
        at = {"law": "new", "pair": "model, posterior", "size": size}
        means.loc[at] = 0.1 / value
    means.loc[{"law": "seen", "pair": "model, posterior"}] = few * 0.2
    means.loc[{"law": "seen", "pair": "posterior, ridge"}] = 0.2
    means.loc[{"law": "seen", "pair": "posterior, truth"}] = 0.14
    means.loc[{"pair": "ridge, truth"}] = 0.34
    means.loc[{"law": "new", "pair": "model, truth"}] = 0.35
    means.loc[{"law": "new", "pair": "model, truth", "size": [2.0, 8.0]}] = 0.8
    noise = 1 + 0.01 * np.random.default_rng(0).normal(size=40)
    noise = xr.DataArray(noise / noise.mean(), dims="prompt")
    return xr.Dataset({"distance": means * noise}, attrs={"dim": 4, "resamples": 100})


def verdicts(dataset):
    return {
        claim.id.removeprefix("raventos2023."): claim.verdict
        for claim in pools.claims(dataset)
    }


def test_models_as_the_paper_says_fulfil_every_claim():
    found = verdicts(planted())
    assert set(found.values()) == {"holds"}
    assert set(found) == {"1", "2a", "2b", "3", "4", "5", "6", "13"}


@pytest.mark.parametrize(
    ("changes", "id"),
    [
        ({"few": 0.5}, "1"),
        ({"r": (64.0, 0.5, 0.3, 0.1)}, "2a"),
        ({"r": (64.0, 8.0, 4.0, 2.0)}, "4"),
        ({"r": (64.0, 2.0, 8.0, 0.1)}, "5"),
    ],
)
def test_others_fail_where_they_differ(changes, id):
    assert verdicts(planted(**changes))[id] == "fails"


def test_the_threshold_is_on_a_line_between_two_pools():
    means = planted().mean("prompt")
    # log2 r is 3 at 2^3 and -1 at 2^5: three quarters of the way.
    np.testing.assert_allclose(threshold_size(means), 4.5, atol=1e-6)
    never = planted(r=(64.0, 8.0, 4.0, 2.0)).mean("prompt")
    assert threshold_size(never).isnull().all()


def test_models_go_through_from_their_pools_to_the_picture():
    config, models = pools.PRESETS["tiny"], Models()
    for setting in settings(config):
        model = build(setting.task.codec, setting.model, jax.random.key(0))
        models.put(setting, lambda m=model, s=setting: Trained.from_model(m, s.task))
    dataset = pools.measure(config, models)
    assert dataset.distance.shape == (1, 3, 2, len(PAIRS), 64)
    missing = dataset.distance.isnull().all("prompt").sel(size=np.inf, seed=0)
    for pair in PAIRS:
        assert bool(missing.sel(pair=pair).all()) == ("posterior" in pair)
    one = dataset.distance.sel(size=1, law="seen", pair="posterior, truth")
    assert float(one.max()) < 1e-9  # one function is known without a context
    pools.plot(dataset)
    found = pools.claims(dataset)
    assert len(found) == 8
    known = {claim.id.partition(".")[2]: claim.note for claim in found}
    assert "adam, peak rate 0.003, schedule cosine" in known["3"]


def test_tasks_without_noise_or_with_other_weights_are_refused():
    tiny = pools.PRESETS["tiny"]
    with pytest.raises(
        ValueError, match=r"task\.noise_std must be a finite number > 0"
    ):
        Config(type(tiny.task)(2, 4), tiny.model, tiny.train, (1,))
    with pytest.raises(ValueError, match="sizes must be ascending"):
        Config(tiny.task, tiny.model, tiny.train, (4, 1))
