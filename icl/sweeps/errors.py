"""Which errors tell the user something, and in which words?"""

from icl.training.run import NonFiniteLossError


def why(error: Exception) -> str:
    """One sentence; for what is not expected of a run, with the kind of error."""
    text = sentence(error)
    return text if isinstance(error, expected()) else f"{type(error).__name__}: {text}"


def expected() -> tuple[type[Exception], ...]:
    """Errors that tell the user something; any other is a mistake of ours."""
    return ValueError, OSError, NonFiniteLossError


def sentence(error: Exception) -> str:
    """What an error says; for one of the system, what and where."""
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}"
    return str(error) or type(error).__name__
