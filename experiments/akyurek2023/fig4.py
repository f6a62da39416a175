"""What a probe reads out of each layer: moments X'y and least-squares weights.

Claim: intermediate quantities of least squares can be decoded from the hidden states,
better by a non-linear probe than by a linear one, X'y in earlier layers than the
weights; a network that never had to learn in context encodes them less well. The probe
reads the target after n examples mainly from the token of y_n while n < d, and from all
y-tokens from the d-th on later.

Paper: Figure 4 and Appendix E of Akyürek et al. 2023 (claims 24-28).

Run: python -m experiments.akyurek2023.fig4 quick

How to read it: left, the error of the probes by layer (0 is the embedding), as a share
of the target's variance, averaged over the numbers of examples n; 1 is a probe that
knows nothing but the mean. Bands are 95 % intervals over test prompts. Dashed, the best
layer of the control model, trained with the same w in every prompt; dotted, of an
untrained network, which tells what the probe does by itself. Right, where the
MLP probe of the best layer looks: one row for each n, one column for each token, rows
summing to 1; grey is what lies right of y_n, which the probe may not read.
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
    "paper": "6 hours of training on one H100, an estimate; probes not measured",
}
PRESETS = {
    "tiny": Config(
        PROBING["tiny"], Evaluation(prompts=64), units=8, epochs=3, refits=2
    ),
    "quick": Config(PROBING["quick"]),
    "paper": Config(PROBING["paper"], Evaluation(prompts=8_000), units=512),
}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """For each target the error by layer, and a map of where the probe looks."""
    return fig4_plot.draw(dataset, "trained", beside="control")


FIGURE = Figure(__spec__, PRESETS, compare, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
