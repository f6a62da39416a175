"""Draws the picture of the README: with which learner does a transformer agree?

Run: python -m docs.front_picture

It writes figures/front.png. It takes the model `d8`, which comes with the package, and
2,000 prompts that no training has seen; nothing is trained.
"""

from pathlib import Path

import matplotlib.ticker
import numpy as np
from matplotlib.figure import Figure

from experiments.engine.figures.style import BLUE, GREEN, PURPLE, VERMILLION, canvas
from icl import inference, load_pretrained
from icl.baselines import GradientDescent, Learner, LeastSquares, NearestNeighbors
from icl.compare import squared_prediction_difference

FILE = Path(__file__).parents[1] / "figures/front.png"
PROMPTS = 2000
LEARNERS: dict[str, tuple[Learner, str]] = {
    "3 nearest neighbours": (NearestNeighbors(3), PURPLE),
    "1 step of gradient descent": (GradientDescent(1, 0.02), VERMILLION),
    "10 steps of gradient descent": (GradientDescent(10, 0.01), GREEN),
    "least squares": (LeastSquares(), BLUE),
}


def distances() -> dict[str, np.ndarray]:
    """Returns how far the model is from each learner after 1 to 16 examples.

    It is the squared difference of their predictions, averaged over prompts, and
    divided by d = 8, which is the variance of the labels.
    """
    trained = load_pretrained("d8")
    prompts, _ = inference.sample(trained.task, PROMPTS, seed=0)
    model = inference.predictions(trained.model, prompts)
    return {
        name: np.asarray(
            squared_prediction_difference(
                model, inference.predictions(learner, prompts), divide_by=8
            ).value
        )[1:]
        for name, (learner, _) in LEARNERS.items()
    }


def draw(curves: dict[str, np.ndarray]) -> Figure:
    """Draws a curve for each learner, with its name at the right end."""
    with canvas(7.8, 4.0) as figure:
        axes = figure.subplots()
        for name, values in curves.items():
            examples = np.arange(1, len(values) + 1)
            colour = LEARNERS[name][1]
            axes.plot(examples, values, color=colour, marker="o", linewidth=2)
            axes.annotate(
                name,
                (examples[-1], values[-1]),
                xytext=(9, 5 if name.startswith("3") else -3),
                textcoords="offset points",
                va="center",
                color=colour,
                weight="bold",
            )
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(_share))
        axes.set_xlim(0.5, 24.5)
        axes.set_xticks(range(2, 17, 2))
        axes.set_xlabel("number of examples (x, y) in the prompt")
        axes.set_ylabel(
            "difference between their predictions\n(share of the labels' variance)"
        )
        axes.set_title(
            "A transformer, trained on linear functions, predicts what least squares\n"
            "predicts. Other learning algorithms predict something else."
        )
        return figure


def _share(value: float, _position: int) -> str:
    """Returns a share as a percentage without zeros that say nothing."""
    return f"{100 * value:g} %"


if __name__ == "__main__":
    draw(distances()).savefig(FILE)
