"""A jump that is in the model: the plateau of a transformer that learns to regress.

Claim: the training loss of the model that comes with the package stays at chance for
some hundred steps and then falls, and it does so in the logarithm of the loss too: no
threshold, and no other metric, takes this transition away.

Paper: a counter-example to the reading of Schaeffer et al. 2023 that jumps are the
metric's (claim 6); the plateau is that of Garg et al. 2022 and many after them.

Run: python -m experiments.emergence.plateau quick

How to read it: the left panel has the training loss over d by step, both axes
logarithmic, as the mean over the last fifth of the steps until then; vertical lines are
where the logarithm has covered 10, 50 and 90 % of its way. The middle panel is the
held-out loss at several context lengths, as far as it was evaluated. The right panel
has B / (n - 1) of the same losses for other numbers of points, beside what noise stays
below in 99 % of cases.
"""

import sys
from dataclasses import dataclass

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.engine.claims.claim import Claim
from experiments.engine.claims.judge import Judge
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    canvas,
)
from experiments.reference_models import SHIPPED
from icl import checks
from icl.emergence import Curve, log_spaced_means, null_quantiles, shape, transition
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks.linear import as_linear

TIMES = {"tiny": "5 s", "quick": "5 s", "paper": "5 s"}

OTHERS = (7, 9, 11, 13, 17, 21, 25)
"""Numbers of points for which B is given, too."""


@dataclass(frozen=True)
class Config:
    """Settings of the figure, which only reads how a model was trained.

    Attributes:
        setting: the model; d8 comes with the package, and others are trained.
        points: the number of log-spaced steps of the curve that is judged.
        share: each point is the mean over this last share of the steps until then.
    """

    setting: Setting = SHIPPED["d8"]
    points: int = 13
    share: float = 0.2

    def __post_init__(self) -> None:
        as_linear(self.setting.task)
        checks.positive_int("points", self.points, minimum=5)
        if checks.finite_number("share", self.share, positive=True) > 1:
            raise ValueError(f"share must be at most 1, got {self.share!r}.")


PRESETS = {"tiny": Config(), "quick": Config(), "paper": Config()}


def compute(config: Config, models: Models) -> xr.Dataset:
    """Reads the losses of a training at log-spaced steps.

    Returns:
        A Dataset of `loss` over step, divided by the variance of the labels, `held_out`
        over (evaluation, context), and of `breaks` and `null` over the number of
        points.
    """
    task = as_linear(config.setting.task)
    history = models(config.setting).history
    variance = task.dim * task.weight_std**2 + task.noise_std**2
    losses = history.loss.values.astype(float) / variance
    steps, loss = log_spaced_means(losses, points=config.points, share=config.share)
    points = sorted({*OTHERS, config.points})
    shapes = [
        of_losses(*log_spaced_means(losses, points=n, share=config.share))
        for n in points
    ]
    held_out = history.held_out_loss / variance
    return xr.Dataset(
        {
            "loss": ("step", loss),
            "held_out": (("evaluation", "context"), held_out.values),
            "breaks": (
                "points",
                [float(s.normalised_breakthroughness) for s in shapes],
            ),
            "null": ("points", [float(s.null_99) for s in shapes]),
        },
        coords={
            "step": steps,
            "evaluation": history.evaluation.values,
            "context": history.context.values,
            "points": points,
        },
        attrs={"judged": config.points, "dim": task.dim},
    )


def of_losses(steps: np.ndarray, losses: np.ndarray) -> xr.Dataset:
    """Returns the shape of -log10 of losses."""
    return shape(curve_of(steps, losses))


def curve_of(steps: np.ndarray, losses: np.ndarray) -> Curve:
    """Returns -log10 of losses by step as a curve."""
    return Curve(steps, losses, higher_is_better=False, logarithm=True)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claim 6: the jump is more than noise in the log loss, too."""
    judge = Judge(
        "emergence", "plateau", "Counter-example to Schaeffer et al. 2023, section 2"
    )
    n = int(dataset.attrs["judged"])
    found = float(dataset.breaks.sel(points=n))
    null = null_quantiles(len(dataset.step)).breakthroughness
    others = ", ".join(
        f"{float(dataset.breaks.sel(points=p)):.2f} with {p}"
        for p in dataset.points.values.tolist()
        if p != n
    )
    return [
        judge(
            "6",
            f"The logarithm of the training loss breaks through: at {n} log-spaced "
            "steps B / (n - 1) is above what noise stays below in 99 % of cases.",
            found,
            ">",
            null,
            unit="B / (n - 1) of -log10(training loss)",
            bar="ours",
            note="One training. A straight line has 1. B hangs on the number of points "
            f"and is {others}.",
            interval_over="nothing: one training, whose losses are known",
        )
    ]


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws training loss, held-out losses, and B by the number of points."""
    with canvas(12, 3.8) as figure:
        loss, held_out, breaks = figure.subplots(1, 3)
        loss_panel(loss, dataset)
        held_out_panel(held_out, dataset)
        breaks.plot(dataset.points, dataset.breaks, color=BLACK, marker="o", label="B")
        style = {"color": GREY, "linestyle": "--", "marker": "s", "ms": 3}
        breaks.plot(dataset.points, dataset.null, label="noise, 99 %", **style)
        breaks.set(title="B / (n - 1) of the same losses", xlabel="number n of points")
        breaks.set_ylim(bottom=0)
        breaks.legend(fontsize=8)
    return figure


def loss_panel(axes: Axes, dataset: xr.Dataset) -> None:
    """Draws the training loss, and where it has gone a part of its way."""
    steps, losses = dataset.step.values, dataset.loss.values
    axes.loglog(steps, losses, color=BLACK, marker="o", label="training loss / d")
    found = transition(curve_of(steps, losses))
    looks = {"x10": (BLUE, ":"), "x50": (ORANGE, "--"), "x90": (VERMILLION, "-.")}
    for name, (colour, line) in looks.items():
        at = float(found[name])
        if np.isfinite(at):
            label = f"{name[1:]} % of the way: {at:,.0f}"
            axes.axvline(at, color=colour, linestyle=line, label=label)
    axes.set(title="one training, exact log axes", xlabel="step")
    axes.legend(fontsize=8, loc="lower left")


def held_out_panel(axes: Axes, dataset: xr.Dataset) -> None:
    """Draws the held-out loss at a few context lengths."""
    dim, contexts = int(dataset.attrs["dim"]), dataset.context.values
    wanted = dict.fromkeys((dim // 2, dim, dim + dim // 2, int(contexts[-1])))
    looks = zip(
        wanted,
        ((BLUE, "-"), (GREEN, "--"), (ORANGE, "-."), (VERMILLION, ":")),
        strict=False,
    )
    seen = dataset.evaluation.values > 0
    for context, (colour, line) in looks:
        if context in contexts:
            own = dataset.held_out.sel(context=context).values[seen]
            label = f"{context} examples"
            axes.loglog(
                dataset.evaluation[seen], own, color=colour, ls=line, label=label
            )
    axes.set(title="held-out loss / d, by context length", xlabel="step")
    axes.legend(fontsize=8)


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
