"""Mixtures of laws: what is planted is found, and models go through to the picture."""

import numpy as np
import pytest
import xarray as xr
from planted import noisy, silent, verdicts

from experiments.bai2023 import selection
from experiments.panwar2023 import mixtures
from icl import inference
from icl.baselines import MixturePosterior

NOISES, PATH = (0.0, 0.25, 0.5, 1.0), np.geomspace(1e-2, 1e2, 41)
SINGLE = 0.5


# --- A penalty for each noise level --------------------------------------------------


def planted_selection(model=1.05, bayes=1.03, slope=1.0, single=2.0):
    """Risks of n pairs, in units of the right ridge's; penalties are right^slope."""
    ridges = [f"ridge({noise:g})" for noise in NOISES if noise]
    coords = {
        "seed": range(2),
        "noise": list(NOISES),
        "learner": ["model", "single", "Bayes", *ridges],
        "context": [0, 4, 8],
    }
    shape = [len(values) for values in coords.values()]
    risk = xr.DataArray(np.full(shape, 1.5), coords, dims=tuple(coords))
    for name, value in (("model", model), ("Bayes", bayes), ("single", single)):
        risk.loc[{"learner": name}] = value
    for noise in NOISES:
        if noise:
            risk.loc[{"learner": f"ridge({noise:g})", "noise": noise}] = 1.0
    risk.loc[{"learner": "single", "noise": SINGLE}] = 1.0
    right = np.square(np.array(NOISES) / 0.5).clip(0.05)
    off = np.log(PATH) - slope * np.log(right)[:, None]
    curves = xr.DataArray(
        1 + np.square(off),
        {"noise": list(NOISES), "penalty": PATH},
        ("noise", "penalty"),
    ).expand_dims(seed=range(2))
    attrs = {"dim": 4, "single": SINGLE, "weight_std": 0.5, "resamples": 100}
    return xr.Dataset({"risk": noisy(risk), "to_ridge": noisy(curves)}, attrs=attrs)


def test_a_model_that_chooses_its_penalty_fulfils_every_claim():
    found = verdicts(selection, planted_selection())
    assert set(found.values()) == {"holds"}
    assert set(found) == {"1a", "1b", "1c", "2", "3a", "3b", "4"}


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({"model": 1.3}, {"1a", "1b"}),
        ({"model": 3.0}, {"1a", "1b", "2"}),
        ({"bayes": 1.2}, {"1c"}),
        ({"slope": 0.0}, {"3a", "3b"}),
        ({"slope": 0.5}, {"3b"}),
        ({"single": 1.01}, {"4"}),
    ],
)
def test_another_model_fails_where_it_differs(changes, ids):
    found = verdicts(selection, planted_selection(**changes))
    assert {id for id, verdict in found.items() if verdict != "holds"} == ids


def test_learners_of_noise_levels_go_through_to_the_picture():
    config = selection.PRESETS["tiny"]
    dataset = selection.measure(config, silent)
    assert dataset.risk.shape == (1, 2, 4, 5, 32)
    means = dataset.mean("prompt").squeeze("seed")
    # Who predicts 0 has the variance of w.x as its risk.
    np.testing.assert_allclose(means.risk.sel(learner="model"), 1, atol=0.9)
    known = means.risk.sel(noise=0.0, learner="Bayes", context=[3, 4])
    assert float(known.max()) < 1e-3  # d + 1 exact pairs show the level as well
    # 0 is nearest to the largest penalty.
    best = float(selection.penalty(means).squeeze())
    assert best == pytest.approx(selection.PENALTIES[-1])
    selection.plot(dataset)


def test_settings_of_mixtures_are_refused_where_claims_would_be_wrong():
    config = selection.PRESETS["tiny"]
    for changes in ({"noises": (0.5,)}, {"noises": (1.0, 0.5)}, {"single": 0.0}):
        with pytest.raises(ValueError, match=next(iter(changes))):
            selection.Config(**{**vars(config), **changes})
    with pytest.raises(ValueError, match="dim must be"):
        mixtures.Config(1, config.model, config.train)


# --- Two components, and two families ------------------------------------------------


def planted_mixtures(to_bayes=0.01, ascent=1.3, general=1.05):
    coords = {
        "seed": range(2),
        "case": ["centres", "mismatched", "dense", "sparse"],
        "learner": ["model", "Bayes", "right", "wrong", "specialist"],
        "context": range(9),
    }
    shape = [len(values) for values in coords.values()]
    risk = xr.DataArray(np.ones(shape), coords, dims=tuple(coords))
    risk.loc[{"case": "mismatched", "learner": "Bayes", "context": 2}] = 1.2
    risk.loc[{"case": "mismatched", "learner": "model", "context": slice(1, 8)}] = 0.5
    risk.loc[{"case": "mismatched", "learner": "model", "context": 3}] = ascent
    risk.loc[{"case": "sparse", "learner": "model"}] = general
    apart = risk.sel(case="centres", learner="model", drop=True) * to_bayes
    attrs = {"dim": 4, "resamples": 100}
    return xr.Dataset({"risk": noisy(risk), "to_bayes": noisy(apart)}, attrs=attrs)


def test_a_model_that_finds_out_the_component_fulfils_every_claim():
    found = verdicts(mixtures, planted_mixtures())
    assert found == dict.fromkeys(("1", "2a", "2b", "3"), "holds")


@pytest.mark.parametrize(
    ("changes", "id"),
    [({"to_bayes": 0.2}, "1"), ({"ascent": 0.8}, "2b"), ({"general": 1.3}, "3")],
)
def test_one_that_does_not_fails(changes, id):
    found = verdicts(mixtures, planted_mixtures(**changes))
    assert {name for name, verdict in found.items() if verdict == "fails"} == {id}


def test_exact_learners_of_mixtures_go_through_to_the_picture():
    config = mixtures.PRESETS["tiny"]
    dataset = mixtures.measure(config, silent)
    means = dataset.mean("prompt").squeeze("seed")
    at = means.risk.sel(case="centres")
    # At n = 0 the right centre is nearer than the middle, and the wrong one farther.
    order = [float(at.sel(learner=n, context=0)) for n in ("right", "Bayes", "wrong")]
    assert order == sorted(order)
    assert means.risk.sel(case="dense", learner="Bayes").isnull().all()
    mixtures.plot(dataset)


def test_at_quick_the_exact_predictor_is_misled_by_inputs_at_first():
    config = mixtures.PRESETS["quick"]
    asked, _ = inference.sample(mixtures.mismatched(config), 2_000, 0, whole=True)
    learner = MixturePosterior(mixtures.groups(config))
    off = inference.predictions(learner, asked) - inference.true_labels(asked)
    risk = np.square(np.asarray(off)).mean(axis=0)
    # 9 % above the start, with a standard error of 3 %; in the end it is a quarter.
    assert risk[1:5].max() > 1.03 * risk[0] and risk[-1] < risk[0] / 3
