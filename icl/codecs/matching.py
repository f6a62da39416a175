"""Which characters does a model get right, and which answers as a whole?

A model's *greedy* answer is written one character at a time: each is the most probable
one after the prompt and the model's own characters so far. No loop is needed to know
whether it is right:

    The greedy answer is right if and only if, given the right characters before it,
    every character of the answer and its end are the most probable ones.

If all of them are, then by induction the greedy answer is the right one so far, at
every step, so that each next character is predicted from the right ones. If some are
not, look at the first of them: all before it are the most probable ones, so that the
greedy answer is right up to there and wrong at this one. Ties go to the first character
of the alphabet in both.

So one forward pass on right lines (*teacher forcing*) gives exact match. It does not
give the share of right characters of a greedy answer: after a wrong character the two
read different texts. `icl.generation` writes answers out.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool

from icl import checks
from icl.arrays import real
from icl.codecs.characters import Characters, Lines, answer_flags


def right_characters(
    predictions: Any, lines: Lines, codec: Characters
) -> Bool[np.ndarray, "batch slots"]:
    """Returns whether the most probable character at every slot is the one there.

    Args:
        predictions: the logits of a model that has read the lines, (batch, slots,
            alphabet).
        lines: the lines.
        codec: the codec of the model, `model.codec`.

    Raises:
        ValueError: the lines are not of that codec, or there are other slots.
    """
    checks.of_kind("codec", codec, Characters, "a codec of characters")
    lines = codec.check(lines)
    logits = np.asarray(real("predictions", predictions))
    sizes = (len(lines.ids), len(codec.slots), codec.entries)
    checks.shape_of("predictions", logits, sizes, "(batch, slots, alphabet)")
    checks.all_finite("predictions", logits)
    return logits.argmax(axis=-1) == np.asarray(lines.ids)[:, codec.start + 1 :]


def exact_match(
    predictions: Any, lines: Lines, codec: Characters
) -> Bool[np.ndarray, "batch answers"]:
    """Returns whether each answer is right, that is every character and its end.

    It is what greedy decoding gives, answer by answer, where all earlier lines of a
    sequence are right; see the module's text. An answer is a run of characters that
    `lines.answers` marks, and all sequences must have as many.

    Args:
        predictions: the logits of a model that has read the lines, (batch, slots,
            alphabet).
        lines: the lines.
        codec: the codec of the model, `model.codec`.

    Raises:
        ValueError: the lines are not of that codec, there are other slots, or sequences
            have different numbers of answers.
    """
    right = right_characters(predictions, lines, codec)
    marked = np.asarray(lines.answers)
    number = answer_numbers(marked)[:, codec.start + 1 :]
    return np.stack(
        [
            (right | (number != answer)).all(axis=1)
            for answer in range(int(number.max(initial=-1)) + 1)
        ],
        axis=1,
    )


def answer_numbers(answers: Any) -> np.ndarray:
    """Returns the number of the answer that each character belongs to, -1 for none.

    Raises:
        ValueError: these are no flags (batch, tokens), or sequences have different
            numbers of answers, or none.

    Example:
        >>> answer_numbers([[False, True, True, False, True]]).tolist()
        [[-1, 0, 0, -1, 1]]
    """
    marked = np.asarray(answer_flags(answers))
    checks.shape_of("answers", marked, (None, None), "(batch, tokens)")
    begins = marked & ~np.pad(marked, ((0, 0), (1, 0)))[:, :-1]
    counts = begins.sum(axis=1)
    if not counts.size or not counts.all() or len(set(counts.tolist())) > 1:
        raise ValueError(
            "answers must mark as many answers in every sequence, one or more, got "
            f"{sorted(set(counts.tolist()))} of them."
        )
    return np.where(marked, begins.cumsum(axis=1) - 1, -1)
