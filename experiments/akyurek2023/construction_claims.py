"""What is claimed of constructed transformers and their proofs? Claims 29-32.

The claims are about the constructed transformers that `construction` measures. Only the
tasks are sampled, so that the intervals are points. The bounds on errors are ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from experiments.akyurek2023.construction_flaws import FLAWS
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.judge import Judge

SGD, RIDGE, RIDGE_ON_PAIRS = "SGD", "ridge, one pair", "ridge, n pairs"


@dataclass(frozen=True)
class Exactness:
    """A claim that predictions of a construction are those of the closed form.

    Attributes:
        id: the name of the claim.
        what: what was constructed.
        theorem: the theorem of the paper.
        errors: the errors of predictions, in float64.
        bar: the bound that no error may exceed.
    """

    id: str
    what: str
    theorem: str
    errors: xr.DataArray
    bar: float


@dataclass(frozen=True)
class Size:
    """A claim that the size of a construction follows a formula.

    Attributes:
        id: the name of the claim.
        says: the formula in words.
        theorem: the theorem of the paper.
        built: the sizes of what was constructed.
        formula: the sizes by the formula.
    """

    id: str
    says: str
    theorem: str
    built: xr.DataArray
    formula: xr.DataArray


@dataclass(frozen=True)
class Slope:
    """A claim that an error falls with a power of a scale.

    Attributes:
        id: the name of the claim.
        what: whose error falls, and with which scale.
        scale: the values of the scale.
        errors: the errors at these values.
        low: the least scale that counts; below it higher orders matter.
        high: the largest scale that counts; above it round-off matters.
        power: the power that is claimed.
    """

    id: str
    what: str
    scale: xr.DataArray
    errors: xr.DataArray
    low: float
    high: float
    power: int


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 29 to 32, and the corrected statements."""
    judge = Judge(
        "akyurek2023", "construction", "Akyürek et al. 2023", subject="theory"
    )
    found = [
        *(_judge_errors(judge, row) for row in _exact(dataset.sel(dtype="float64"))),
        *(_judge_size(judge, row) for row in _sizes(dataset)),
        *(_judge_slope(judge, row) for row in _slopes(dataset)),
    ]
    return [
        *sorted(found, key=lambda claim: claim.id),
        _width_without_tokens(judge, dataset),
        _probe_finds_weights(judge, dataset),
        *_corrections(judge, dataset),
    ]


# --- what is claimed, as rows of tables ---


def _exact(double: xr.Dataset) -> list[Exactness]:
    """Returns claims 29a, 30a, 32c and 32d, of what was measured in float64."""
    dims, steps = _listed(double.dim), _listed(double.steps)
    return [
        Exactness(
            "29a",
            f"One SGD step, d = {dims},",
            "Theorem 1",
            double.error.sel(algorithm=SGD),
            1e-6,
        ),
        Exactness(
            "30a",
            f"One ridge step, d = {dims},",
            "Theorem 2",
            double.error.sel(algorithm=RIDGE),
            1e-5,
        ),
        Exactness(
            "32c",
            f"SGD of n = {steps} steps",
            "Theorem 1",
            double.error_by_steps.sel(iterated=SGD),
            1e-6,
        ),
        Exactness(
            "32d",
            f"Ridge regression on n = {steps} pairs",
            "Theorem 2",
            double.error_by_steps.sel(iterated=RIDGE_ON_PAIRS),
            1e-5,
        ),
    ]


def _sizes(dataset: xr.Dataset) -> list[Size]:
    """Returns claims 29b, 30b, 32a and 32b, about depths and widths."""
    d, n, steps = dataset.dim, dataset.steps, _listed(dataset.steps)
    return [
        Size(
            "29b",
            "One SGD step has width 4 + 4d, 11 for constants and d for scratch",
            "Theorem 1",
            dataset.width.sel(algorithm=SGD),
            4 + 4 * d + 11 + d,
        ),
        Size(
            "30b",
            "One ridge step has width 3 + 5d + 3d^2 (less d that the printed chain "
            "never reads), 11 for constants and d^2 for scratch",
            "Theorem 2",
            dataset.width.sel(algorithm=RIDGE),
            3 + 4 * d + 3 * d**2 + 11 + d**2,
        ),
        Size(
            "32a",
            f"n = {steps} steps of SGD take 7n + 2 layers, 9 for one",
            "Theorem 1",
            dataset.layers.sel(iterated=SGD),
            7 * n + 2,
        ),
        Size(
            "32b",
            f"Ridge regression on n = {steps} pairs takes 11n + 3 layers",
            "Theorem 2",
            dataset.layers.sel(iterated=RIDGE_ON_PAIRS),
            11 * n + 3,
        ),
    ]


def _slopes(dataset: xr.Dataset) -> list[Slope]:
    """Returns claim 31, about the scales of multiplier and pads."""
    pads = dataset.error_by_pad
    return [
        Slope(
            "31a",
            "The multiplier's error falls with its scale K",
            dataset.multiplier,
            dataset.error_by_multiplier,
            low=1e1,
            high=1e3,
            power=-2,
        ),
        Slope(
            "31b",
            "Symmetric pads: the error falls with N",
            dataset.pad_scale,
            pads.sel(pads="symmetric"),
            low=1e2,
            high=1e4,
            power=-2,
        ),
        Slope(
            "31c",
            "The paper's pads: the error falls with N",
            dataset.pad_scale,
            pads.sel(pads="paper"),
            low=1e3,
            high=1e6,
            power=-1,
        ),
    ]


def _listed(values: xr.DataArray) -> str:
    """Returns some numbers as text, such as "1, 2, 4"."""
    return ", ".join(map(str, values.values))


# --- how each row is judged ---


def _judge_errors(judge: Judge, row: Exactness) -> Claim:
    """Judges whether predictions are those of the closed form."""
    return judge(
        row.id,
        f"{row.what} is within {row.bar:g} of the closed form, in float64.",
        float(row.errors.max()),
        "<=",
        row.bar,
        unit="largest error of a prediction",
        bar="ours",
        source=f"{judge.source}, {row.theorem}",
    )


def _judge_size(judge: Judge, row: Size) -> Claim:
    """Judges whether a size follows its formula."""
    return judge(
        row.id,
        f"{row.says}.",
        float(abs(row.built - row.formula).max()),
        "<=",
        0.0,
        unit="largest difference to the formula",
        source=f"{judge.source}, {row.theorem}",
    )


def _judge_slope(judge: Judge, row: Slope) -> Claim:
    """Judges whether an error falls with a power of a scale."""
    # Scales are rounded powers of 10, so that the ends need some room.
    inside = (row.scale >= row.low / 1.01) & (row.scale <= row.high * 1.01)
    logarithms = np.log(row.scale[inside]), np.log(row.errors[inside])
    slope = float(np.polyfit(*logarithms, 1)[0])
    return judge(
        row.id,
        f"{row.what}: slope {row.power} in the logarithms, to 0.1.",
        abs(slope - row.power),
        "<=",
        0.1,
        unit="difference of the slope",
        bar="ours",
        source="Expansions that correct Lemmas 4 and 6",
    )


def _width_without_tokens(judge: Judge, dataset: xr.Dataset) -> Claim:
    """Returns the first correction, which is about the position code."""
    return replace(judge, series="correction")(
        "0",
        "The width does not depend on the number of tokens: two rows code an "
        "attention pattern where the paper has one for each token.",
        float(dataset.width_by_length.max() - dataset.width_by_length.min()),
        "<=",
        0.0,
        unit="width for 40 pairs less width for 2",
        source="Corrects Theorem 1, whose proof has width O(n + d)",
    )


def _probe_finds_weights(judge: Judge, dataset: xr.Dataset) -> Claim:
    """Returns the claim that our probes find what a known program holds."""
    return replace(judge, series="construction")(
        "probe",
        "A linear probe finds the w of ridge regression on two pairs (R2 above "
        "0.999) at exactly the layers and tokens where the program holds it.",
        float(((dataset.probe_r2 > 0.999) != dataset.probe_held).sum()),
        "<=",
        0.0,
        unit="layers and tokens where they differ",
        source="Closes the loop: our probes on a model whose inside is known",
    )


def _corrections(judge: Judge, dataset: xr.Dataset) -> Iterator[Claim]:
    """Yields a claim for each flaw of the printed proofs: the printed version errs."""
    correction = replace(judge, series="correction")
    for number, flaw in enumerate(FLAWS, 1):
        errors = dataset.flaws.sel(flaw=flaw.name)
        yield correction(
            str(number),
            f"{flaw.text} Counter-example: the printed version errs.",
            float(errors.sel(version="printed")),
            ">",
            0.01,
            unit="error of the printed version; ours is "
            f"{float(errors.sel(version='corrected')):.0e}",
            source=f"Corrects {flaw.source}",
        )
