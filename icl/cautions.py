"""Warnings that point at the user's own line of code."""

import inspect
import warnings

# This package, and the type checks that tests put between its functions.
INSIDE = (__name__.partition(".")[0], "jaxtyping", "beartype")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the innermost line outside of this package that led here."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and _is_inside(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_inside(module: str) -> bool:
    """Returns whether a module's frames are none of the user's."""
    return module.partition(".")[0] in INSIDE
