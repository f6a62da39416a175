"""Has a model left the plateau on which all training begins, or has it learnt nothing?

Errors are over the normaliser of a class, so that who predicts 0 has an error of 1.
"""

PLATEAU = 0.9
"""A model that has hardly less than 1 has learnt nothing."""


def on_the_plateau(error: float) -> str:
    """Returns that a model has not left the plateau, if its error says so.

    Example:
        >>> on_the_plateau(0.95), on_the_plateau(0.1)
        ('A model has not left the plateau: 0.95.', '')
    """
    return "" if error < PLATEAU else f"A model has not left the plateau: {error:.2g}."
