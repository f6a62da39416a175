"""Claims about decoding, judged on curves whose truth is known."""

import numpy as np
import pytest
import xarray as xr

from experiments.akyurek2023 import fig4_claims, fig4_measure, fig5_claims

LAYERS, EXAMPLES, DRAWS, D = 7, 6, 200, 3
NAMES = [f"{kind}{i + 1}" for i in range(EXAMPLES) for kind in "xy"]


def falling(start, *, bottom=0.1):
    """An error of 1 before layer `start`, `bottom` there, and slowly rising later."""
    since = np.arange(LAYERS) - start
    return np.where(since < 0, 1.0, bottom * (1 + 0.1 * since))


def looking_at(*, newest):
    """Position weights: at y_n alone, or evenly at the y-tokens from the d-th on."""
    weights = np.zeros((EXAMPLES, len(NAMES)))
    for n in range(1, EXAMPLES + 1):
        if newest or n < D:
            weights[n - 1, 2 * n - 1] = 1
        else:
            weights[n - 1, 2 * D - 1 : 2 * n : 2] = 1 / (n - D + 1)
    return weights


UNTRAINED = np.full((2, LAYERS, 2), 0.95)


def measured(error, control, *, noise=0.01, weights=None, untrained=UNTRAINED):
    """A Dataset of `fig4_measure.compare` with these errors, (head, layer, target)."""
    both = np.stack([error, control, untrained])
    jitter = 1 + noise * np.random.default_rng(0).normal(size=(DRAWS, *both.shape))
    dims = ("model", "head", "layer", "target")
    weights = looking_at(newest=False) if weights is None else weights
    refitted = np.broadcast_to(weights, (2, 4, *weights.shape))
    return xr.Dataset(
        {
            "error": (dims, both),
            "best_layer": (("model", "head", "target"), both.argmin(axis=2)),
            "error_resampled": (("resample", *dims), both * jitter),
            "refitted": (("target", "refit", "token", "position"), refitted),
        },
        coords={
            "model": ["trained", "control", "untrained"],
            "head": list(fig4_measure.HEADS),
            "layer": range(LAYERS),
            "target": list(fig4_measure.TARGETS),
            "token": NAMES[1::2],
            "position": NAMES,
        },
        attrs={"dim": D},
    )


def heads(linear, mlp):
    """Errors (head, layer, target) from those of X'y and of w, for each head."""
    return np.stack([np.stack(linear, axis=1), np.stack(mlp, axis=1)])


MOMENT_FIRST = heads(
    (falling(2, bottom=0.2), falling(4, bottom=0.3)),
    (falling(2, bottom=0.1), falling(4, bottom=0.2)),
)
FLAT = np.full_like(MOMENT_FIRST, 0.9)


def verdicts(dataset):
    claims = [*fig4_claims.claims(dataset), *fig5_claims.claims(dataset)]
    return {claim.id.removeprefix("akyurek2023."): claim.verdict for claim in claims}


def test_everything_holds_where_it_is_true():
    found = verdicts(measured(MOMENT_FIRST, FLAT))
    assert sorted(found) == sorted(
        ["24a", "24b", "25a", "25b", "26a", "26b", "27a", "27b", "27c", "28a", "28b"]
    )
    assert set(found.values()) == {"holds"}


def test_everything_fails_where_it_is_false():
    linear_first = MOMENT_FIRST[::-1, :, ::-1]  # heads and targets exchanged
    everywhere = np.full((EXAMPLES, len(NAMES)), 1 / len(NAMES))
    found = verdicts(measured(linear_first, linear_first / 2, weights=everywhere))
    failing = ("24a", "24b", "26a", "26b", "27a", "27b", "28a", "28b")
    assert {id: found[id] for id in failing} == dict.fromkeys(failing, "fails")
    shallow = verdicts(measured(FLAT, FLAT))
    assert shallow["25a"] == shallow["25b"] == "fails"


def test_noise_leaves_equal_probes_undecided():
    same = np.repeat(MOMENT_FIRST[:1], 2, axis=0)
    found = verdicts(measured(same, same, noise=0.1))
    undecided = ("24a", "24b", "27a", "27b", "27c")
    assert {id: found[id] for id in undecided} == dict.fromkeys(undecided, "undecided")


def test_a_target_that_is_never_decoded_has_no_order():
    found = verdicts(measured(FLAT, FLAT))
    assert found["26a"] == "undecided"


def test_what_is_decoded_comes_before_what_never_is():
    only_moment = np.where(np.arange(2) == 0, MOMENT_FIRST, 0.9)  # X'y, then w
    dataset = measured(only_moment, FLAT)
    dataset["error_resampled"][0, 0] = 0.9  # in one resample neither is decoded
    assert verdicts(dataset)["26a"] == "holds"


def test_the_best_of_equal_layers_is_chosen_on_other_prompts_than_it_is_judged_on():
    """Twelve layers have an error of 0.5; the least of those tested looks smaller."""
    rng, grids, draws = np.random.default_rng(0), 300, 200

    def noisy(*shape):
        return 0.5 + 0.02 * rng.normal(size=shape)

    axes, shape = ("layer", "token", "target"), (12, 1, grids)
    r2, validation = noisy(*shape), noisy(*shape)
    found = fig4_measure._with_errors(
        xr.Dataset(
            {
                "r2": (axes, r2),
                "r2_resampled": (
                    (*axes, "resample"),
                    r2[..., None] + noisy(*shape, draws) - 0.5,
                ),
                "validation_error": (axes, validation),
            },
            {"layer": range(12)},
        )
    )

    def covered(layers):
        drawn = found.error_resampled.sel(layer=layers)
        low, high = drawn.quantile([0.025, 0.975], "resample")
        return float(((low <= 0.5) & (0.5 <= high)).mean())

    assert covered(found.best_layer) >= 0.95 - 2 * 0.0126
    assert covered(found.error.argmin("layer")) < 0.8


def test_the_numbers_are_those_of_the_definitions():
    by_id = {
        c.id: c for c in fig4_claims.claims(measured(MOMENT_FIRST, FLAT, noise=0.0))
    }
    # Exact, as nothing is resampled: best errors 0.1 and 0.2 of X'y, onsets 2 and 4.
    assert by_id["akyurek2023.24a"].value == pytest.approx(0.1 / 0.2)
    assert by_id["akyurek2023.25b"].value == pytest.approx(0.2)
    assert by_id["akyurek2023.26a"].value == 2
    looked = by_id["akyurek2023.28b"]
    assert looked.value == looked.low == looked.high == pytest.approx(1)
