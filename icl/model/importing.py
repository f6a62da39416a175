"""How do weights of other programs become a `Transformer`? By name, without loss.

Three published programs have trained transformers on the same sequences. Their weights
are known by the names of the read-in:

    _read_in.weight               Garg et al. 2022 and those who use their code, such as
                                  Fu et al. 2024: GPT-2 of Hugging Face
    _in.kernel                    Raventos et al. 2023: GPT-2 in flax
    Transformer_0.Dense_0.kernel  Akyürek et al. 2023: their own layer, in flax

Predictions and hidden states are then those of the original, up to round-off:

- `Output.hidden[l]` is the residual stream after l layers, in front of the final norm.
  The last of Hugging Face's `hidden_states` is behind it: that is
  `model.normalised(output.hidden[-1])`.
- No prompt here has a token of its last y (`icl.codecs.pairs`), so that their last
  state is missing, and their table of positions loses a row. Nothing is read there.
- Garg et al. write y into the first entry of a vector of zeros, in the place of x_1.
  Here it has an entry of its own, and row 0 of the read-in's kernel is a copy of row 1.
- Raventos et al. have no bias in read-in and read-out; it is 0 here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icl import checks
from icl.arrays import plain
from icl.codecs import Pairs, pairs
from icl.model.building import model_from_arrays
from icl.model.forms import FORMS, Arrays, Form
from icl.model.sources import arrays_from
from icl.model.transformer import Transformer


def import_model(
    source: Mapping[Any, Any] | str | Path,
    *,
    heads: int | None = None,
    length: int | None = None,
    dtype: str = "float32",
) -> Transformer:
    """Returns the transformer of another program, known by the names of its weights.

    The module lists the programs, and says what differs. Dropout is left out. The
    activation must be GELU in its tanh approximation, and for Akyürek et al. LayerNorm
    must come first (`norm_first`), as their programs have it by default: weights do
    not tell.

    Args:
        source: a dictionary of arrays, which may be nested and hold tensors of PyTorch;
            the path of a safetensors file; or that of a checkpoint of PyTorch (state.pt
            of Garg et al.), of which no code is run. The state of an optimiser beside
            the weights is left out.
        heads: the number of attention heads, which weights of GPT-2 do not tell: see
            n_head in the run's configuration. A wrong one that divides the width gives
            another model, and no error. None is allowed for Akyürek et al. alone.
        length: the number of pairs of the longest prompt; None is as many as there are
            positions for. (Some positions may never have been trained: Akyürek et al.
            have a pair more than they train with.)
        dtype: "float32" or "float64", in which the model is then to be called.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: it is a file of PyTorch, which is not installed.
        ValueError: the weights are of no known program, or some are missing, left over,
            of another shape or not finite; or heads or length do not fit them.

    Example:
        >>> model = import_model("state.pt", heads=8)  # doctest: +SKIP
        >>> prompts = LinearRegression(20, 41).sample(key, batch=64)  # doctest: +SKIP
        >>> model(prompts).predictions  # doctest: +SKIP
    """
    form, arrays = _recognised(arrays_from(source))
    if heads is not None:
        heads = checks.positive_int("heads", heads)
    config, dim, weights = form.read(arrays, heads)
    rows = len(weights["positions"])
    most = (rows + 1) // 2
    length = most if length is None else checks.positive_int("length", length)
    if length > most:
        raise ValueError(
            f"length must be at most {most}, because the weights have {rows} positions "
            f"and n pairs take 2 n - 1, got {length}; leave it out to use all of them."
        )
    weights["positions"] = weights["positions"][: pairs.token_count(length)]
    return model_from_arrays(Pairs(dim, length), config, weights, dtype)


def _recognised(arrays: Arrays) -> tuple[Form, Arrays]:
    """Returns the form of weights, and the weights without what wrappers prepend."""
    for form in FORMS:
        found = [name for name in arrays if f".{name}".endswith(f".{form.mark}")]
        if len(found) == 1:
            # "module." of torch.nn.DataParallel, "params." of flax, and the like
            before = found[0].removesuffix(form.mark)
            return form, {
                name.removeprefix(before): array for name, array in arrays.items()
            }
    if "read_in.kernel" in arrays:
        raise ValueError(
            "these weights have the names of icl itself; read a file that "
            "Trained.export has written with icl.load, or make a model of a "
            "dictionary with icl.model_from_arrays."
        )
    known = " or ".join(f"{form.mark} ({form.whose})" for form in FORMS)
    first = [plain(name) for name in sorted(arrays)[:3]]
    names = ", ".join([*first, "..."][: len(arrays)]) or "no arrays"
    raise ValueError(
        f"source must hold the weights of a known program, with the name {known}, "
        f"got {names}; rename them, or make a model with icl.model_from_arrays."
    )
