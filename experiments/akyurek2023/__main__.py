"""The whole paper at a preset: all models, all figures, 33 claims and a report page.

Run: python -m experiments.akyurek2023 quick

This draws the figures whose models are there, trains all missing models side by side,
and then draws the other figures. A failure does not stop the rest: the report says what
is missing, and the same command goes on from there. `--list` shows the models with
their state and cost, and does nothing else. What a single trained model shows is made
in minutes by `python -m experiments.akyurek2023.one_model quick`.

The command writes results/akyurek2023/report-<preset>.html, with a table of what the
paper says, what was measured and why the two may differ, and the same table in
results-<preset>.md; it prints the path of the page last. The page is there after the
first figure, and grows with each. A second run takes seconds. The preset `shipped`
draws what the models in the package show, and trains nothing.
Fields of the first model and its training can be changed here; `--seed` moves the seeds
of everything, of all models, prompts and probes. What a figure asks, and the models
that are probed or swept, are changed at the figure's own command.
"""

import sys

from experiments.akyurek2023 import (
    construction,
    decoded_weights,
    fig1,
    fig2,
    fig3,
    fig4,
    fig5,
    fig6,
    fig7,
    fig8,
    steering,
)
from experiments.akyurek2023.glossary import GLOSSARY
from experiments.akyurek2023.published import BESIDE, PAPER, PUBLISHED
from experiments.engine.figures.figure import load_figure
from experiments.engine.report.paper import Paper
from experiments.reference_models import SETTINGS

TIMES = {
    "tiny": "about 2 min",
    "quick": "75 min; seconds, once done",
    "shipped": "10 min, without any training",
    "paper": "6,048 models, 290 days of one H100, an estimate",
}
FIGURES = {
    "fig1": fig1.FIGURE,
    "fig6": fig6.FIGURE,
    "decoded_weights": decoded_weights.FIGURE,
    "lens": load_figure("experiments.fu2024.lens"),
    "fig2": fig2.FIGURE,
    "fig3": fig3.FIGURE,
    "fig8": fig8.FIGURE,
    "fig4": fig4.FIGURE,
    "fig5": fig5.FIGURE,
    "steering": steering.FIGURE,
    "fig7": fig7.FIGURE,
    "construction": construction.FIGURE,
}
AKYUREK = Paper(
    spec=__spec__,
    figures=FIGURES,
    settings=SETTINGS,
    name=PAPER,
    statements=PUBLISHED,
    beside=BESIDE,
    glossary=GLOSSARY,
    longer={"quick": ("shipped", "longer")},
)

if __name__ == "__main__":
    sys.exit(AKYUREK.main())
