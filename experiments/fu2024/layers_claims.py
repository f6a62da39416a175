"""Do layers advance as a second-order method does? Claims F1-F7 and F13.

The bars are ours: the paper shows curves. Lines are fitted to the middle half of the
layers, in front of which features are built and behind which the answer has arrived.
"""

from functools import partial

import numpy as np
import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Largest, Mean, Ratio, Smallest
from icl.compare import best_match, middle_layers, progress

UNIT = "cosine, averaged over prompts"


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means over prompts, and those of every resample."""
    return intervals.resample(dataset, ("prompt", "few"))


def best(
    means: xr.Dataset, family: str, kind: str = "errors"
) -> tuple[xr.DataArray, xr.DataArray]:
    """Returns the most similar step of each layer, and the similarity to it.

    The kind is "errors", "late" (more than d pairs) or "weights".
    """
    name = f"step_{family}"
    found = xr.apply_ufunc(
        lambda values: best_match(values, means[name].values),
        means[f"{kind}_{family}"],
        input_core_dims=[["layer", name]],
        output_core_dims=[["layer"], ["layer"]],
    )
    return found[0], found[1]


def best_step(means: xr.Dataset, family: str, kind: str = "errors") -> xr.DataArray:
    """Returns the most similar step of each layer."""
    return best(means, family, kind)[0]


def at_best(means: xr.Dataset, family: str, kind: str = "errors") -> xr.DataArray:
    """Returns the similarity of each layer to its most similar step."""
    return best(means, family, kind)[1]


def line(means: xr.Dataset, family: str, logarithm: bool = False) -> xr.Dataset:
    """Returns the slope and R2 of a line through the best steps of middle layers.

    With a logarithm it is that of 1 + the number of steps, to the base 2.
    """
    steps = best_step(means, family)
    if logarithm:
        steps = np.log2(1 + steps)
    slope, r2 = xr.apply_ufunc(
        progress, steps, input_core_dims=[["layer"]], output_core_dims=[[], []]
    )
    return xr.Dataset({"slope": slope, "r2": r2})


def middle(values: xr.DataArray) -> xr.DataArray:
    """Returns values of the middle half of the layers."""
    return values.isel(layer=middle_layers(values.sizes["layer"]))


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what the paper says of layers, and what the similarity cannot say."""
    judge = Judge(
        "fu2024",
        "layers",
        "Fu et al. 2024, Figs. 1 and 3; thresholds ours",
        resampled=resample(dataset),
    )
    return [
        *_progress(judge),
        *_similarity(judge, dataset),
        *_late(judge),
    ]


def _progress(judge: Judge) -> list[Claim]:
    def error_behind(means: xr.Dataset) -> xr.DataArray:
        return means.error.isel(layer=slice(2, None))

    def error_before(means: xr.Dataset) -> xr.DataArray:
        before = means.error.isel(layer=slice(1, -1))
        return before.assign_coords(layer=before.layer + 1)

    return [
        judge(
            "F1",
            "The error of what is read out falls with the layer: from layer 2 on no "
            "layer has more than 1.25 times the error of the one before it.",
            Largest(Ratio(error_behind, error_before), over="layer"),
            "<",
            1.25,
            unit="largest error / error of the layer before",
            bar="ours",
        ),
        judge(
            "F2",
            "The best number of Newton iterations grows by more than half an iteration "
            "a layer (3 in the paper, at d = 20).",
            lambda means: line(means, "Newton").slope,
            ">",
            0.5,
            unit="slope, iterations per layer",
            bar="ours",
        ),
        judge(
            "F3",
            "It grows as a line, and the best number of steps of gradient descent does "
            "not: a line explains more of the first than of the second.",
            lambda means: line(means, "Newton").r2 - line(means, "GD").r2,
            ">",
            0.0,
            unit="difference of R2",
        ),
        judge(
            "F4",
            "The best number of steps of gradient descent grows exponentially: a line "
            "explains more than 0.9 of its logarithm.",
            lambda means: line(means, "GD", logarithm=True).r2,
            ">",
            0.9,
            unit="R2",
            bar="ours",
        ),
    ]


def _similarity(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    most = int(dataset.step_Newton[-1])

    def lowest(kind: str) -> Smallest:
        return Smallest(
            lambda means: middle(at_best(means, "Newton", kind)), over="layer"
        )

    return [
        judge(
            "F5a",
            "Each layer of the middle half has errors like those of some Newton "
            "iterate: a similarity above 0.9.",
            lowest("errors"),
            ">",
            0.9,
            unit=UNIT,
            bar="ours",
        ),
        judge(
            "F5b",
            "Each of them has weights like those of some Newton iterate: a similarity "
            "above 0.9.",
            lowest("weights"),
            ">",
            0.9,
            unit=UNIT,
            bar="ours",
        ),
        judge(
            "F6",
            "Some number of steps of gradient descent is as similar as the best Newton "
            "iterate, to 0.02: the similarity does not tell which of the two it is.",
            Mean(partial(_ahead, kind="errors"), over="layer"),
            "within",
            0.02,
            unit="SimE with Newton - SimE with gradient descent, mean over layers",
            bar="ours",
            source="ours; the paper says that layers are like Newton's iterates",
        ),
        judge(
            "F7a",
            "The last layer has errors like those of least squares: a similarity above "
            "0.95.",
            lambda means: means.ols.isel(layer=-1),
            ">",
            0.95,
            unit=UNIT,
            bar="ours",
        ),
        judge(
            "F7b",
            f"It is at the end of the iteration: no number of Newton iterations up to "
            f"{most} is more similar to it than least squares, by more than 0.01.",
            lambda means: (
                at_best(means, "Newton").isel(layer=-1) - means.ols.isel(layer=-1)
            ),
            "<",
            0.01,
            unit="difference of similarities",
            bar="ours",
        ),
    ]


def _ahead(means: xr.Dataset, kind: str) -> xr.DataArray:
    """Returns by how much middle layers are more similar to Newton than to GD."""
    return middle(at_best(means, "Newton", kind) - at_best(means, "GD", kind))


def _late(judge: Judge) -> list[Claim]:
    source = "ours: with up to d pairs all learners share most of their errors"
    return [
        judge(
            "F13a",
            "The same holds of contexts of more than d pairs alone: each layer of the "
            "middle half is similar to some Newton iterate, above 0.9.",
            Smallest(lambda means: middle(at_best(means, "Newton", "late")), "layer"),
            ">",
            0.9,
            unit=UNIT,
            bar="ours",
            source=source,
        ),
        judge(
            "F13b",
            "There, too, some number of steps of gradient descent is as similar, to "
            "0.02.",
            Mean(partial(_ahead, kind="late"), over="layer"),
            "within",
            0.02,
            unit="SimE with Newton - SimE with gradient descent, mean over layers",
            bar="ours",
            source=source,
        ),
    ]
