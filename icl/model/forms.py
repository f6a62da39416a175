"""What do published programs call their weights, and which of ours are they?

A form reads the weights of one program: it finds the model's shape in theirs, refuses
what does not fit, and returns every parameter under our names (`icl.model.importing`
says what the programs are, and what differs).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from icl import checks
from icl.arrays import plain
from icl.codecs import Pairs
from icl.model.building import abstract_params
from icl.model.config import ModelConfig
from icl.pytrees import misfits, named

Arrays = dict[str, np.ndarray]
Shapes = dict[str, tuple[int, ...]]


class Weights(NamedTuple):
    """The weights of another program in the names and shapes of this one.

    Attributes:
        config: the shape and the variant of the model.
        dim: the dimension of x.
        arrays: every parameter by name; of positions all rows that there are.
    """

    config: ModelConfig
    dim: int
    arrays: Arrays


class Form(NamedTuple):
    """One program's way to name weights.

    Attributes:
        whose: those who published the program.
        mark: a name that only its weights have, besides what stands in front of it.
        read: a function that takes its arrays and the number of heads, or None.
    """

    whose: str
    mark: str
    read: Callable[[Arrays, int | None], Weights]


# --- GPT-2 ---

BLOCK = {
    "ln_1": "norm_attention",
    "attn.c_attn": "attention.qkv",
    "attn.c_proj": "attention.out",
    "ln_2": "norm_mlp",
    "mlp.c_fc": "mlp.up",
    "mlp.c_proj": "mlp.down",
}
"""The parts of a block of GPT-2, and our names for them: both are laid out alike."""


def _garg(arrays: Arrays, heads: int | None) -> Weights:
    """Returns weights of Garg et al., GPT-2 of Hugging Face between linear maps."""
    arrays = {name: a for name, a in arrays.items() if not _is_buffer(name)}
    _, dim = _shape(arrays, "_read_in.weight", "(width, dim)")
    rows, width = _shape(arrays, "_backbone.wpe.weight", "(positions, width)")
    config = _gpt2_config(arrays, width, heads, "_backbone.h.{}.", "weight")
    names = _gpt2_names(config, "_backbone.h.{}.", "_backbone.ln_f", "weight", "weight")
    names |= {"_read_in.bias": "read_in.bias", "_read_out.bias": "head.bias"}
    names |= {"_backbone.wpe.weight": "positions"}
    ends: Shapes = {"_read_in.weight": (width, dim), "_read_out.weight": (1, width)}
    copied = _copied(arrays, names, ends, (config, dim, rows))
    kernel = arrays["_read_in.weight"].T
    copied["read_in.kernel"] = np.concatenate([kernel[:1], kernel])
    copied["head.kernel"] = arrays["_read_out.weight"].T
    return Weights(config, dim, copied)


def _is_buffer(name: str) -> bool:
    """Returns whether a name is none of a weight, but of a mask or unused table."""
    ends = (".attn.bias", ".attn.masked_bias")
    return name == "_backbone.wte.weight" or name.endswith(ends)


def _raventos(arrays: Arrays, heads: int | None) -> Weights:
    """Returns weights of Raventos et al., whose read-in and read-out have no bias."""
    entries, _ = _shape(arrays, "_in.kernel", "(dim + 1, width)")
    rows, width = _shape(arrays, "_h.wpe.embedding", "(positions, width)")
    config = _gpt2_config(arrays, width, heads, "_h.hs_{}.", "kernel")
    names = _gpt2_names(config, "_h.hs_{}.", "_h.ln_f", "kernel", "scale")
    names |= {"_in.kernel": "read_in.kernel", "_out.kernel": "head.kernel"}
    names |= {"_h.wpe.embedding": "positions"}
    copied = _copied(arrays, names, {}, (config, entries - 1, rows))
    copied |= {"read_in.bias": np.zeros(width), "head.bias": np.zeros(1)}
    return Weights(config, entries - 1, copied)


def _gpt2_config(
    arrays: Arrays, width: int, heads: int | None, block: str, kernel: str
) -> ModelConfig:
    """Returns the shape of a GPT-2, whose blocks and kernels have these names."""
    if heads is None:
        raise ValueError(
            "heads must be given, because weights of GPT-2 do not tell the number of "
            "attention heads; it is n_head in the configuration of their run."
        )
    if width % heads:
        raise ValueError(
            f"heads must divide {width}, the width of the weights, got {heads}; it is "
            "n_head in the configuration of their run."
        )
    up = f"{block.format(0)}mlp.c_fc.{kernel}"
    units = _shape(arrays, up, "(width, units)")[1]
    config = ModelConfig(layers=_layers(arrays, block), width=width, heads=heads)
    return config if units == 4 * width else replace(config, mlp_width=units)


def _gpt2_names(
    config: ModelConfig, block: str, final_norm: str, kernel: str, scale: str
) -> dict[str, str]:
    """Returns our names by theirs, which are alike but for these words."""
    parts = {final_norm: "final_norm"}
    for layer in range(config.layers):
        for theirs, ours in BLOCK.items():
            parts[f"{block.format(layer)}{theirs}"] = f"body.{layer}.{ours}"
    names = {f"{theirs}.bias": f"{ours}.bias" for theirs, ours in parts.items()}
    for theirs, ours in parts.items():
        norm = "norm" in ours
        leaf = "scale" if norm else "kernel"
        names[f"{theirs}.{scale if norm else kernel}"] = f"{ours}.{leaf}"
    return names


# --- the layer of Akyürek et al. ---


def _akyurek(arrays: Arrays, heads: int | None) -> Weights:
    """Returns weights of Akyürek et al., whose queries, keys and values are apart.

    A model that was trained to predict x too (`loss_on_x_steps`) has more outputs, of
    which the first is y's.
    """
    whole, block = "Transformer_0.", "Transformer_0.Encoder1DBlock_{}."
    table = f"{whole}PositionEmbeddings_0.pos_embedding"
    entries, _ = _shape(arrays, f"{whole}Dense_0.kernel", "(dim + 1, width)")
    _, rows, width = _shape(arrays, table, "(1, positions, width)")
    _, outputs = _shape(arrays, "Dense_0.kernel", "(width, outputs)")
    config = _akyurek_config(arrays, width, heads)
    names = {f"{whole}Dense_0.kernel": "read_in.kernel"}
    names |= {f"{whole}Dense_0.bias": "read_in.bias"}
    parts = {f"{whole}LayerNorm_0": "final_norm"} if config.final_norm else {}
    shapes: Shapes = {table: (1, rows, width)}
    shapes |= {"Dense_0.kernel": (width, outputs), "Dense_0.bias": (outputs,)}
    for layer in range(config.layers):
        own, ours = block.format(layer), f"body.{layer}."
        if config.norm == "code":
            parts[f"{own}LayerNorm_0"] = f"{ours}norm_attention"
            parts[f"{own}LayerNorm_1"] = f"{ours}norm_mlp"
        for number, map_ in enumerate(("up", "down")):
            for leaf in ("kernel", "bias"):
                theirs = f"{own}MLP_0.Dense_{number}.{leaf}"
                names[theirs] = f"{ours}mlp.{map_}.{leaf}"
        shapes |= _attention_shapes(f"{own}SelfAttention_0.", config)
    for theirs, ours in parts.items():
        names |= {f"{theirs}.{leaf}": f"{ours}.{leaf}" for leaf in ("scale", "bias")}
    copied = _copied(arrays, names, shapes, (config, entries - 1, rows))
    for layer in range(config.layers):
        own = f"{block.format(layer)}SelfAttention_0."
        joined = _joined_attention(arrays, own, width)
        copied |= {f"body.{layer}.attention.{n}": a for n, a in joined.items()}
    copied["positions"] = arrays[table][0]
    copied["head.kernel"] = arrays["Dense_0.kernel"][:, :1]
    copied["head.bias"] = arrays["Dense_0.bias"][:1]
    return Weights(config, entries - 1, copied)


def _akyurek_config(arrays: Arrays, width: int, heads: int | None) -> ModelConfig:
    """Returns the shape of a model of Akyürek et al., which its weights tell."""
    block = "Transformer_0.Encoder1DBlock_{}."
    first = block.format(0)
    query = f"{first}SelfAttention_0.query.kernel"
    _, found, head_dim = _shape(arrays, query, "(width, heads, head_dim)")
    if heads not in (None, found):
        raise ValueError(
            f"heads must be {found}, which is in the shapes of the weights, got "
            f"{heads}; leave it out."
        )
    units = _shape(arrays, f"{first}MLP_0.Dense_0.kernel", "(width, units)")[1]
    return ModelConfig(
        layers=_layers(arrays, block),
        width=width,
        heads=found,
        head_dim=None if found * head_dim == width else head_dim,
        mlp_width=None if units == 4 * width else units,
        norm="code" if f"{first}LayerNorm_0.scale" in arrays else "none",
        final_norm="Transformer_0.LayerNorm_0.scale" in arrays,
    )


def _attention_shapes(own: str, config: ModelConfig) -> Shapes:
    head = (config.heads, config.head_dim or config.width // config.heads)
    shapes: Shapes = {}
    for name in ("query", "key", "value"):
        shapes |= {f"{own}{name}.kernel": (config.width, *head)}
        shapes |= {f"{own}{name}.bias": head}
    return shapes | {
        f"{own}out.kernel": (*head, config.width),
        f"{own}out.bias": (config.width,),
    }


def _joined_attention(arrays: Arrays, own: str, width: int) -> Arrays:
    """Returns queries, keys and values side by side, and heads in one axis."""
    three = [f"{own}{name}" for name in ("query", "key", "value")]
    kernels = [arrays[f"{name}.kernel"].reshape(width, -1) for name in three]
    biases = [arrays[f"{name}.bias"].reshape(-1) for name in three]
    return {
        "qkv.kernel": np.concatenate(kernels, axis=1),
        "qkv.bias": np.concatenate(biases),
        "out.kernel": arrays[f"{own}out.kernel"].reshape(-1, width),
        "out.bias": arrays[f"{own}out.bias"],
    }


# --- all of them ---


def _shape(arrays: Arrays, name: str, axes: str) -> tuple[int, ...]:
    """Returns the shape of an array that must be there, and have so many axes."""
    if name not in arrays:
        raise ValueError(f"the weights must have {name} {axes}, which is missing.")
    count = axes.count(",") + 1
    checks.shape_of(name, arrays[name], (None,) * count, axes)
    return arrays[name].shape


def _layers(arrays: Arrays, block: str) -> int:
    """Returns the number of layers, by the largest number in the names of blocks.

    Raises:
        ValueError: it is more than there are arrays.
    """
    pattern = re.compile(re.escape(block).replace(r"\{\}", r"([0-9]+)"))
    found = [pattern.match(name) for name in arrays]
    last = max((match[1] for match in found if match), key=lambda n: (len(n), n))
    # Nothing is made for layers that are not there, whatever a name says.
    if len(last) > len(str(len(arrays))) or int(last) >= len(arrays):
        named = plain(block.format(last[:20]))
        raise ValueError(
            f"the weights do not fit together: there is {named}, of a "
            "layer whose number is larger than that of all arrays."
        )
    return 1 + int(last)


def _copied(
    arrays: Arrays,
    names: Mapping[str, str],
    others: Shapes,
    sizes: tuple[ModelConfig, int, int],
) -> Arrays:
    """Returns those arrays that need no change, by our names, once all are checked.

    Args:
        arrays: all arrays by their names.
        names: our name for each that is copied.
        others: the shapes of all others.
        sizes: the model's config, the dimension of x, and the number of positions.
    """
    config, dim, rows = sizes
    ours = named(abstract_params(Pairs(dim, 1), config))
    shapes = {name: leaf.shape for name, leaf in ours.items()}
    shapes["positions"] = (rows, config.width)
    wrong = misfits(arrays, others | {t: shapes[o] for t, o in names.items()})
    if wrong:
        raise ValueError(f"the weights do not fit together: {wrong}.")
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise ValueError(
                f"{plain(name)} must hold floats, got an array of {array.dtype}; if "
                "weights are quantised, multiply them by their scales first."
            )
        checks.all_finite(plain(name), array)
    return {own: arrays[theirs] for theirs, own in names.items()}


FORMS = (
    Form("Garg et al. 2022", "_read_in.weight", _garg),
    Form("Raventos et al. 2023", "_in.kernel", _raventos),
    Form("Akyürek et al. 2023", "Transformer_0.Dense_0.kernel", _akyurek),
)
"""The programs whose weights are known."""
