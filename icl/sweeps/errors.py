"""Which errors tell the user something, and in which words?"""

from icl.training.run import NonFiniteLossError


def expected() -> tuple[type[Exception], ...]:
    """Returns the errors that tell the user something; any other is a mistake here."""
    return ValueError, OSError, NonFiniteLossError


def is_out_of_memory(error: Exception) -> bool:
    """Returns whether what was asked for needs more memory than there is."""
    lack = "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and lack)


def sentence(error: Exception) -> str:
    """Returns what an error says; for a system's error, what happened and where."""
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}"
    if is_out_of_memory(error):
        return (
            "there is not enough memory for it; take fewer prompts or a smaller model "
            f"({' '.join(str(error).split())[:120] or type(error).__name__})"
        )
    return str(error) or type(error).__name__


def explanation(error: Exception) -> str:
    """Returns why a run failed, with the kind of error if that kind is unexpected."""
    text = sentence(error)
    return text if isinstance(error, expected()) else f"{type(error).__name__}: {text}"
