"""Edited states, put back into a PyTorch model: `resume`, and a check that it works.

`probes.torch` says how layers are counted.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy.typing import ArrayLike

from probes import checks
from probes.arrays import real
from probes.torch.collecting import states
from probes.torch.hooks import batches
from probes.torch.runs import Runs

SAME = 1e-4
"""The largest change of outputs, as a share of the largest of them, that is rounding.

States are float32, whatever the model computes in."""

LARGE = 10.0
"""The size of the edit that must change something, in standard deviations."""


class EditEffects(NamedTuple):
    """What edits before each block change of the outputs, from `check_edits`.

    The largest change of any output, as a share of the largest output, (layers,).

    Attributes:
        identity: where each state was replaced by itself; rounding at most.
        noise: where large noise was added to each state.
    """

    identity: Float32[np.ndarray, " layers"]
    noise: Float32[np.ndarray, " layers"]


def resume(
    model: Any,
    inputs: Any,
    layer: int,
    edited: ArrayLike,
    *,
    blocks: str | Iterable[Any],
    batch: int = 32,
    read: Callable[[Any], Any] | None = None,
) -> Float32[np.ndarray, "prompts ..."]:
    """Runs the model with another residual stream from some layer on.

    The whole model is run: the blocks before that layer too, whose result is replaced.
    With the states that `states` has collected there, the outputs are those of the
    model that nobody touched.

    Args:
        model: a `torch.nn.Module`.
        inputs: what the model is called with, as in `states`.
        layer: where the stream is replaced: before block `layer`, or behind the last
            block if there are `layer` blocks.
        edited: the stream that takes its place, (prompts, tokens, features), such as
            `probes.write(hidden[layer], ...)`. It is moved to the device and the dtype
            of the state that it replaces.
        blocks: the blocks of the model, as in `states`.
        batch: number of prompts that are run together.
        read: a function that takes what the model returns for a batch and returns the
            tensor that is wanted, (batch, ...), such as `lambda out: out.logits[:,
            -1]`. Without it, that is the output itself, its `logits`, its
            `last_hidden_state` or the first of a tuple.

    Returns:
        What was read, for all prompts, in float32.

    Raises:
        ValueError: as in `states`; a layer that does not exist, an edited stream of
            another shape, with NaN or with numbers that the dtype of the model's own
            does not hold, outputs in which `read` finds no tensor of prompts.
        ImportError: PyTorch is not installed.
    """
    runs = Runs(model, inputs, blocks)
    place = checks.integer("layer", layer, 0, len(runs.blocks))
    array = real("edited", edited)
    if array.ndim != 3 or len(array) != runs.prompts:
        raise ValueError(
            f"edited must have axes (prompts, tokens, features) with {runs.prompts} "
            f"prompts, as the inputs have, got shape {array.shape}."
        )
    checks.finite("edited", array)
    outputs = [
        runs.read(rows, read, layer=place, stream=array[rows])
        for rows in batches(runs.prompts, batch)
    ]
    return np.concatenate(outputs)


def check_edits(
    model: Any,
    inputs: Any,
    *,
    blocks: str | Iterable[Any],
    batch: int = 32,
    read: Callable[[Any], Any] | None = None,
    seed: int = 0,
) -> EditEffects:
    """Checks, at every layer, that edits reach the outputs, and nothing else does.

    Two edits are tried on all prompts: each state is replaced by itself, which must not
    change the outputs by more than rounding; and noise of ten standard deviations is
    added to each, which must change them. (The first alone proves nothing: a hook that
    never fires passes it.) A few prompts are enough.

    Args:
        model: a `torch.nn.Module`.
        inputs: what the model is called with, as in `states`.
        blocks: the blocks of the model, as in `states`.
        batch: number of prompts that are run together.
        read: what of the outputs is compared, as in `resume`.
        seed: decides the noise.

    Returns:
        How much either edit changed the outputs at each layer.

    Raises:
        ValueError: an edit at some layer fails, and what that means; and as in
            `resume`.
        ImportError: PyTorch is not installed.
    """
    runs = Runs(model, inputs, blocks)
    blocks = list(runs.blocks.values())  # `blocks` may be an iterator
    hidden = states(model, inputs, blocks=blocks, batch=batch)
    checks.finite("the states that the inputs lead to", hidden)
    parts = [runs.read(rows, read) for rows in batches(runs.prompts, batch)]
    before = np.concatenate(parts)
    rng = np.random.default_rng([checks.seed(seed), 5])

    def effect(layer: int, edited: np.ndarray) -> float:
        after = resume(
            model, inputs, layer, edited, blocks=blocks, batch=batch, read=read
        )
        return _change(before, after)

    identity, noise = [], []
    for layer, state in enumerate(hidden):
        identity.append(effect(layer, state))
        noise.append(effect(layer, _noisy(state, rng)))
        _refuse_faulty(layer, identity[-1], noise[-1])
    return EditEffects(np.asarray(identity, np.float32), np.asarray(noise, np.float32))


def _refuse_faulty(layer: int, identity: float, noise: float) -> None:
    """Refuses a layer at which edits change too much or nothing."""
    if not identity <= SAME:
        raise ValueError(
            f"replacing the states of layer {layer} by themselves changes the outputs "
            f"by {identity:.2g} of the largest. Either the model gives other outputs "
            "each time (dropout that eval mode does not switch off?), or the stream is "
            "not all in the tensor that was replaced."
        )
    if not noise > SAME:
        raise ValueError(
            f"large noise in the states of layer {layer} does not change the outputs: "
            "the model goes on with something else than what was replaced, or the "
            "outputs that are read do not depend on it; see `blocks` and `read`."
        )


def _change(before: np.ndarray, after: np.ndarray) -> float:
    """Returns the largest change, as a share of the largest output; NaN counts as so.

    Equal outputs, also infinite ones (such as logits that are masked), are unchanged.
    """
    finite = np.abs(before[np.isfinite(before)])
    with np.errstate(invalid="ignore"):
        change = np.where(before == after, 0.0, np.abs(after - before))
    largest = float(np.nan_to_num(change, nan=np.inf).max())
    return largest / float(finite.max()) if finite.any() else largest


def _noisy(state: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns states with large noise."""
    size = LARGE * (float(state.std()) or 1.0)
    return state + rng.normal(scale=size, size=state.shape).astype(np.float32)
