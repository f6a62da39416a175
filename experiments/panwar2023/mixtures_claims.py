"""Does a model of a mixture find out the component as Bayes would? Claims 1-3."""

import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Largest, Positive, Ratio, Statistic


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means over prompts, and those of every resample."""
    return intervals.resample(dataset, ("prompt",))


def of(case: str, learner: str) -> Statistic:
    """Returns the risk of a learner on the prompts of a case, by context."""
    return lambda means: means.risk.sel(case=case, learner=learner, drop=True)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 1-3."""
    judge = Judge(
        "panwar2023",
        "mixtures",
        "Panwar et al. 2023, Section 3",
        resampled=resample(dataset),
    )
    dim = int(dataset.attrs["dim"])
    few = range(1, dim + 1)
    ascent = "risk / risk without examples, at the n where it is largest"
    return [
        judge(
            "1",
            "At every n the model differs from the Bayes predictor for the mixture by "
            "less than 5 % of the mean square of w.x.",
            Largest(Positive(lambda means: means.to_bayes)),
            "<",
            0.05,
            unit="squared difference / E (w.x)²",
            bar="ours",
        ),
        judge(
            "2a",
            "Where inputs point to the wrong component, the risk of the Bayes "
            "predictor is larger at some n from 1 to d than without examples.",
            Largest(_over_first("Bayes", few)),
            ">",
            1.0,
            unit=ascent,
            source="Lin and Lee 2024",
            subject="theory",
        ),
        judge(
            "2b",
            "There the model's risk is larger at some n from 1 to d than without "
            "examples, too.",
            Largest(_over_first("model", few)),
            ">",
            1.0,
            unit=ascent,
            source="Lin and Lee 2024",
        ),
        judge(
            "3",
            "One model of both families is on each of them within 10 % of a model that "
            "was trained on that family alone, averaged over n.",
            Largest(_over_specialist(), over="case"),
            "<",
            1.1,
            unit="risk / risk of the specialist",
            bar="ours",
        ),
    ]


def _over_first(learner: str, contexts: range) -> Ratio:
    risk = of("mismatched", learner)
    return Ratio(
        lambda means: risk(means).sel(context=list(contexts)),
        lambda means: risk(means).sel(context=0, drop=True),
    )


def _over_specialist() -> Ratio:
    def mean_risk(learner: str) -> Statistic:
        return lambda means: means.risk.sel(
            case=["dense", "sparse"], learner=learner, drop=True
        ).mean("context")

    return Ratio(mean_risk("model"), mean_risk("specialist"))
