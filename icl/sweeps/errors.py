"""Which errors tell the user something, and in which words?"""

from icl.training.run import NonFiniteLossError


def expected() -> tuple[type[Exception], ...]:
    """Returns the errors that tell the user something; any other is a mistake here."""
    return ValueError, OSError, NonFiniteLossError


def sentence(error: Exception) -> str:
    """Returns what an error says; for a system's error, what happened and where."""
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}"
    return str(error) or type(error).__name__


def explanation(error: Exception) -> str:
    """Returns why a run failed, with the kind of error if that kind is unexpected."""
    text = sentence(error)
    return text if isinstance(error, expected()) else f"{type(error).__name__}: {text}"
