"""What do probes decode? The claims of Figure 4: claims 24-26 and 28.

The claims are about errors of pooled probes by layer, 1 - R2 averaged over numbers of
examples, which `fig4_measure` measures. Errors that are compared come from the same
resamples of the test prompts. The best layer is chosen anew in each resample, so that
the choice is part of the uncertainty; this leaves a bias of the size of the errors'
noise, about 0.01. Thresholds are ours where the paper has none.
"""

from dataclasses import replace

import numpy as np
import xarray as xr

from experiments.akyurek2023.fig4_measure import TARGETS
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Interval, Judge
from experiments.engine.claims.statistics import Ratio, Smallest
from probes import onset

MOMENT, WEIGHTS = TARGETS


def resampled_errors(dataset: xr.Dataset) -> Resampled:
    """Returns the errors of probes, and those on every resample of the prompts."""
    means = xr.Dataset({"error": dataset.error})
    draws = xr.Dataset({"error": dataset.error_resampled.rename(resample="draw")})
    return Resampled(means, draws)


def best(head: str, *, model: str, target: str) -> Smallest:
    """Returns the error of a probe at its best layer."""
    at = {"head": head, "model": model, "target": target}
    return Smallest(lambda means: means.error.sel(at), over="layer")


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 24, 25, 26 and 28, the first two of them for each target."""
    judge = Judge(
        "akyurek2023",
        "fig4",
        "Akyürek et al. 2023, Fig. 4",
        resampled=resampled_errors(dataset),
    )
    found = []
    for letter, target in zip("ab", TARGETS, strict=True):
        found += [
            _mlp_reads_better(judge, f"24{letter}", target),
            _deep_layers_know_more(judge, f"25{letter}", target),
        ]
    trained = dataset.sel(model="trained", drop=True)
    return [*found, *_order_of_targets(judge, trained), *_positions(judge, trained)]


def _mlp_reads_better(judge: Judge, id: str, target: str) -> Claim:
    """Returns claim 24: the MLP probe reads better than the linear one."""
    return judge(
        id,
        f"The MLP probe reads the {TARGETS[target]} better than the linear one does, "
        "each at its best layer.",
        Ratio(
            best("mlp", model="trained", target=target),
            best("linear", model="trained", target=target),
        ),
        "<",
        1.0,
        unit="ratio of 1 - R2",
    )


def _deep_layers_know_more(judge: Judge, id: str, target: str) -> Claim:
    """Returns claim 25: deep layers know what the input does not."""
    embedding = {"head": "mlp", "model": "trained", "target": target, "layer": 0}
    return judge(
        id,
        f"Deep layers know what the input does not: the MLP probe's error for the "
        f"{TARGETS[target]} at the best layer is less than half the embedding's.",
        Ratio(
            best("mlp", model="trained", target=target),
            lambda means: means.error.sel(embedding),
        ),
        "<",
        0.5,
        unit="ratio of 1 - R2",
    )


def _order_of_targets(judge: Judge, trained: xr.Dataset) -> list[Claim]:
    """Returns claim 26, by two measures of where a target becomes decodable."""
    mlp = trained.sel(head="mlp")
    found = onset(
        xr.Dataset({"r2": 1 - mlp.error, "r2_resampled": 1 - mlp.error_resampled})
    )
    return [
        _moment_comes_first(
            judge,
            "26a",
            "its error is down to half of the embedding's in an earlier layer.",
            found.onset,
            found.onset_resampled,
        ),
        _moment_comes_first(
            judge,
            "26b",
            "the layer with its least error comes earlier.",
            mlp.error.argmin("layer"),
            mlp.error_resampled.argmin("layer"),
        ),
    ]


def _moment_comes_first(
    judge: Judge, id: str, text: str, layer: xr.DataArray, resampled: xr.DataArray
) -> Claim:
    """Returns claim 26 for the layer of each target, and those of every resample."""
    decoded = bool(np.isfinite(layer).any())
    means = xr.Dataset({"layer": layer.astype(float) if decoded else layer * np.nan})
    draws = xr.Dataset({"layer": resampled.rename(resample="draw").astype(float)})
    first = (float(layer.sel(target=target)) for target in TARGETS)
    return replace(judge, resampled=Resampled(means, draws))(
        id,
        f"The moment vector X'y is decodable earlier than the least-squares weights: "
        f"{text}",
        _layers_later,
        ">",
        0.0,
        unit="layers; {:g} and {:g}".format(*first),
        note="" if decoded else "Neither is decoded in any layer: there is no order.",
    )


def _layers_later(means: xr.Dataset) -> xr.DataArray:
    """Returns how many layers after X'y the weights are decoded; 0 if neither is."""
    weights = means.layer.sel(target=WEIGHTS, drop=True)
    moment = means.layer.sel(target=MOMENT, drop=True)
    return (weights - moment).where(weights != moment, 0)


def _positions(judge: Judge, trained: xr.Dataset) -> list[Claim]:
    """Returns claim 28, from probes that were fitted again to resampled prompts."""
    d = int(trained.attrs["dim"])
    is_y = np.array([str(name).startswith("y") for name in trained.position.values])
    places = np.flatnonzero(is_y)  # the position of y_n is places[n - 1]
    weights = trained.refitted.mean("target")
    counts = np.arange(1, len(places) + 1)
    newest = weights.isel(position=xr.DataArray(places, dims="token"))
    later = is_y & (np.arange(len(is_y)) >= places[min(d, len(places)) - 1])
    return [
        _position_claim(
            judge,
            "28a",
            f"With n < d = {d} examples the probe looks at the newest label: y_n has "
            "more than half of the position weight, on average over n and targets.",
            newest.isel(token=counts < d),
        ),
        _position_claim(
            judge,
            "28b",
            f"From n = d = {d} on it looks at the y-tokens from the d-th on: they have "
            "more than half of the position weight, on average over n and targets.",
            weights.isel(position=later).sum("position").isel(token=counts >= d),
        ),
    ]


def _position_claim(judge: Judge, id: str, text: str, share: xr.DataArray) -> Claim:
    """Returns a claim about a share of position weight over (refit, token)."""
    mean = share.mean("token").values  # NaN where the prompts have no such n
    return judge(
        id,
        text,
        Interval(float(mean.mean()), float(mean.min()), float(mean.max())),
        ">",
        0.5,
        unit="share of position weight",
        note="Of the MLP probe, at the best layer of each target. The interval "
        f"spans {len(mean)} refits to resampled prompts.",
    )
