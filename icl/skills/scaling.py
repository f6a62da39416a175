"""From the loss of a language model to the share of pieces that it fails on.

Two steps of the theory are assumptions, which nothing here tests:

- *Cloze sufficiency* (Assumption 2 of Arora and Goyal 2023): what a model gets wrong on
  multiple-choice questions about a piece is measured by its excess cross-entropy on
  the right answers, up to a small factor.
- *A scaling law*: the excess falls as a power of parameters and tokens. The constants
  of `CHINCHILLA` are recalled from Hoffmann et al. 2022 and were not checked against
  it; Besiroglu et al. 2024 fit other ones to the same runs.

Pinsker's inequality between them is mathematics. Losses are in nats.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from icl import checks

Form = Literal["L1", "total variation"]


@dataclass(frozen=True)
class ScalingLaw:
    """The excess loss as a function of parameters N and tokens D.

    $$B / N^b + C / D^c$$

    Attributes:
        parameters_scale: B.
        parameters_exponent: b.
        tokens_scale: C.
        tokens_exponent: c.
        source: where the constants come from.

    Raises:
        ValueError: a constant is no positive number.

    Example:
        >>> round(CHINCHILLA(70e9, 1.4e12), 3)
        0.247
    """

    parameters_scale: int | float
    parameters_exponent: int | float
    tokens_scale: int | float
    tokens_exponent: int | float
    source: str = ""

    def __post_init__(self) -> None:
        for part in ("parameters", "tokens"):
            for name in (f"{part}_scale", f"{part}_exponent"):
                number = checks.finite_number(name, getattr(self, name), positive=True)
                object.__setattr__(self, name, number)
        checks.of_kind("source", self.source, str, "text")

    def __call__(self, parameters: int | float, tokens: int | float) -> float:
        """Returns the excess loss in nats a token.

        Raises:
            ValueError: a number is not positive.
        """
        parameters = checks.finite_number("parameters", parameters, positive=True)
        tokens = checks.finite_number("tokens", tokens, positive=True)
        by_parameters = math.log(self.parameters_scale)
        by_parameters -= self.parameters_exponent * math.log(parameters)
        by_tokens = math.log(self.tokens_scale)
        by_tokens -= self.tokens_exponent * math.log(tokens)
        return _exp(by_parameters) + _exp(by_tokens)


CHINCHILLA = ScalingLaw(
    406.4,
    0.34,
    410.7,
    0.28,
    source="recalled from Hoffmann et al. 2022, and not checked against it",
)
"""Chinchilla's fit, as the paper uses it. Its constants are recalled: see `source`."""


def cloze_failure(excess: int | float, *, form: Form = "L1") -> float:
    """Returns the largest share of wrong two-way answers at an excess loss (Theorem 3).

    By Pinsker's inequality a model whose loss exceeds the entropy by ε nats gives wrong
    answers at most so much of the probability:

    $$√(2ε)$$

    In the form of the total variation, which is twice as strong, it is half of that.
    The paper uses the former, which says nothing from ε = 1/2 on; 1 is then returned.

    Args:
        excess: the excess cross-entropy ε, in nats.
        form: "L1" or "total variation".

    Raises:
        ValueError: the excess is negative, or the form is another one.

    Example:
        >>> [round(cloze_failure(eps), 4) for eps in (0.01, 0.02, 0.1, 0.5)]
        [0.1414, 0.2, 0.4472, 1.0]
    """
    excess = checks.finite_number("excess", excess)
    checks.one_of("form", form, get_args(Form))
    return min(1.0, math.sqrt(2 * excess) / (1 if form == "L1" else 2))


def served_tuple(before: int | float, after: int | float) -> float:
    """Returns the size of tuples that are now where single skills were (Corollary 13).

    The paper applies the factor by which the loss fell to the failure rate; by
    Pinsker's bound itself the rate falls by its square root only.

    Args:
        before: the excess loss, or failure rate, at which single skills had a curve.
        after: the lower one at which tuples have the same curve.

    Raises:
        ValueError: a number is not positive.

    Example:
        >>> served_tuple(0.2, 0.05)
        4.0
    """
    before = checks.finite_number("before", before, positive=True)
    after = checks.finite_number("after", after, positive=True)
    return _exp(math.log(before) - math.log(after))


def _exp(power: float) -> float:
    """Returns e^power, which is infinite where no float can hold it."""
    return math.exp(power) if power < 709 else math.inf
