"""How does a statistic of resampled means become a claim?"""

from collections.abc import Sequence

import numpy as np

from experiments.engine.claims.claim import Claim, Relation
from experiments.engine.claims.intervals import Sampled, Statistic


def judge(
    id: str,
    text: str,
    contexts: Sequence[int] | np.ndarray,
    statistic: Statistic,
    relation: Relation,
    threshold: float,
    *,
    sampled: Sampled,
    source: str,
    unit: str,
    figure: str,
    note: str = "",
) -> Claim:
    """A claim about a statistic of the means at some context lengths.

    If the run has none of these, the claim is there all the same, and undecided.

    The interval of a largest or smallest value lies on the unfavourable side of it:
    resampling adds noise, and the extreme of noisy values is more extreme. Such a
    claim, "for every n", is judged a little too strictly, never too kindly.
    """
    if not len(contexts):
        nan, missing = float("nan"), "This run has no such context lengths."
        return Claim(
            id, text, source, nan, nan, nan, threshold, relation, unit, figure, missing
        )
    sampled = sampled.at(contexts)
    return Claim.from_resamples(
        id,
        text,
        source,
        value=statistic(sampled.means).values,
        resamples=statistic(sampled.draws).values,
        relation=relation,
        threshold=threshold,
        unit=unit,
        figure=figure,
        note=note,
    )
