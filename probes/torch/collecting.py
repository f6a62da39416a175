"""`states`: the residual stream of a PyTorch model, at every layer.

`probes.torch` says how layers are counted.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from probes import checks
from probes.torch.hooks import batches
from probes.torch.runs import Runs
from probes.torch.store import Collected


def states(
    model: Any,
    inputs: Any,
    *,
    blocks: str | Iterable[Any],
    batch: int = 32,
    file: str | os.PathLike[str] | None = None,
) -> Float32[np.ndarray, "layers prompts tokens features"]:
    """Collects the residual stream before every block, and behind the last.

    Args:
        model: a `torch.nn.Module`. Its mode of training is as before afterwards.
        inputs: what the model is called with: a tensor or array of prompts, (prompts,
            ...); several of them in a tuple; or a dictionary of arguments by name, such
            as a tokenizer of Hugging Face returns. They are cut into batches along
            their first axis and moved to the model's device; what is neither tensor
            nor array is handed on as it is.
        blocks: the blocks of the model: the name of the module list that holds them, as
            `model.named_modules()` has it ("transformer.h" for GPT-2 of Hugging Face,
            "model.layers" for Llama); or a sequence of their names, or of the modules
            themselves.
        batch: number of prompts that are run together.
        file: a file for the states, whose name ends in ".npy", where they are more than
            memory holds. It appears once it is complete, and replaces an older one.

    Returns:
        The states, (layers, prompts, tokens, features), one layer more than there are
        blocks. With `file`, an array that is mapped to that file and cannot be written.

    Raises:
        ValueError: no such blocks (the message has the names that there are), a block
            that runs twice, not at all or out of order, one in which the stream cannot
            be told from other arguments, inputs that do not go together, numbers that
            the model's dtype or float32 does not hold, a file in no folder.
        ImportError: PyTorch is not installed.
    """
    if file is not None:
        checks.of_kind("file", file, str | os.PathLike, "the name of a file")
        file = Path(os.path.expanduser(file))
    runs = Runs(model, inputs, blocks)
    collected = Collected(runs.prompts, file)
    try:
        for rows in batches(runs.prompts, batch):
            layers = runs.record(rows)
            if rows.start == 0:
                _refuse_tokens_first(runs, rows, layers[0].shape)
            collected.add(rows, layers)
        return collected.finish()
    finally:
        collected.discard()


def _refuse_tokens_first(runs: Runs, rows: slice, shape: tuple[int, ...]) -> None:
    """Refuses a stream (tokens, prompts, features) that only looks as expected.

    It does so where there are as many prompts as tokens; with one prompt less it is
    found out.
    """
    count = rows.stop - rows.start
    if shape[0] == shape[1] == count > 1:
        fewer = runs.record(slice(0, count - 1))
        Collected(count - 1, None).add(slice(0, count - 1), fewer)
