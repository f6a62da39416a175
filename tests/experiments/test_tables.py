"""The tables of a figure have the numbers and the names of its Dataset."""

import doctest
import io
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from experiments.akyurek2023 import fig7
from experiments.engine.claims.claim import Claim
from experiments.engine.figures import command, runs
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.tables import table, write_tables
from icl.sweeps.store import Models

ROOT = Path(__file__).parents[2]
PAIRS = ["OLS, ICL", 'a "quoted", name']
SPD = np.arange(12.0).reshape(2, 3, 2)  # pair, prompt, context


@dataclass(frozen=True)
class Config:
    seed: int = 0


def compute(config, models):
    draws = np.random.default_rng(0).normal(size=(2, 1_000))
    return xr.Dataset(
        {
            "spd": (("pair", "prompt", "context"), SPD),
            "best": (("pair",), ["left", "right"]),
            "held": (("prompt",), [True, False, True]),
            "r2": (("context",), [0.5, np.nan]),
            "r2_low": (("context",), [0.25, np.nan]),
            "r2_high": (("context",), [0.75, np.nan]),
            "error_resampled": (("context", "resample"), draws),
            "rate": 0.25,
        },
        {"pair": PAIRS, "other": ("pair", ["ICL", "Y"])},
        {"dim": 2},
    )


def plot(dataset):
    return matplotlib.figure.Figure(figsize=(1, 1))


def claims(dataset):
    return [Claim("fake.1", "Small.", "Fig. 1", 1.0, 1.0, 1.0, threshold=9.0)]


SPEC = ModuleSpec("experiments.fake.fig", None)
FIGURE = Figure(SPEC, {"tiny": Config()}, compute, plot, claims)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    return runs.run(FIGURE, "tiny", Config(), Models(results)).folder


@pytest.fixture(scope="module")
def read(folder):
    """All tables as pandas reads them, by name."""
    written = write_tables(folder)
    assert written == folder / "csv"
    return {path.stem: pd.read_csv(path) for path in written.iterdir()}


def test_there_is_a_table_for_each_variable(read):
    assert set(read) == {"spd", "best", "held", "r2", "error_resampled", "rate"}


def test_prompts_are_averaged_under_the_names_of_the_dataset(read):
    spd = read["spd"]
    assert list(spd) == ["pair", "context", "other", "spd", "spd_se"]
    keys = list(zip(spd.pair, spd.context, spd.other, strict=True))
    others = zip(PAIRS, ["ICL", "Y"], strict=True)
    assert keys == [(pair, n, other) for pair, other in others for n in (0, 1)]
    np.testing.assert_allclose(spd.spd, SPD.mean(axis=1).ravel())
    # Prompts are 2 apart, so that their standard deviation is 2.
    np.testing.assert_allclose(spd.spd_se, 2 / np.sqrt(3))


def test_values_without_prompts_are_as_they_are(read):
    assert read["best"].to_dict("list") == {
        "pair": PAIRS,
        "other": ["ICL", "Y"],
        "best": ["left", "right"],
    }
    assert read["rate"].to_dict("list") == {"rate": [0.25]}
    assert read["held"].held.item() == pytest.approx(2 / 3)  # the share of prompts


def test_intervals_stand_beside_their_values(read):
    r2 = read["r2"]
    assert list(r2) == ["context", "r2", "r2_low", "r2_high"]
    assert r2.iloc[0].tolist() == [0, 0.5, 0.25, 0.75]
    assert r2.iloc[1, 1:].isna().all()  # empty cells
    drawn = read["error_resampled"]
    assert list(drawn) == ["context", "error_resampled_low", "error_resampled_high"]
    # The normal law has 95 % within 1.96; the ends of 1,000 draws vary by 0.1.
    np.testing.assert_allclose(drawn.error_resampled_low, -1.96, atol=0.3)
    np.testing.assert_allclose(drawn.error_resampled_high, 1.96, atol=0.3)


def test_a_name_that_leads_elsewhere_is_no_file(tmp_path):
    def sly(config, models):
        return xr.Dataset({"..": ("x", [1.0])})

    figure = Figure(SPEC, {"tiny": Config()}, sly, plot, claims)
    folder = runs.run(figure, "tiny", Config(), Models(tmp_path)).folder
    with pytest.raises(ValueError, match=r"a variable '\.\.', which names no file"):
        write_tables(folder)


def test_the_command_writes_tables_of_a_run_that_is_there(tmp_path, capsys):
    arguments = ["tiny", "--results", str(tmp_path)]
    assert command.main(fig7.FIGURE, arguments) == 0
    (drawn,) = (tmp_path / "akyurek2023/fig7").glob("tiny-*")
    assert not (drawn / "csv").exists()
    assert command.main(fig7.FIGURE, [*arguments, "--csv"]) == 0
    *_, where, picture = capsys.readouterr().out.splitlines()
    assert (where, picture) == (str(drawn / "csv"), str(drawn / "figure.png"))
    found = pd.read_csv(drawn / "csv/square.csv")
    dataset = runs.read_dataset(drawn)
    back = found.set_index(["unit", "x"]).square.to_xarray()
    xr.testing.assert_allclose(back.sel(unit=dataset.unit), dataset.square)


def test_the_page_about_tables_is_right(folder, monkeypatch):
    result = doctest.testfile(
        str(ROOT / "docs/csv.md"),
        module_relative=False,
        optionflags=doctest.NORMALIZE_WHITESPACE,
        globs={"folder": folder},
    )
    assert result.attempted > 4 and result.failed == 0


def test_a_table_is_read_back_without_loss():
    values = np.random.default_rng(1).normal(size=7)
    frame = table(xr.Dataset({"a": ("n", values)}, {"split": "of no row"}), "a")
    again = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    assert list(again) == ["n", "a"]
    np.testing.assert_array_equal(again.a, values)
