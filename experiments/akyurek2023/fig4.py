"""Probes of moments X'y and of least-squares weights in every layer.

Claim: intermediate quantities of least squares can be decoded from the hidden states. A
non-linear probe decodes them better than a linear one, X'y is decoded in earlier layers
than the weights, and a network that never had to learn in context encodes them less
well. While n < d, the probe reads the target mainly from the token of y_n; later it
reads it from all y-tokens from the d-th on.

Paper: Figure 4 and Appendix E of Akyürek et al. 2023 (claims 24-28).

Run: python -m experiments.akyurek2023.fig4 quick

How to read it: the left panels show the error of the probes by layer (0 is the
embedding), as a share of the target's variance and averaged over the numbers of
examples n; a probe that knows nothing but the mean has an error of 1. Bands are 95 %
intervals over test prompts, and over seeds if there are several. Dashed lines are the
best layer of the control model, which was trained with the same w in every prompt.
Dotted lines are the best layer of an untrained network, which shows what the probe does
by itself. The right panels show where the MLP probe of the best layer looks: there is
one row for each n and one column for each token, and each row sums to 1; maps of
several seeds are averaged. Grey cells lie to the right of y_n, where the probe may not
read.
"""

import sys

import matplotlib.figure
import xarray as xr

from experiments.akyurek2023 import fig4_plot
from experiments.akyurek2023.fig4_claims import claims
from experiments.akyurek2023.fig4_measure import Config, compare, settings
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.reference_models import PROBING

TIMES = {
    "tiny": "1 min",
    "quick": "9 min, 6 min once the two models are trained",
    "shipped": "6 min",
    "paper": "6 hours of training on one H100, an estimate; probes not measured",
}
PRESETS = {
    "tiny": Config(
        PROBING["tiny"], Evaluation(prompts=64), units=8, epochs=3, refits=2
    ),
    "quick": Config(PROBING["quick"], refits=4, seeds=5),
    "shipped": Config(PROBING["shipped"]),
    "paper": Config(PROBING["paper"], Evaluation(prompts=8_000), units=512),
}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws each target's error by layer, and a map of where the probe looks."""
    return fig4_plot.draw(dataset, "trained", beside="control")


FIGURE = Figure(__spec__, PRESETS, compare, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
