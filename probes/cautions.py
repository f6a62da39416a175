"""Warnings that point at the user's own line of code."""

import inspect
import warnings

PACKAGE = __name__.partition(".")[0]


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the innermost line outside of this package that led here."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and _is_ours(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_ours(module: str) -> bool:
    """Returns whether a module belongs to this package."""
    return module.partition(".")[0] == PACKAGE
