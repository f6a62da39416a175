"""What hooks on the blocks of a model have to keep track of, whatever the library.

A transformer's blocks pass the residual stream on: it enters the first block, and what
comes out of one block enters the next. Models differ in how they hand it over, as an
argument by position or by name, and as a tensor or as the first of several outputs.
The functions here find it and put another in its place; `Visits` and `batches` see to
it that every block runs once, and every prompt with its own inputs.

No library is imported: what may be a residual stream is told by a function,
`is_stream`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from probes import checks

IsStream = Callable[[Any], bool]

USUAL = "hidden_states"
"""The name of the argument in most models of Hugging Face."""


class Visits:
    """The blocks that have run in one call of a model, by name.

    Args:
        names: names of the blocks, in the order in which they should run.
    """

    def __init__(self, names: Sequence[str]):
        self.names, self.seen = list(names), 0

    def enter(self, place: int) -> None:
        """Takes note that a block runs.

        Raises:
            ValueError: it has run before, or one before it has not run yet.
        """
        name = self.names[place]
        if place < self.seen:
            raise ValueError(
                f"block {name!r} ran twice in one call of the model, so that there is "
                "no one state that enters it. A module that is used several times, or "
                "a model that calls itself (as text generation does), cannot be read "
                "by hooks; leave such blocks out of `blocks`."
            )
        if place > self.seen:
            raise ValueError(
                f"block {name!r} ran before {self.names[self.seen]!r}; give `blocks` "
                "in the order in which the model runs them, and only those that run."
            )
        self.seen += 1

    def finish(self) -> None:
        """Refuses a call in which blocks did not run."""
        if self.seen < len(self.names):
            raise ValueError(
                f"block {self.names[self.seen]!r} did not run when the model was "
                f"called ({self.seen} of {len(self.names)} did); give only `blocks` "
                "that run."
            )


def stream_argument(
    args: Sequence[Any], kwargs: Mapping[str, Any], is_stream: IsStream
) -> int | str:
    """Returns which argument of a block is the residual stream: a position or a name.

    It is the first argument by position, or else the only one by name that may be it,
    or else the one that is called "hidden_states".

    Raises:
        ValueError: no argument, or more than one, may be it.
    """
    if args and is_stream(args[0]):
        return 0
    named = [name for name, value in kwargs.items() if is_stream(value)]
    if len(named) == 1:
        return named[0]
    if USUAL in named:
        return USUAL
    raise ValueError(
        "the residual stream must be the first argument of a block, or the only one by "
        "name that is a tensor of floating-point numbers with axes (prompts, tokens, "
        f"features); with these inputs there are {len(args)} by position, the first of "
        f"which is {_kind(args[0]) if args else 'absent'}, and by name "
        f"{named or 'none'}."
    )


def with_argument(
    args: Sequence[Any], kwargs: Mapping[str, Any], which: int | str, value: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Returns the arguments with another value for one of them."""
    if isinstance(which, str):
        return tuple(args), {**kwargs, which: value}
    return (*args[:which], value, *args[which + 1 :]), dict(kwargs)


def stream_output(output: Any, is_stream: IsStream) -> Any:
    """Returns the residual stream among what a block returns.

    Raises:
        ValueError: the block returns neither a stream nor several things of which it
            is the first.
    """
    if is_stream(output):
        return output
    if isinstance(output, tuple | list) and output and is_stream(output[0]):
        return output[0]
    several = isinstance(output, tuple | list) and len(output) > 0
    inside = f" that begins with {_kind(output[0])}" if several else ""
    raise ValueError(
        "a block must return the residual stream, a tensor of floating-point numbers "
        "with axes (prompts, tokens, features), alone or as the first of a tuple; got "
        f"{_kind(output)}{inside}."
    )


def with_output(output: Any, stream: Any) -> Any:
    """Returns what a block returns with another residual stream."""
    if not isinstance(output, tuple | list):
        return stream
    values = [stream, *output[1:]]
    if hasattr(output, "_fields"):  # a named tuple
        return type(output)(*values)
    return values if isinstance(output, list) else tuple(values)


def prompt_count(inputs: Mapping[Any, Any], has_prompts: Callable[[Any], bool]) -> int:
    """Returns the number of prompts of the arguments of a model.

    Args:
        inputs: the arguments, by name or position.
        has_prompts: tells which have a first axis of prompts.

    Raises:
        ValueError: no argument has prompts, or some have other numbers of prompts.
    """
    counts = {name: len(each) for name, each in inputs.items() if has_prompts(each)}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise ValueError(
            "inputs must be a tensor of prompts, (prompts, ...), or several in a tuple "
            "or a dictionary, all with the same number of prompts and at least one; "
            f"got the numbers {counts}."
        )
    return next(iter(counts.values()))


def rows_of(
    inputs: Mapping[Any, Any], rows: slice, has_prompts: Callable[[Any], bool]
) -> dict[Any, Any]:
    """Returns the arguments of a model for some of the prompts."""
    return {n: each[rows] if has_prompts(each) else each for n, each in inputs.items()}


def batches(prompts: int, size: int) -> Iterator[slice]:
    """Yields which prompts are run together, some `size` of them at a time."""
    size = checks.positive_int("batch", size)
    for start in range(0, prompts, size):
        yield slice(start, min(start + size, prompts))


def _kind(value: Any) -> str:
    """Returns the type of a value, and its shape if it has one."""
    shape = getattr(value, "shape", None)
    axes = "" if shape is None else f" of shape {tuple(shape)}"
    return f"{type(value).__name__}{axes}"
