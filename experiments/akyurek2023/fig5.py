"""What a probe reads out of a network that had nothing to learn in its context.

Claim: decoding says something about what was learned and not only about the probe: out
of the control model, which saw the same w in every training prompt, the same probes
read X'y and the least-squares weights clearly less well.

Paper: Figure 5 and Appendix E of Akyürek et al. 2023 (claim 27).

Run: python -m experiments.akyurek2023.fig5 quick

How to read it: as Figure 4, with the models exchanged: curves and position weights are
those of the control model, and dashed is the best layer of the model that learns in
context. All are probed on the same prompts, whose w differ.
"""

import sys
from typing import TYPE_CHECKING

from experiments.akyurek2023 import fig4, fig4_measure
from experiments.akyurek2023.fig4_measure import Config
from experiments.akyurek2023.fig4_measure import settings as settings
from experiments.akyurek2023.fig5_claims import claims as claims
from icl.sweeps.store import Models

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

TIMES = {
    "tiny": "1 min",
    "quick": "as Figure 4; seconds after it",
    "paper": "as Figure 4; seconds after it",
}
PRESETS = fig4.PRESETS


def compute(config: Config, models: Models) -> "xr.Dataset":
    """`fig4_measure.measure` of all models, along a dimension `model`."""
    return fig4_measure.compare(config, models)


def plot(dataset: "xr.Dataset") -> "Figure":
    """For each target the error by layer, and a map of where the probe looks."""
    from experiments.akyurek2023 import fig4_plot

    return fig4_plot.draw(dataset, "control", beside="trained")


if __name__ == "__main__":
    from experiments.engine.figures.command import main

    sys.exit(main("experiments.akyurek2023.fig5"))
