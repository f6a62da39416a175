"""From how many sums is addition learnt, by how the sums are written?

Claim: small transformers learn to add from few examples if the answer is written with
its units first, and from fewer if the working is written out; they learn suddenly, and
bear with working that is partly random.

Paper: sections 3 and 4 of Lee et al. 2023 (claims L1 to L4, L6, L14 and L20).

Run: python -m experiments.lee2023.formats quick

How to read it: on the left, the share of sums without any training on them that are
answered rightly, by the number of sums in the training set; faint points are single
seeds, which differ by whole transitions. Broken lines are the shares of sums whose
scratchpad is right as well. Hollow points are the released accuracies, of unpadded
lines, of models with 10.6M parameters, sampled at a temperature of 0.8. (The released
generator has a mistake by which most digits of simplified scratchpads are random in
training; the file of three digits that came with it is right.) On the right, the shares
of each digit of the answer that are right after right ones, at the largest training
set. Bands are 95 % intervals over sums and seeds. Lines are padded, and answers are
greedy.

Other presets ask more of small models: `few` has the small training sets between which
the share rises suddenly (claim L2), `two_digits` is another matter (claim L1c), and
`scratchpads` has working that is partly random (claims L3 and L6); their lines are four
times as long.
"""

import sys
from dataclasses import replace

import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SHARES,
    SKY,
    VERMILLION,
    canvas,
    draw_band,
    legend_below,
)
from experiments.lee2023.formats_claims import (
    BOTH_RANDOM,
    RANDOM,
    claims,
    exact,
    resample,
)
from experiments.lee2023.formats_measure import FORMATS, Config, measure, settings
from experiments.lee2023.released import released
from experiments.reference_models import SETTINGS, SUMS
from icl import ModelConfig, TrainConfig, sweeps
from icl.sweeps.store import Models
from icl.tasks import Addition

TIMES = {
    "tiny": "1 min",
    "quick": "10 min, 1 min once the models are trained",
    "few": "20 min, 1 min once the models are trained",
    "two_digits": "3 min",
    "scratchpads": "60 min, 5 min once the models are trained",
    "paper": "63 models, 2.1e16 floating-point operations each: a GPU",
}
QUICK = Config(Addition(examples=1_000, law="carries"), SUMS.model, SUMS.train)
PRESETS = {
    "tiny": Config(
        Addition(digits=2),
        ModelConfig(layers=1, width=16),
        replace(
            SETTINGS["tiny"].train, batch=32, learning_rate=5e-3, checkpoint_every=60
        ),
        examples=(150, 500),
        seeds=1,
        evaluation=Evaluation(prompts=64, resamples=200),
    ),
    "quick": QUICK,
    "few": replace(QUICK, examples=(150, 300, 500, 1_000, 2_000)),
    "two_digits": Config(
        Addition(digits=2, examples=400),
        SUMS.model,
        replace(SUMS.train, steps=600),
        examples=(400,),
    ),
    "scratchpads": replace(
        QUICK,
        formats=("reverse", "simplified", *RANDOM, BOTH_RANDOM),
        examples=(1_000, 2_000),
        seeds=3,
    ),
    "paper": Config(
        Addition(examples=1_000, law="carries", padded=False, lines=20, loss_on="all"),
        ModelConfig(layers=6, width=384, heads=6),
        TrainConfig(
            steps=5_000,
            batch=256,
            learning_rate=1e-3,
            warmup=0.02,
            b2=0.99,
            weight_decay=0.1,
        ),
        formats=(
            *("plain, unpadded", "reverse, unpadded", "simplified", "detailed"),
            *("simplified, random digits", "simplified, random carries"),
            "simplified, both random",
        ),
        examples=(250, 500, 1_000, 2_000, 3_000, 4_000, 5_000, 10_000, 20_000),
        seeds=1,
        evaluation=Evaluation(prompts=10_000),
    ),
}


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models and asks them: see `formats_measure.measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


# --- the picture ---

DARK_GREEN, LIGHT_GREEN = "#00543d", "#5fd3ab"
SIMPLIFIED = (GREEN, DARK_GREEN, LIGHT_GREEN, BLACK)
PALETTE = (VERMILLION, BLUE, SKY, ORANGE, PURPLE, *SIMPLIFIED, GREY)
COLOURS = dict(zip(FORMATS, PALETTE, strict=True))
MARKERS = dict(zip(FORMATS, "osD^vP<>hX", strict=True))


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws shares of right answers by examples, and of right digits by place."""
    resampled = resample(dataset)
    with canvas(9, 4) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for name in dataset.format.values.tolist():
            style = {"color": COLOURS[name], "marker": MARKERS[name]}
            band = resampled.band(exact(name))
            draw_band(left, "examples", band, label=name, **style)
            single = resampled.means.exact.sel(format=name).transpose("examples", ...)
            faint = style | {"linestyle": "none", "alpha": 0.35, "markersize": 3}
            left.plot(single.examples, single.values, **faint)
            known = released(name)
            left.plot(known.keys(), known.values(), mfc="none", **faint | {"alpha": 1})
            trace = dataset.trace.sel(format=name).mean(
                ("seed", "prompt"), skipna=False
            )
            left.plot(trace.examples, trace, "--", color=COLOURS[name])
            largest = dataset.examples.values[-1]

            def digits(means: xr.Dataset, name: str = name, m: int = largest):
                return means.digit.sel(format=name, examples=m)

            if np.isfinite(digits(resampled.means)).all():
                draw_band(right, "column", resampled.band(digits), **style)
        left.set(xscale="log", xlabel="sums in the training set")
        sizes = dataset.examples.values
        left.set_xlim(sizes[0] / 1.3, sizes[-1] * 1.3)
        left.set_xticks(sizes, [f"{size:,}" for size in sizes])
        left.minorticks_off()
        left.set(ylabel="share that is right, unseen sums", ylim=SHARES)
        right.set_xlabel("digit of the answer (0: units)")
        right.set_xticks(dataset.column.values)
        right.set_title(f"digit by digit, {dataset.examples.values[-1]:,} examples")
        legend_below(figure, left, ncols=4)
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
