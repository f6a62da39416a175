"""What does the paper claim about what probes decode? Claims 24-28, as numbers.

They are about errors of pooled probes by layer, 1 - R2 averaged over numbers of
examples, which `probing` measures. Compared errors come from the same resamples of the
test prompts. A best layer is chosen anew in each resample, so that the choice is part
of the uncertainty; that leaves a bias of the size of the errors' noise, about 0.01.
Thresholds are ours where the paper has none.
"""

from collections.abc import Callable

import numpy as np
import xarray as xr

from experiments.akyurek2023.fig4_measure import TARGETS
from experiments.engine.claims.claim import Claim, Relation

SOURCE = "Akyürek et al. 2023, Fig. 4"
MOMENT, WEIGHTS = TARGETS
Statistic = Callable[[xr.DataArray], xr.DataArray]


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Claims 24, 25, 26 and 28, which Figure 4 shows."""
    trained = dataset.sel(model="trained", drop=True)
    found = []
    for letter, target in zip("ab", TARGETS, strict=True):
        of_target, name = trained.sel(target=target, drop=True), TARGETS[target]
        found.append(
            claim(
                of_target,
                f"akyurek2023.24{letter}",
                f"The MLP probe reads the {name} better than the linear one does, each "
                "at its best layer.",
                lambda error: best(error, "mlp") / best(error, "linear"),
                "<",
                1.0,
                unit="ratio of 1 - R2",
            )
        )
        found.append(
            claim(
                of_target,
                f"akyurek2023.25{letter}",
                f"Deep layers know what the input does not: the MLP probe's error for "
                f"the {name} at the best layer is less than half the embedding's.",
                lambda error: best(error, "mlp") / error.sel(head="mlp").isel(layer=0),
                "<",
                0.5,
                unit="ratio of 1 - R2",
            )
        )
    return [*found, *_order_claims(trained), *_position_claims(trained)]


def best(error: xr.DataArray, head: str) -> xr.DataArray:
    """The error of a head at its best layer."""
    return error.sel(head=head).min("layer")


def claim(
    dataset: xr.Dataset,
    id: str,
    text: str,
    statistic: Statistic,
    relation: Relation,
    threshold: float,
    *,
    unit: str,
    figure: str = "fig4",
) -> Claim:
    """A claim about a statistic of the probes' errors."""
    return Claim.from_resamples(
        id,
        text,
        SOURCE if figure == "fig4" else "Akyürek et al. 2023, Fig. 5",
        value=statistic(dataset.error).values,
        resamples=statistic(dataset.error_resampled).values,
        relation=relation,
        threshold=threshold,
        unit=unit,
        figure=figure,
    )


def _order_claims(trained: xr.Dataset) -> list[Claim]:
    """Claim 26, by two measures of the layer at which a target is there."""
    from probes import onset

    mlp = trained.sel(head="mlp")
    found = onset(
        xr.Dataset({"r2": 1 - mlp.error, "r2_resampled": 1 - mlp.error_resampled})
    )
    measures = {
        "a": (
            "its error is down to half of the embedding's in an earlier layer.",
            (found.onset, found.onset_resampled),
        ),
        "b": (
            "the layer with its least error comes earlier.",
            (mlp.error.argmin("layer"), mlp.error_resampled.argmin("layer")),
        ),
    }
    claims = []
    for letter, (text, layers) in measures.items():
        value, draws = map(_layers_later, layers)
        if not np.isfinite(layers[0]).any():  # none is ever decoded: there is no order
            value = np.array(np.nan)
        first = (float(layers[0].sel(target=target)) for target in TARGETS)
        claims.append(
            Claim.from_resamples(
                f"akyurek2023.26{letter}",
                "The moment vector X'y is decodable earlier than the least-squares "
                f"weights: {text}",
                SOURCE,
                value=value,
                resamples=draws,
                relation=">",
                threshold=0.0,
                unit="layers; {:g} and {:g}".format(*first),
                figure="fig4",
            )
        )
    return claims


def _layers_later(layer: xr.DataArray) -> np.ndarray:
    """How many layers after X'y the weights are there; 0 where neither ever is."""
    weights, moment = layer.sel(target=WEIGHTS), layer.sel(target=MOMENT)
    return (weights - moment).where(weights != moment, 0).values


def _position_claims(trained: xr.Dataset) -> list[Claim]:
    """Claim 28, from probes that were fitted again to resampled training prompts."""
    d = int(trained.attrs["dim"])
    is_y = np.array([str(name).startswith("y") for name in trained.position.values])
    places = np.flatnonzero(is_y)  # the position of y_n is places[n - 1]
    weights = trained.refitted.mean("target")
    counts = np.arange(1, len(places) + 1)
    newest = weights.isel(position=xr.DataArray(places, dims="token"))
    later = is_y & (np.arange(len(is_y)) >= places[min(d, len(places)) - 1])
    parts = {
        "a": (
            f"With n < d = {d} examples the probe looks at the newest label: y_n has "
            "more than half of the position weight, on average over n and targets.",
            newest.isel(token=counts < d),
        ),
        "b": (
            f"From n = d = {d} on it looks at the y-tokens from the d-th on: they have "
            "more than half of the position weight, on average over n and targets.",
            weights.isel(position=later).sum("position").isel(token=counts >= d),
        ),
    }
    found = []
    for letter, (text, share) in parts.items():
        mean = share.mean("token").values  # NaN where the prompts have no such n
        found.append(
            Claim(
                f"akyurek2023.28{letter}",
                text,
                SOURCE,
                float(mean.mean()),
                float(mean.min()),
                float(mean.max()),
                0.5,
                ">",
                unit="share of position weight",
                figure="fig4",
                note="Of the MLP probe, at the best layer of each target. The interval "
                f"spans {len(mean)} refits to resampled prompts.",
            )
        )
    return found
