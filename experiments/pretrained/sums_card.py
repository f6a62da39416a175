"""What does the card of a model that adds say, and how is each number measured?

Answers are greedy, and right if every character and the end are
(`icl.codecs.matching`). How probable a right answer is, is measured on sums without any
training on them; where the model fails, on all sums that there are, none of them drawn.
The text is in `sums_card.md.jinja`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from matplotlib.figure import Figure

from experiments.engine.figures.style import BLACK, BLUE, GREY, canvas
from experiments.pretrained import card as usual_card
from icl import Trained, inference
from icl.arithmetic.columns import carries, column_sums
from icl.codecs import Lines
from icl.codecs.matching import exact_match, right_characters
from icl.generation import generate
from icl.skills import wilson_interval
from icl.tasks import Addition

TEMPLATE = Path(__file__).with_name("sums_card.md.jinja")

CHUNK = 20_000
"""The number of sums that are asked at once, where all are."""

MISSES = 8
"""The number of wrong answers that a card shows."""


def measure(trained: Trained, count: int) -> dict[str, Any]:
    """Measures how often a model that adds is right, and where it is not.

    Args:
        trained: the model.
        count: the number of sums without any training on them.

    Returns:
        The measurements as JSON. `exact` is the share of right answers among unseen
        sums, with its interval, and `digits` the shares of right digits, the units
        first, after right ones. Of all sums, `wrong` counts wrong answers, and so do
        `by_carries` and `by_cascade`, by the number of carries and by the longest run
        of columns that a carry goes through. `misses` are a few wrong answers.
    """
    task = addition_of(trained)
    lines = task.test(count)
    said = inference.predictions(trained.model, lines)
    right = exact_match(said, lines, task.codec)[:, -1]
    share = right.mean(keepdims=True)
    low, high = (
        float(end[0]) for end in wilson_interval(share, np.array([float(count)]))
    )
    a, b = _wrong_sums(trained, task)
    every = np.divmod(np.arange(10 ** (2 * task.digits)), 10**task.digits)
    return {
        "prompts": count,
        "exact": {"value": float(right.mean()), "low": low, "high": high},
        "digits": _digits(said, lines, task),
        "sums": len(every[0]),
        "wrong": len(a),
        "by_carries": _counts(_number_of_carries, every, (a, b), task.digits),
        "by_cascade": _counts(_longest_cascade, every, (a, b), task.digits),
        "misses": _misses(trained, task, a[:MISSES], b[:MISSES]),
    }


def addition_of(trained: Trained) -> Addition:
    """Returns the task of a model that adds, one padded sum in a line.

    Raises:
        ValueError: it is another task.
    """
    task = trained.task
    if not isinstance(task, Addition) or not task.codec.labels:
        raise ValueError(
            f"task must be an Addition of padded lines, one in a sequence, got {task}."
        )
    return task


def golden_predictions(trained: Trained) -> dict[str, np.ndarray]:
    """Returns a few lines, and the logits of the model in float64.

    `rounding` is the largest difference from those in float32 on this machine; float64
    has next to no rounding error.
    """
    lines = addition_of(trained).test(usual_card.GOLDEN)
    single = inference.predictions(trained.model, lines)
    a, b = _operands(lines)
    graphdef, params = nnx.split(trained.model)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda array: array.astype(jnp.float64), params)
        wide = lines._replace(weights=jnp.asarray(lines.weights, float))
        double = np.asarray(nnx.merge(graphdef, params)(wide).predictions)
    rounding = abs(single - double).max()
    return {"a": a, "b": b, "predictions": double, "rounding": rounding}


def card(
    name: str, trained: Trained, scores: Mapping[str, Any], about: Mapping[str, Any]
) -> str:
    """Returns the card in Markdown."""
    return usual_card.card(name, trained, scores, about, TEMPLATE)


def draw(trained: Trained, scores: Mapping[str, Any]) -> Figure:
    """Draws losses by step, and shares of wrong answers by number of carries."""
    history = trained.history
    held_out = history.held_out_loss
    window = max(1, trained.steps // 100)
    smooth = history.loss.rolling(step=window, center=True).mean()
    with canvas(8, 3) as figure:
        left, right = figure.subplots(1, 2)
        left.plot(history.step, smooth, color=GREY, lw=0.8, label="training")
        every = held_out.mean([dim for dim in held_out.dims if dim != "evaluation"])
        left.plot(history.evaluation, every, color=BLACK, marker=".", label="held out")
        left.set(yscale="log", xlabel="step")
        left.set_title("loss: cross-entropy, nats per character")
        left.legend()
        counts = scores["by_carries"]
        shares = [row["wrong"] / row["sums"] for row in counts]
        right.bar([row["of"] for row in counts], shares, color=BLUE, width=0.6)
        right.set_axisbelow(True)
        right.set_xticks([row["of"] for row in counts])
        right.set_xlabel("carries")
        right.set_title("share of all sums that is wrong")
    return figure


# --- all sums ---


def _wrong_sums(trained: Trained, task: Addition) -> tuple[np.ndarray, np.ndarray]:
    """Returns the operands of every sum that the model answers wrongly."""
    wrong = []
    for lines in _every_sum(task):
        said = inference.predictions(trained.model, lines)
        missed = ~exact_match(said, lines, task.codec)[:, -1]
        wrong.append(_operands(lines)[:, missed])
    a, b = np.concatenate(wrong, axis=1)
    return a, b


def _operands(lines: Lines) -> np.ndarray:
    """Returns the operands of lines of one sum, (2, sums)."""
    latents = lines.latents or {}
    return np.array([np.asarray(latents[name])[:, 0] for name in "ab"])


def _every_sum(task: Addition) -> Iterator[Lines]:
    for start in range(0, 10 ** (2 * task.digits), CHUNK):
        index = np.arange(start, min(start + CHUNK, 10 ** (2 * task.digits)))
        yield task.of(*np.divmod(index, 10**task.digits))


def _counts(kind: Any, every: Any, wrong: Any, digits: int) -> list[dict[str, int]]:
    """Returns how many sums of each kind there are, and how many are wrong."""
    total = np.bincount(kind(*every, digits))
    missed = np.bincount(kind(*wrong, digits), minlength=len(total))
    counts = zip(total.tolist(), missed.tolist(), strict=True)
    return [{"of": i, "sums": n, "wrong": k} for i, (n, k) in enumerate(counts)]


def _number_of_carries(a: np.ndarray, b: np.ndarray, digits: int) -> np.ndarray:
    return carries(a, b, digits).sum(axis=-1)


def _longest_cascade(a: np.ndarray, b: np.ndarray, digits: int) -> np.ndarray:
    """Returns the most columns of sum 9 in a row that hand a carry on."""
    handed = (column_sums(a, b, digits) == 9) & (carries(a, b, digits) == 1)
    run = longest = np.zeros(len(handed), int)
    for column in range(digits):
        run = (run + 1) * handed[:, column]
        longest = np.maximum(longest, run)
    return longest


def _digits(said: np.ndarray, lines: Lines, task: Addition) -> list[float]:
    """Returns the share of right digits, the units first."""
    codec = task.codec
    right = right_characters(said, lines, codec).mean(axis=0)
    names = [f"s{column}" for column in range(task.digits + 1)]
    return [float(right[codec.labels.index(s) - codec.start - 1]) for s in names]


def _misses(
    trained: Trained, task: Addition, a: np.ndarray, b: np.ndarray
) -> list[dict[str, int | None]]:
    """Returns what the model writes for some sums."""
    if not len(a):
        return []
    written = generate(trained.model, task.of(a, b))
    answers = [task.parse(task.codec.text(line)) for line in written]
    return [
        {"a": int(x), "b": int(y), "says": answer}
        for x, y, answer in zip(a, b, answers, strict=True)
    ]
