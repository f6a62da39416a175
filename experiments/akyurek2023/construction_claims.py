"""What does the paper prove, and what of it had to be corrected? Claims 29-32.

They are about the constructed transformers that `construction` measures. Nothing is
sampled but the tasks, so that the intervals are points. Bars on errors are ours.
"""

from functools import partial

import numpy as np
import xarray as xr

from experiments.akyurek2023.construction_flaws import FLAWS
from experiments.engine.claims.claim import Claim, exact


def claims(dataset: xr.Dataset) -> list[Claim]:
    """The claims about the Dataset of `construction`."""
    claim = partial(exact, figure="construction")
    double = dataset.sel(dtype="float64")
    d, n = dataset.dim, dataset.steps
    dims, steps = (", ".join(map(str, values.values)) for values in (d, n))

    def size(number: str, what: str, theorem: str, built, law) -> Claim:
        return claim(
            f"akyurek2023.{number}",
            f"{what}.",
            f"Akyürek et al. 2023, {theorem}",
            float(abs(built - law).max()),
            "<=",
            0.0,
            unit="largest difference to the formula",
        )

    def error(number: str, what: str, theorem: str, values, bar: float) -> Claim:
        return claim(
            f"akyurek2023.{number}",
            f"{what} is within {bar:g} of the closed form, in float64.",
            f"Akyürek et al. 2023, {theorem}",
            float(values.max()),
            "<=",
            bar,
            unit="largest error of a prediction",
        )

    def slope(number: str, what: str, x, y, low, high, law: int) -> Claim:
        return claim(
            f"akyurek2023.{number}",
            f"{what}: slope {law} in the logarithms, to 0.1.",
            "Expansions that correct Lemmas 4 and 6",
            abs(_slope(x, y, low, high) - law),
            "<=",
            0.1,
            unit="difference of the slope",
        )

    sgd, ridge, pairs = "SGD", "ridge, one pair", "ridge, n pairs"
    pads = dataset.error_by_pad
    found = [
        error(
            "29a",
            f"One SGD step, d = {dims},",
            "Theorem 1",
            double.error.sel(algorithm=sgd),
            1e-6,
        ),
        size(
            "29b",
            "One SGD step has width 4 + 4d, 11 for constants and d for scratch",
            "Theorem 1",
            dataset.width.sel(algorithm=sgd),
            4 + 4 * d + 11 + d,
        ),
        error(
            "30a",
            f"One ridge step, d = {dims},",
            "Theorem 2",
            double.error.sel(algorithm=ridge),
            1e-5,
        ),
        size(
            "30b",
            "One ridge step has width 3 + 5d + 3d^2 (less d that the printed chain "
            "never reads), 11 for constants and d^2 for scratch",
            "Theorem 2",
            dataset.width.sel(algorithm=ridge),
            3 + 4 * d + 3 * d**2 + 11 + d**2,
        ),
        slope(
            "31a",
            "The multiplier's error falls with its scale K",
            dataset.multiplier,
            dataset.error_by_multiplier,
            1e1,
            1e3,
            -2,
        ),
        slope(
            "31b",
            "Symmetric pads: the error falls with N",
            dataset.pad_scale,
            pads.sel(pads="symmetric"),
            1e2,
            1e4,
            -2,
        ),
        slope(
            "31c",
            "The paper's pads: the error falls with N",
            dataset.pad_scale,
            pads.sel(pads="paper"),
            1e3,
            1e6,
            -1,
        ),
        size(
            "32a",
            f"n = {steps} steps of SGD take 7n + 2 layers, 9 for one",
            "Theorem 1",
            dataset.layers.sel(iterated=sgd),
            7 * n + 2,
        ),
        size(
            "32b",
            f"Ridge regression on n = {steps} pairs takes 11n + 3 layers",
            "Theorem 2",
            dataset.layers.sel(iterated=pairs),
            11 * n + 3,
        ),
        error(
            "32c",
            f"SGD of n = {steps} steps",
            "Theorem 1",
            double.error_by_steps.sel(iterated=sgd),
            1e-6,
        ),
        error(
            "32d",
            f"Ridge regression on n = {steps} pairs",
            "Theorem 2",
            double.error_by_steps.sel(iterated=pairs),
            1e-5,
        ),
        claim(
            "correction.0",
            "The width does not depend on the number of tokens: two rows code an "
            "attention pattern where the paper has one for each token.",
            "Corrects Theorem 1, whose proof has width O(n + d)",
            float(dataset.width_by_length.max() - dataset.width_by_length.min()),
            "<=",
            0.0,
            unit="width for 40 pairs less width for 2",
        ),
        claim(
            "construction.probe",
            "A linear probe finds the w of ridge regression on two pairs (R2 above "
            "0.999) at exactly the layers and tokens where the program holds it.",
            "Closes the loop: our probes on a model whose inside is known",
            float(((dataset.probe_r2 > 0.999) != dataset.probe_held).sum()),
            "<=",
            0.0,
            unit="layers and tokens where they differ",
        ),
    ]
    for number, flaw in enumerate(FLAWS, 1):
        values = dataset.flaws.sel(flaw=flaw.name)
        found.append(
            claim(
                f"correction.{number}",
                f"{flaw.text} Counter-example: the printed version errs.",
                f"Corrects {flaw.source}",
                float(values.sel(version="printed")),
                ">",
                0.01,
                unit="error of the printed version; ours is "
                f"{float(values.sel(version='corrected')):.0e}",
            )
        )
    return found


def _slope(x: xr.DataArray, y: xr.DataArray, low: float, high: float) -> float:
    """Of a straight line through the logarithms, for x from `low` to `high`."""
    inside = (x >= low / 1.01) & (x <= high * 1.01)
    return float(np.polyfit(np.log(x[inside]), np.log(y[inside]), 1)[0])
