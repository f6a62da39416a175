"""A task of sums that are written out, character by character (Lee et al. 2023).

Its hidden quantities (carries, column sums, digits) are known and discrete, so that it
is the sharpest test that a probe can have. `icl.arithmetic` says how sums are written
and which ones are drawn.

Shapes: `Lines`, whose latents "a" and "b" are the operands, (batch, lines).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from icl import checks
from icl.arithmetic import places
from icl.arithmetic.columns import MOST_DIGITS, operands
from icl.arithmetic.formats import (
    ALPHABETS,
    LAYOUTS,
    SCRATCHPADS,
    Layout,
    Worked,
    Written,
    longest,
    render,
    work_out,
)
from icl.arithmetic.fresh import fresh_pairs, random_working
from icl.arithmetic.pairs import (
    ENUMERATED,
    LAWS,
    Law,
    Pairs,
    check_examples,
    check_left_out,
    training_pairs,
    unseen_pairs,
)
from icl.arithmetic.places import POSITIONS, Positions
from icl.arithmetic.reading import answer_of, asked_of
from icl.arithmetic.shares import pair_shares, set_shares
from icl.arrays import shown
from icl.codecs import Characters, Lines
from icl.tasks.base import Task

MOST_EXAMPLES = 10**6
"""The largest training set: it is a constant of the compiled program."""

MOST_LINES = 64
"""The most sums in one sequence."""


@dataclass(frozen=True)
class Addition(Task):
    r"""A task of sums a + b of whole numbers, written as text.

    A training set of `examples` sums is drawn once, and batches are drawn from it;
    `test` has other sums. Without `examples`, every batch has fresh sums.

    Attributes:
        digits: the number n of digits of an operand, 1 to 9.
        layout: how a sum is written: "plain", "reverse" (the answer's units first), or
            with a "simplified" or "detailed" scratchpad.
        padded: whether operands are written with n digits, and answers with n + 1. None
            is yes, except with a scratchpad, which has no padding.
        wrapped: whether a line stands between dollar signs; None is for "reverse" only.
        examples: the number of sums in the training set; None is all there are.
        law: which sums are drawn (`icl.arithmetic.pairs`): "uniform", balanced by
            "carries", or of several "lengths".
        left_out: operands that no sum of training has.
        lines: the number of sums in a sequence, one after the other.
        loss_on: what is trained on: the "answer" of each sum with its end, or "all".
        corrupt: what a simplified scratchpad says at random: "A" (digits), "C"
            (carries), or both. It says the same of a sum whenever that is written.
        positions: the rows of the table of positions: "absolute"; or "coupled", where
            digits of equal significance share one, and each sign has its own; or
            "abacus", where all signs share one. The latter two are for padded lines,
            and where there is more `room` than n digits, they begin at a random
            significance in training.
        room: the most digits that the table of positions and the lines have room for,
            so that a model can be asked about longer sums; None is n.
        seed: the training set and the test set are drawn from it.

    Raises:
        ValueError: a field is out of its range, or two do not go together.

    Example:
        >>> task = Addition(digits=3, layout="reverse")
        >>> task.line(128, 367), task.prompt(128, 367)
        ('$128+367=5940$\n', '$128+367=')
        >>> task.sample(jax.random.key(0), batch=4).ids.shape
        (4, 15)
    """

    digits: int = 3
    layout: Layout = "plain"
    padded: bool | None = None
    wrapped: bool | None = None
    examples: int | None = None
    law: Law = "uniform"
    left_out: tuple[int, ...] = ()
    lines: int = 1
    loss_on: Literal["answer", "all"] = "answer"
    corrupt: tuple[str, ...] = ()
    positions: Positions = "absolute"
    room: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "digits", maximum=MOST_DIGITS)
        checks.one_of("layout", self.layout, LAYOUTS)
        checks.one_of("law", self.law, LAWS)
        checks.one_of("loss_on", self.loss_on, ("answer", "all"))
        checks.one_of("positions", self.positions, POSITIONS)
        checks.normalise(self, checks.positive_int, "lines", maximum=MOST_LINES)
        checks.normalise(self, checks.positive_int, "seed", minimum=0)
        for name in ("padded", "wrapped"):
            if getattr(self, name) is not None:
                checks.normalise(self, checks.flag, name)
        if self.room is not None:
            sizes = {"minimum": self.digits, "maximum": MOST_DIGITS}
            checks.normalise(self, checks.positive_int, "room", **sizes)
        self._check_layout()
        self._check_corrupt()
        left_out = check_left_out(self.digits, self.left_out)
        object.__setattr__(self, "left_out", left_out)
        if self.examples is not None:
            most = {"maximum": MOST_EXAMPLES}
            checks.normalise(self, checks.positive_int, "examples", **most)
        check_examples(self.digits, self.examples, self.law, self.left_out)

    # --- what a batch is ---

    @property
    def length(self) -> int:
        """The number of characters of a sequence."""
        return self.codec.count

    @property
    def codec(self) -> Characters:
        """The codec of the layout's characters."""
        return _codec(self)

    def sample(self, key: Key[Array, ""], *, batch: int) -> Lines:
        """Draws sequences of the training set, as a pure function of the key."""
        checks.typed_key("key", key)
        batch = checks.positive_int("batch", batch)
        sums_key, start_key = jax.random.split(key)
        shape = (batch, self.lines)
        if self.examples is None:
            a, b = fresh_pairs(sums_key, shape, self.digits, self.law, self.left_out)
        else:
            pairs = self._training(self.examples)
            index = jax.random.randint(sums_key, shape, 0, len(pairs.a))
            a, b = (jnp.asarray(part)[index] for part in pairs)
        spare = self._room - self.digits
        start = jax.random.randint(start_key, (batch, 1), 0, spare + 1)
        return self._lines(a, b, start)

    @property
    def unseen(self) -> int:
        """The number of sums that no training has seen, or of all without a set."""
        return 10 ** (2 * self.digits) - (self.examples or 0)

    def test(
        self,
        count: int,
        lines: int = 1,
        *,
        seed: int | None = None,
        with_left_out: bool = True,
    ) -> Lines:
        """Returns sums that no training has seen, the same ones whenever it is called.

        They are uniform over all sums that are not in the training set, and all differ.
        Without a training set every sum may occur in training.

        Args:
            count: the number of sequences.
            lines: the number of sums in each, at most the task's; all but the last are
                worked examples for it.
            seed: the sums are drawn from it; None is the seed of the task.
            with_left_out: whether sums may have operands that are left out of training.

        Raises:
            ValueError: there are not so many sums left, or more lines than the task's.
        """
        count = checks.positive_int("count", count)
        lines = checks.positive_int("lines", lines, maximum=self.lines)
        seed = self.seed if seed is None else seed
        with_left_out = checks.flag("with_left_out", with_left_out)
        seen = None if self.examples is None else self._training(self.examples)
        left_out = () if with_left_out else self.left_out
        pairs = unseen_pairs(self.digits, count * lines, seen, seed, left_out)
        return self.of(*(part.reshape(count, lines) for part in pairs))

    def of(self, a: Any, b: Any) -> Lines:
        """Returns given sums as lines.

        Args:
            a: the first operands, integers, (batch,) or (batch, lines), where there may
                be fewer lines than a sequence has room for.
            b: the second operands.

        Raises:
            ValueError: they are no integers from 0 to 10^n - 1, or more than a sequence
                has room for.
        """
        a, b = operands(a, b, self.digits)
        if a.ndim == 1:
            a, b = a[:, None], b[:, None]
        checks.shape_of("a", a, (None, None), "(batch, lines)")
        if not 1 <= a.shape[1] <= self.lines:
            raise ValueError(
                f"a must have 1 to {self.lines} sums in a sequence, got {a.shape[1]}."
            )
        return self._lines(a, b, np.zeros((len(a), 1), np.int32))

    def every_sum(self) -> Lines:
        """Returns all sums of operands of n digits, in order, each as one line.

        A million of them takes 0.1 GB if they are plain, and 5 GB with a detailed
        scratchpad.

        Raises:
            ValueError: they are more than a million, or there are several in a line.
        """
        if 10 ** (2 * self.digits) > ENUMERATED or self.lines > 1:
            raise ValueError(
                "every_sum needs digits up to 3 and lines=1, got "
                f"digits={self.digits} and lines={self.lines}."
            )
        return self.of(*np.divmod(np.arange(10 ** (2 * self.digits)), 10**self.digits))

    def shares(self) -> Float[np.ndarray, " sums"]:
        """Returns how probable `sample` makes each sum of `every_sum`.

        With them `prefix_ceilings` are those of what is trained on; without, of `test`.

        Raises:
            ValueError: the operands have more than 3 digits.
        """
        if self.examples is None:
            return pair_shares(self.digits, self.law, self.left_out)
        return set_shares(self.digits, self._training(self.examples))

    # --- one line as text ---

    def line(self, a: int, b: int) -> str:
        """Returns the line of one sum, with its end.

        Raises:
            ValueError: the operands are no integers from 0 to 10^n - 1.
        """
        written = self._one(a, b)
        return self.codec.text(written.ids[0])[: int(written.lengths[0])]

    def prompt(self, a: int, b: int) -> str:
        """Returns the line of one sum up to where its answer begins.

        Raises:
            ValueError: the operands are no integers from 0 to 10^n - 1.
        """
        written = self._one(a, b)
        return self.codec.text(written.ids[0])[: int(written.answers[0].argmax())]

    def read(self, prompts: str | Sequence[str]) -> Lines:
        """Returns prompts that are text as lines, for `icl.generation.generate`.

        Args:
            prompts: one or several, each written as `prompt` writes it.

        Raises:
            ValueError: a prompt is no text, holds no sum of operands of n digits, or is
                written otherwise; the message has the prompt as it should be.
        """
        several = [prompts] if isinstance(prompts, str) else list(prompts)
        asked = [asked_of(text, self.digits, self.prompt) for text in several]
        return self.of(*np.array(asked, int).reshape(-1, 2).T)

    def parse(self, text: str) -> int | None:
        """Returns the answer that a line gives, or None where it gives no number.

        A line without an end gives none.

        Raises:
            ValueError: this is no text.
        """
        return answer_of(text, self.layout)

    # --- how it is made ---

    @property
    def _padded(self) -> bool:
        return self.layout not in SCRATCHPADS if self.padded is None else self.padded

    @property
    def _wrapped(self) -> bool:
        return self.layout == "reverse" if self.wrapped is None else self.wrapped

    @property
    def _room(self) -> int:
        return self.digits if self.room is None else self.room

    def _training(self, examples: int) -> Pairs:
        return training_pairs(self.digits, examples, self.law, self.left_out, self.seed)

    def _one(self, a: Any, b: Any) -> Written:
        """Returns the line of one sum as places in the alphabet."""
        most = {"minimum": 0, "maximum": 10**self.digits - 1}
        a = np.array([checks.positive_int("a", a, **most)])
        b = np.array([checks.positive_int("b", b, **most)])
        return self._rendered([self._worked(a, b)])

    def _worked(self, a: Any, b: Any) -> Worked:
        """Returns sums worked out, and what a scratchpad is to say of them."""
        said = [None, None]
        if self.corrupt:
            random = random_working(
                self.seed, jnp.asarray(a), jnp.asarray(b), self.digits
            )
            if not isinstance(a, jax.Array):
                random = (np.asarray(part) for part in random)
            pairs = zip("AC", random, strict=True)
            said = [part if letter in self.corrupt else None for letter, part in pairs]
        return work_out(a, b, self.digits, self._padded, (said[0], said[1]))

    def _rendered(self, worked: list[Worked]) -> Written:
        tokens = self.codec.count
        return render(worked, self.layout, wrapped=self._wrapped, tokens=tokens)

    def _lines(self, a: Any, b: Any, start: Any) -> Lines:
        """Returns lines of operands, (batch, lines).

        `start`, (batch, 1), is how far the positions of digits are moved.
        """
        worked = [self._worked(a[:, line], b[:, line]) for line in range(a.shape[1])]
        ids, answers, lengths = self._rendered(worked)
        counted, positions = answers, None
        if self.loss_on == "all":
            counted = np.arange(ids.shape[1])[None] < lengths[:, None]
        if self.positions != "absolute":
            rows, of_digit = places.rows(self.codec.labels, self.positions)
            positions = rows[None] + of_digit[None] * start
        weights = counted.astype(np.float32)
        return Lines(ids, weights, answers, positions, {"a": a, "b": b})

    # --- what is refused ---

    def _check_layout(self) -> None:
        scratchpad = self.layout in SCRATCHPADS
        for name in ("padded", "wrapped"):
            if scratchpad and getattr(self, name):
                raise ValueError(
                    f"{name} must be None or False for the layout {self.layout!r}, "
                    "whose lines are written as released; it is for plain and reverse."
                )
        if self.positions != "absolute" and not (self._padded and self.lines == 1):
            raise ValueError(
                f"positions={self.positions!r} need padded lines, one in a sequence, "
                f"got padded={self._padded} and lines={self.lines}; use 'absolute'."
            )

    def _check_corrupt(self) -> None:
        if not isinstance(self.corrupt, tuple | list):
            raise ValueError(
                f"corrupt must be a tuple of letters, got {shown(self.corrupt)}."
            )
        letters = tuple(self.corrupt)
        for letter in letters:
            checks.one_of("corrupt", letter, ("A", "C"))
        if letters and self.layout != "simplified":
            raise ValueError(
                "corrupt is for the layout 'simplified', whose scratchpad says A and "
                f"C, got layout={self.layout!r}."
            )
        object.__setattr__(self, "corrupt", tuple(sorted(set(letters))))


@lru_cache(maxsize=128)
def _codec(task: Addition) -> Characters:
    """Returns the codec of a task's lines, which have room for longer ones."""
    padded, wrapped, room = task._padded, task._wrapped, task._room
    longest_line = longest(task.layout, room, padded=padded, wrapped=wrapped)
    tokens = task.lines * longest_line
    names, start, rows = (), 0, None
    if padded and task.lines == 1:
        layout = "reverse" if task.layout == "reverse" else "plain"
        names = places.labels(layout, task.digits, wrapped=wrapped, tokens=tokens)
        # Nothing is learnt from the characters of the prompt.
        start = names.index("=") if task.loss_on == "answer" else 0
    if task.positions != "absolute":
        rows = places.row_count(room, task.positions)
    return Characters(ALPHABETS[task.layout], tokens, start, rows, names)
