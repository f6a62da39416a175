"""What came of a sweep, and which run is best."""

import doctest
import shutil

import numpy as np
import pytest
import xarray as xr
from sweep_cases import (
    BASE,
    NOISE,
    SETTINGS,
)

from icl import (
    sweeps,
)
from icl.sweeps import outcomes
from icl.sweeps.store import Models
from icl.training import checkpoint
from icl.training.trained import load


def test_the_examples_say_what_they_print():
    assert doctest.testmod(outcomes).failed == 0


def test_history_is_the_last_held_out_loss_over_the_axes(here):
    dataset = sweeps.history(SETTINGS, Models(here), NOISE)
    assert dict(dataset.sizes) == {"noise_std_weight_std": 2, "seed": 2, "context": 4}
    assert dataset.noise_std.values.tolist() == [0.0, 0.5]
    assert dataset.weight_std.values.tolist() == [1.0, 1.5]
    for number, setting in enumerate(SETTINGS):
        at = {"noise_std_weight_std": number // 2, "seed": number % 2}
        last = load(Models(here).folder(setting)).history.held_out_loss.values[-1]
        np.testing.assert_array_equal(dataset.held_out_loss[at], last)
        assert dataset.validation_loss[at] == pytest.approx(last.mean(), rel=1e-6)
    assert not dataset.failed.any()


def test_shorter_runs_end_earlier_in_the_history(tmp_path):
    axes = {"task.length": (2, 4)}
    settings = sweeps.grid(BASE, axes)
    kept = Models()
    sweeps.train_all(settings, kept)
    dataset = sweeps.history(settings, kept, axes)
    missing = np.isnan(dataset.held_out_loss.values)
    assert missing.tolist() == [[False, False, True, True], [False] * 4]
    short = kept(settings[0]).history.held_out_loss.values[-1].mean()
    assert dataset.validation_loss[0] == pytest.approx(short, rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*is damaged:UserWarning")
@pytest.mark.parametrize("forged", [False, True])
def test_the_history_of_a_damaged_end_is_not_that_of_the_step_before(
    here, tmp_path, forged
):
    """Its manifest still says that the model is finished."""
    one = SETTINGS[:1]
    shutil.copytree(Models(here).folder(one[0]), Models(tmp_path).folder(one[0]))
    folder = checkpoint.folders(Models(tmp_path).folder(one[0]))[-1]
    if forged:
        whole = checkpoint.read(folder)
        rows = whole.arrays["history.held_out_loss"][:, :-1]
        arrays = whole.arrays | {"history.held_out_loss": rows}
        checkpoint.write(folder.parent, whole._replace(arrays=arrays))
    else:
        largest = max(folder.rglob("*"), key=lambda path: path.stat().st_size)
        largest.write_bytes(largest.read_bytes()[:-1])
    assert Models(tmp_path).status(one[0]).state == "done"
    first = sweeps.history(one, Models(here), {"seed": (one[0].seed,)})
    assert sweeps.history(one, Models(tmp_path), {"seed": (one[0].seed,)}).equals(first)


@pytest.mark.parametrize("axes", [{}, {"seed": (0, 1)}, {**NOISE, "seed": (1, 0)}])
def test_the_history_of_another_grid_is_refused(here, axes):
    with pytest.raises(ValueError, match="grid"):
        sweeps.history(SETTINGS, Models(here), axes)


def runs_by_hand():
    nan = np.nan
    return xr.Dataset(
        {
            "validation_loss": (
                ("layers", "heads", "rate"),
                [[[3.0, 2.0], [5.0, nan]], [[nan, nan], [4.0, 4.0]]],
            ),
            "spd": (
                ("layers", "heads", "rate", "draw"),
                np.arange(16.0).reshape(2, 2, 2, 2)[::-1],
            ),
            "cost": ("layers", [10.0, 20.0]),
        },
        coords={"layers": [1, 8], "heads": [1, 2], "rate": [0.1, 0.2]},
    )


def test_the_best_run_is_chosen_and_recorded():
    chosen = sweeps.best(runs_by_hand(), ["heads", "rate"])
    assert chosen.validation_loss.values.tolist() == [2.0, 4.0]
    assert chosen.best_heads.values.tolist() == [1, 2]
    assert chosen.best_rate.values.tolist() == [0.2, 0.1]  # of equal ones the first
    assert chosen.spd.values.tolist() == [[10.0, 11.0], [4.0, 5.0]]
    assert chosen.cost.values.tolist() == [10.0, 20.0]
    assert dict(chosen.sizes) == {"layers": 2, "draw": 2}
    assert set(chosen.coords) == {"layers"} and chosen.attrs["chosen_by"]


def test_another_rule_chooses_another_run():
    dataset = runs_by_hand()
    dataset["plotted"] = dataset.spd.mean("draw")
    chosen = sweeps.best(dataset, ["rate", "heads"], by="plotted")
    assert chosen.best_rate.values.tolist() == [0.1, 0.1]
    assert chosen.best_heads.values.tolist() == [1, 1]
    assert np.isnan(chosen.validation_loss.values).tolist() == [False, True]
    assert chosen.attrs["chosen_by"] == "plotted"


def test_of_fields_that_change_together_all_are_recorded(here):
    dataset = sweeps.history(SETTINGS, Models(here), NOISE)
    chosen = sweeps.best(dataset, ["noise_std_weight_std"])
    # Weights and noise of standard deviation 0 and 1 leave less to be explained.
    assert chosen.best_noise_std.values.tolist() == [0.0, 0.0]
    assert chosen.best_weight_std.values.tolist() == [1.0, 1.0]
    assert set(chosen.dims) == {"seed", "context"}


@pytest.mark.parametrize(
    ("over", "by", "message"),
    [
        (["rate"], "validation_loss", "finite .* at layers = 8, heads = 1: all failed"),
        (["rates"], "validation_loss", "no dimension 'rates' to choose along; it has"),
        ([], "validation_loss", "a dimension to choose along"),
        (
            ["rate"],
            "loss",
            "no variable 'loss' to choose by, but: validation_loss, spd",
        ),
    ],
)
def test_what_cannot_be_chosen_is_refused(over, by, message):
    with pytest.raises(ValueError, match=message):
        sweeps.best(runs_by_hand(), over, by)


def test_if_all_failed_none_is_best():
    dataset = runs_by_hand().isel(layers=1, heads=0)
    with pytest.raises(ValueError, match="layers = 8"):
        sweeps.best(dataset, ["rate"])
