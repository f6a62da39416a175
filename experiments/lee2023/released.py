"""What accuracies were released with Lee et al. 2023? Numbers to stand beside ours.

They are shares of right answers, of one model each: of 10.6M parameters with a dropout
of 0.2, on lines without padding, trained on all characters of windows of text, and
asked by sampling at a temperature of 0.8 from the 200 most probable characters. Ours
are greedy answers of smaller models; docs/papers/lee2023.md has all that differs.

Source: `plots/sample_efficiency.csv` of the released repository, whose columns are
plain, reverse, detailed and simplified, in this order.
"""

from collections.abc import Mapping

BY_EXAMPLES: Mapping[str, Mapping[int, float]] = {
    "plain": {
        **{250: 0.0, 500: 0.0, 1_000: 0.0039, 2_000: 0.0174, 3_000: 0.2875},
        **{4_000: 0.6225, 5_000: 0.8109, 10_000: 0.8742, 20_000: 0.9012},
    },
    "reverse": {
        **{250: 0.0, 500: 0.0, 1_000: 0.0157, 2_000: 0.3065, 3_000: 0.7914},
        **{4_000: 0.9817, 5_000: 0.9983, 10_000: 1.0, 20_000: 1.0},
    },
    "simplified": {
        **{250: 0.004, 500: 0.001, 1_000: 0.8465, 2_000: 0.9970, 3_000: 0.9980},
        **{4_000: 0.9990, 5_000: 1.0, 10_000: 1.0, 20_000: 1.0},
    },
    "detailed": {
        **{250: 0.595, 500: 0.928, 1_000: 0.9980, 2_000: 0.9960, 3_000: 1.0},
        **{4_000: 1.0, 5_000: 0.9990, 10_000: 1.0, 20_000: 1.0},
    },
    "simplified, random digits": {
        **{1_000: 0.1040, 2_000: 0.9727, 3_000: 0.9828, 4_000: 0.9970},
        **{5_000: 0.9970, 10_000: 1.0, 20_000: 1.0},
    },
    "simplified, random carries": {
        **{1_000: 0.1131, 2_000: 0.9859, 3_000: 0.9929, 4_000: 0.9990},
        **{5_000: 0.9939, 10_000: 1.0, 20_000: 1.0},
    },
    "simplified, both random": {
        **{1_000: 0.0061, 2_000: 0.7889, 3_000: 0.9020, 4_000: 0.9273},
        **{5_000: 0.9101, 10_000: 0.9838, 20_000: 0.9879},
    },
}
"""Shares of right answers by format and number of examples, sums of three digits."""


def released(name: str) -> Mapping[int, float]:
    """Returns what was released of a format, by examples; padding does not matter.

    Example:
        >>> released("reverse, unpadded")[5_000]
        0.9983
    """
    return BY_EXAMPLES.get(name.removesuffix(", unpadded"), {})
