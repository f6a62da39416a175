"""How does a statistic of resampled means become a claim?"""

from collections.abc import Sequence

import numpy as np

from experiments.engine.claims.claim import Claim, Relation
from experiments.engine.claims.intervals import Resampled, Statistic


def judge(
    id: str,
    text: str,
    contexts: Sequence[int] | np.ndarray,
    statistic: Statistic,
    relation: Relation,
    threshold: float,
    *,
    resampled: Resampled,
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
    resampled = resampled.at(contexts)
    return Claim.from_resamples(
        id,
        text,
        source,
        value=statistic(resampled.means).values,
        resamples=statistic(resampled.draws).values,
        relation=relation,
        threshold=threshold,
        unit=unit,
        figure=figure,
        note=note,
    )
