"""Sources of hidden states: an array, a function of rows, or an iterator.

Whatever the source, the grid asks for batches of prompts and sees each prompt once:

- an array, (layers, prompts, tokens, features), in memory or memory-mapped: rows of it
  are looked at where they lie, nothing is copied;
- a function: `hidden(rows)` returns (layers, len(rows), tokens, features) for the
  prompts with these indices, in this order, such as a forward pass;
- an iterator: batches (layers, some, tokens, features) in the order of the prompts.

Training prompts are asked for first and test prompts last, so that nothing must be
kept. An iterator cannot be asked: its last prompts are the test prompts.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped
from numpy.typing import ArrayLike

from probes import checks
from probes.arrays import real

Shape = tuple[int, int, int]
Hidden = ArrayLike | Callable[[np.ndarray], ArrayLike] | Iterator[ArrayLike]


class Batch(NamedTuple):
    """Hidden states of some prompts.

    Attributes:
        rows: indices of the prompts, ascending.
        states: an array that holds their states, (layers, any, tokens, features).
        places: where these prompts are on the second axis of `states`.
    """

    rows: Int[np.ndarray, " rows"]
    states: Shaped[np.ndarray, "layers any tokens features"]
    places: Int[np.ndarray, " rows"] | slice


class Source(ABC):
    """A source that hands out hidden states in batches.

    Attributes:
        shape: numbers of layers, tokens and features.
    """

    shape: Shape

    @abstractmethod
    def batches(self, rows: Int[np.ndarray, " rows"], size: int) -> Iterator[Batch]:
        """Yields the prompts `rows` (ascending), at most about `size` at a time."""


class ArraySource(Source):
    """An array of hidden states."""

    def __init__(self, hidden: np.ndarray):
        self.states = real("hidden", hidden)
        self.shape = _without_prompts(hidden.shape)

    def batches(self, rows: Int[np.ndarray, " rows"], size: int) -> Iterator[Batch]:
        """Yields views: nothing is copied."""
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            yield Batch(some, self.states, some)


class FunctionSource(Source):
    """A function that computes hidden states when they are asked for.

    The first batch is asked for at once, since it tells the shape.
    """

    def __init__(
        self, hidden: Callable[[np.ndarray], Any], first: Int[np.ndarray, " rows"]
    ):
        self.function = hidden
        states = self._call(first)
        self.shape = _without_prompts(states.shape)
        self.ahead = [(first, states)]

    def batches(self, rows: Int[np.ndarray, " rows"], size: int) -> Iterator[Batch]:
        """Yields what the function returns for each batch of rows."""
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            ahead = self.ahead.pop() if self.ahead else None
            if ahead and np.array_equal(some, ahead[0]):
                states = ahead[1]
            else:
                states = self._call(some)
            layers, tokens, features = self.shape
            expected = (layers, len(some), tokens, features)
            if states.shape != expected:
                raise ValueError(
                    f"hidden(rows) must return {checks.AXES} = {expected} for "
                    f"{len(some)} rows, got shape {states.shape}."
                )
            yield Batch(some, states, slice(None))

    def _call(self, rows: np.ndarray) -> np.ndarray:
        """Calls the function, and says for which rows it failed."""
        try:
            return real("the array", self.function(rows))
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(
                f"hidden(rows) failed for rows {rows[0]} to {rows[-1]}: {error}"
            ) from error


class IteratorSource(Source):
    """An iterator over hidden states, each of which comes by once."""

    def __init__(self, hidden: Iterator[Any], prompts: int):
        self.iterator, self.prompts = hidden, prompts
        self.seen = 0
        self.shape = (0, 0, 0)
        self.states: Any = self._next()
        self.shape = _without_prompts(self.states.shape)

    def batches(self, rows: Int[np.ndarray, " rows"], size: int) -> Iterator[Batch]:
        """Yields those of `rows` that are in each batch of the iterator.

        The iterator decides the size of its batches, whatever `size` says.
        """
        while rows[-1] >= self.seen:
            count = self.states.shape[1]
            wanted = rows[(rows >= self.seen) & (rows < self.seen + count)]
            if len(wanted):
                yield Batch(wanted, self.states, _view(wanted - self.seen))
            if rows[-1] < self.seen + count - 1:
                return  # the rest of this batch is for who asks next
            self.seen += count
            self.states = None  # goes before the next one is made
            if self.seen < self.prompts:
                self.states = self._next()
            elif next(self.iterator, None) is not None:
                raise self._too_many()

    def _next(self) -> np.ndarray:
        """Takes the next batch, and says after how many prompts that failed."""
        try:
            states = real("the array", next(self.iterator))
        except StopIteration:
            raise ValueError(
                f"hidden ended after {self.seen} prompts, but the targets have "
                f"{self.prompts}."
            ) from None
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(
                f"hidden failed after {self.seen} of {self.prompts} prompts: {error}"
            ) from error
        shape = _without_prompts(checks.four_axes(states.shape))
        if any(self.shape) and shape != self.shape:
            raise ValueError(
                "hidden changed its shape: (layers, tokens, features) were "
                f"{self.shape}, and are {shape} after {self.seen} prompts."
            )
        if self.seen + states.shape[1] > self.prompts:
            raise self._too_many()
        return states

    def _too_many(self) -> ValueError:
        """Makes the error for more prompts than targets."""
        return ValueError(
            f"hidden has more prompts than the {self.prompts} of the targets."
        )


def _view(places: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"] | slice:
    """Returns ascending places as a slice, which copies nothing, if there is no gap."""
    first, last = int(places[0]), int(places[-1])
    return slice(first, last + 1) if last - first + 1 == len(places) else places


def comes_in_order(hidden: Any) -> bool:
    """Returns whether prompts come in their own order, whatever is asked for."""
    return isinstance(hidden, Iterator)


def comes_when_asked(hidden: Any) -> bool:
    """Returns whether this is a function of rows; a class is none."""
    return callable(hidden) and not isinstance(hidden, type)


def open_source(hidden: Any, prompts: int, first: Int[np.ndarray, " rows"]) -> Source:
    """Returns the source of what the user gave as `hidden`.

    Args:
        hidden: an array, a function of rows, or an iterator.
        prompts: the number of prompts that there must be.
        first: the rows that will be asked for first.

    Raises:
        ValueError: not four axes, or an empty one; anything but real numbers.
    """
    if comes_when_asked(hidden):
        return FunctionSource(hidden, first)
    if comes_in_order(hidden):
        return IteratorSource(hidden, prompts)
    return ArraySource(hidden)


def _without_prompts(shape: tuple[int, ...]) -> Shape:
    """Returns the numbers of layers, tokens and features."""
    layers, _, tokens, features = checks.four_axes(shape)
    return layers, tokens, features
