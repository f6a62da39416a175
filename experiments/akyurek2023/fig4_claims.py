"""What do probes decode? The claims of Figure 4: claims 24-26 and 28.

The claims are about errors of pooled probes by layer, 1 - R2 averaged over numbers of
examples, which `fig4_measure` measures. Errors that are compared come from the same
resamples of the test prompts. The best layer of a probe is the one with the least error
on validation prompts: chosen on the tested ones, it would look better than it is.
Intervals hold the fitted probes fixed. Thresholds are ours where the paper has none.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from experiments.akyurek2023.fig4_measure import TARGETS
from experiments.engine.claims.claim import Claim, Interval
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import SEED, Ratio, Statistic
from experiments.engine.figures.seeds import mean_over_seeds
from icl.resampling import TAIL, contenders, seed_interval
from probes import onset

MOMENT, WEIGHTS = TARGETS


def resampled_errors(dataset: xr.Dataset) -> Resampled:
    """Returns the errors of probes, and those on every resample of the prompts."""
    errors = dataset.error, dataset.error_resampled.rename(resample="draw")
    found = (
        xr.Dataset(
            {
                "error": error,
                "at_best": error.sel(layer=dataset.best_layer).drop_vars("layer"),
            }
        )
        for error in errors
    )
    return Resampled(*found)


def best(head: str, *, model: str, target: str) -> Statistic:
    """Returns the error of a probe at its best layer."""
    at = {"head": head, "model": model, "target": target}
    return lambda means: means.at_best.sel(at)


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
        "each at its best layer, and by a larger factor than in a network that was not "
        "trained, where it is better too.",
        Ratio(_mlp_to_linear("trained", target), _mlp_to_linear("untrained", target)),
        "<",
        1.0,
        unit="ratio of 1 - R2, MLP to linear, in units of the untrained network's",
    )


def _mlp_to_linear(model: str, target: str) -> Ratio:
    """Returns the error of the MLP probe in units of the linear one's."""
    mlp, linear = (best(head, model=model, target=target) for head in ("mlp", "linear"))
    return Ratio(mlp, linear)


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
        bar="ours, set after a first look",
    )


def _order_of_targets(judge: Judge, trained: xr.Dataset) -> list[Claim]:
    """Returns claim 26, by two measures of where a target becomes decodable."""
    mlp = trained.sel(head="mlp")
    found = onset(
        xr.Dataset({"r2": 1 - mlp.error, "r2_resampled": 1 - mlp.error_resampled})
    )
    lowest = {target: _lowest(mlp.sel(target=target)) for target in TARGETS}
    over = _what_intervals_are_over(trained, "test prompts", "and these probes")
    onsets = {
        target: Interval(
            *(
                float(end.sel(target=target))
                for end in (found.onset, found.onset_low, found.onset_high)
            )
        )
        for target in TARGETS
    }
    return [
        _moment_comes_first(
            judge,
            "26a",
            "its error is down to half of the embedding's in an earlier layer.",
            onsets,
            over,
        ),
        _moment_comes_first(
            judge, "26b", "the layer with its least error comes earlier.", lowest, over
        ),
    ]


def _what_intervals_are_over(
    trained: xr.Dataset | xr.DataArray, units: str, fixed: str = ""
) -> str:
    """Returns in words what the intervals of `trained` are over."""
    seeds = trained.sizes.get(SEED, 1)
    if seeds > 1:
        return f"{units} and {seeds} seeds"
    return f"{units}, for one trained model {fixed}".strip()


def _lowest(errors: xr.Dataset) -> Interval:
    """Returns the layer with the least error, and the layers that may have it.

    For several seeds it is the error's mean over seeds.
    """
    value, draws = errors.error, errors.error_resampled.astype(float)
    # 1.25 % for each of two targets: the order is wrong in 2.5 % of cases or fewer.
    tail = TAIL / 2
    if SEED in value.dims:
        by_seed = value.transpose(SEED, "layer").values
        drawn = draws.transpose("resample", SEED, "layer").values
        may_be = _may_be_least(by_seed, drawn, tail)
    else:
        drawn = draws.transpose("resample", "layer").values
        may_be = contenders(value.values, drawn, tail=tail)
    layers = errors.layer.values[may_be]
    best = errors.layer.values[int(mean_over_seeds(value).argmin("layer"))]
    return Interval(float(best), float(layers.min()), float(layers.max()))


def _may_be_least(values: np.ndarray, draws: np.ndarray, tail: float) -> np.ndarray:
    """Returns which of several means over seeds may be the least, (layers,).

    One may be unless it is surely above another, by Bonferroni over the others.

    Args:
        values: errors, (seeds, layers).
        draws: those of every resample of the prompts, (resamples, seeds, layers).
        tail: the probability that the truly least is left out.
    """
    above, drawn = (each[..., :, None] - each[..., None, :] for each in (values, draws))
    low, _ = seed_interval(above, drawn, tail=tail / max(1, values.shape[1] - 1))
    return ~np.any(low > 0, axis=1)


def _moment_comes_first(
    judge: Judge, id: str, text: str, layers: Mapping[str, Interval], over: str
) -> Claim:
    """Returns claim 26 for the layer of each target, each with its interval."""
    moment, weights = layers[MOMENT], layers[WEIGHTS]
    decoded = np.isfinite([moment.value, weights.value]).any()
    later = Interval(
        *(
            _later(*ends)
            for ends in (
                (weights.value, moment.value),
                (weights.low, moment.high),
                (weights.high, moment.low),
            )
        )
    )
    return judge(
        id,
        f"The moment vector X'y is decodable earlier than the least-squares weights: "
        f"{text}",
        later if decoded else float("nan"),
        ">",
        0.0,
        unit=f"layers; {_layer(moment.value)} and {_layer(weights.value)}",
        interval_over=f"{over}; all layers at once",
        missing="" if decoded else "Neither is decoded in any layer: no order.",
    )


def _layer(first: float) -> str:
    """Returns the number of a layer in words; it is infinite if there is none."""
    return f"{first:g}" if np.isfinite(first) else "none"


def _later(weights: float, moment: float) -> float:
    """Returns how many layers later the weights are decoded; 0 if neither is."""
    return 0.0 if weights == moment else weights - moment


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
    mean = share.mean("token")  # NaN where the prompts have no such n
    refits = mean.sizes["refit"]
    over = _what_intervals_are_over(share, f"{refits} refits to resampled prompts")
    if SEED in mean.dims:
        drawn = mean.transpose("refit", SEED).values
        ends = seed_interval(drawn.mean(axis=0), drawn)
    else:
        ends, over = (mean.min(), mean.max()), f"{over}; least to largest"
    return judge(
        id,
        text,
        Interval(float(mean.mean()), *map(float, ends)),
        ">",
        0.5,
        unit="share of position weight",
        bar="ours, set after a first look",
        interval_over=over,
        note="Of the MLP probe, at the best layer of each target.",
    )
