"""Probes of a network that had nothing to learn in its context, layer by layer.

Claim: decoding says something about what was learned, and not only about the probe. The
control model saw the same w in every training prompt, and the same probes read X'y and
the least-squares weights clearly less well out of it.

Paper: Figure 5 and Appendix E of Akyürek et al. 2023 (claim 27).

Run: python -m experiments.akyurek2023.fig5 quick

How to read it: the panels are those of Figure 4 with the models exchanged: curves and
position weights belong to the control model, and dashed lines to the best layer of the
model that learns in context. Both are probed on the same prompts, whose w differ.
"""

import sys

import matplotlib.figure
import xarray as xr

from experiments.akyurek2023 import fig4, fig4_plot
from experiments.akyurek2023.fig4_measure import compare, settings
from experiments.akyurek2023.fig5_claims import claims
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure

TIMES = {
    "tiny": "1 min",
    "quick": "as Figure 4; seconds after it",
    "shipped": "as Figure 4; seconds after it",
    "paper": "as Figure 4; seconds after it",
}
PRESETS = fig4.PRESETS


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws each target's error by layer, and a map of where the probe looks."""
    return fig4_plot.draw(dataset, "control", beside="trained")


FIGURE = Figure(__spec__, PRESETS, compare, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
