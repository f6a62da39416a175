"""How does a program become the weights of a transformer?

Each step becomes one layer (`layers` says how it computes) of `icl.Transformer` with
norm="paper", activation="erf", scale_scores=False and two heads. Here the layers' maps
become named parameters, and the position table gets the codes by which tokens find each
other.

Attention patterns. Token i of T has the key (cos, sin) of the angle pi i / T, and as
queries the keys of the tokens that it reads. Their inner product is largest there, and
the temperature, which is in W_Q, makes the softmax a choice. Two rows for each pattern
suffice for any T; the paper's one-hot codes need T rows. For a mean over the y-tokens
the key is the row "label" instead.

float64 is switched on while a model is built or called, never for the process.
"""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from icl import checks
from icl.codecs import Pairs, pairs
from icl.constructed.layers import (
    MOST,
    Layer,
    Layout,
    Precision,
    checked_precision,
    layer,
)
from icl.constructed.primitives import Reads, read_token
from icl.constructed.program import CONSTANTS, Program, constants
from icl.model.building import model_from_arrays
from icl.model.config import ModelConfig
from icl.model.transformer import Output, Transformer
from icl.prompts import Prompts, check_prompts
from icl.tasks.linear import LinearRegression
from icl.training.trained import Trained

Matrix = Float[np.ndarray, "_ _"]
Arrays = dict[str, np.ndarray]

SHARPNESS = 60.0
"""Scores of tokens that are not read lie this far below: their share is e^-60."""


@dataclass(frozen=True, eq=False)
class Constructed:
    """A transformer that runs a program, together with the program.

    Attributes:
        program: what it computes; `program.rows` says where the state holds what.
        model: the transformer. `Output.hidden[i]` is the state after i steps.
        precision: its dtype and scales.
    """

    program: Program
    model: Transformer
    precision: Precision

    def __call__(self, prompts: Prompts) -> Output:
        """Returns the model's output, computed in the precision's dtype.

        Look at float64 output with NumPy: JAX functions would round it to float32.
        """
        double = self.precision.dtype == "float64"
        # A GPU would else round float32 factors to TF32, which K^2 then magnifies.
        with jax.enable_x64(double), jax.default_matmul_precision("highest"):
            xs, ys, *_ = check_prompts(prompts)
            xs, ys = (a.astype(self.precision.dtype) for a in (xs, ys))
            return self.model(Prompts(xs, ys))

    @property
    def trained(self) -> Trained:
        """The form that `icl.save` takes: the model after no step of training."""
        task = LinearRegression(
            dim=self.program.dim, length=len(self.model.codec.slots)
        )
        return Trained.from_model(self.model, task)


def construct(
    program: Program, *, length: int, precision: Precision | None = None
) -> Constructed:
    """Returns the transformer that runs a program on prompts of up to `length` pairs.

    It has one layer for each step. Its width is `program.work` + 11 + the largest
    number of products in one step.

    Raises:
        ValueError: program is no `Program`, or length is below 1 or above `MOST`.
    """
    checks.of_kind("program", program, Program, "icl.constructed.Program(...)")
    length = checks.positive_int("length", length, maximum=MOST)
    precision = checked_precision(precision)
    rows = Layout.of(program)
    layers = [layer(step, rows, precision) for step in program.operations]
    config = ModelConfig(
        layers=len(layers),
        width=rows.width,
        heads=2,
        head_dim=max(2, *(len(_changed(each)) for each in layers)),
        mlp_width=max(len(each.up) for each in layers),
        norm="paper",
        final_norm=False,
        activation="erf",
        scale_scores=False,
    )
    arrays = _ends(program, rows, length)
    for number, each in enumerate(layers):
        named = {**_attention(each, rows, config, length), **_mlp(each, config)}
        arrays |= {f"body.{number}.{name}": array for name, array in named.items()}
    codec = Pairs(dim=program.dim, length=length)
    model = model_from_arrays(codec, config, arrays, precision.dtype)
    return Constructed(program, model, precision)


def _ends(program: Program, rows: Layout, length: int) -> Arrays:
    """Returns read-in (tokens to rows y and x), position table and read-out."""
    read_in = np.eye(program.dim + 1, rows.width)
    count = pairs.token_count(length)
    positions = np.zeros((count, rows.width))
    positions[:, list(rows.constants)] = constants(length)
    for reads in ("self", "input", "label"):
        angle = np.pi / count * read_token(reads, count)
        code = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        positions[:, list(rows.query(reads))] = code
    head = np.eye(rows.width)[:, list(program.rows["prediction"])]
    return {
        "read_in.kernel": read_in,
        "read_in.bias": np.zeros(rows.width),
        "positions": positions,
        "head.kernel": head,
        "head.bias": np.zeros(1),
    }


def _attention(each: Layer, rows: Layout, config: ModelConfig, length: int) -> Arrays:
    """Returns attention whose values are added to the rows that change, by W^F."""
    size = config.head_dim or 0
    queries, keys = zip(
        _scores(each.reads, rows, length), _scores("self", rows, length), strict=True
    )
    changed = _changed(each)
    values = each.attended[changed], each.own[changed]
    blocks = [_padded(part, size) for part in (*queries, *keys, *values)]
    scatter = _padded(np.eye(rows.width)[changed], size)
    return {
        "attention.qkv.kernel": np.concatenate(blocks).T,
        "attention.qkv.bias": np.zeros(len(blocks) * size),
        "attention.out.kernel": np.concatenate([scatter, scatter]),
        "attention.out.bias": each.constant,
    }


def _scores(reads: Reads, rows: Layout, length: int) -> tuple[Matrix, Matrix]:
    """Returns W_Q and W_K, two rows each, of a head that reads these tokens."""
    identity = np.eye(rows.width)
    if reads == "labels":
        one, label = (rows.constants[CONSTANTS.index(n)] for n in ("one", "label"))
        return SHARPNESS * identity[[one]], identity[[label]]
    # Of the tokens that are not read, the neighbours' scores are the highest.
    gap = 1 - np.cos(np.pi / pairs.token_count(length))
    query = SHARPNESS / gap * identity[list(rows.query(reads))]
    return query, identity[list(rows.query("self"))]


def _mlp(each: Layer, config: ModelConfig) -> Arrays:
    units = config.mlp_width or 0
    if not units:
        return {}
    return {
        "mlp.up.kernel": _padded(each.up, units).T,
        "mlp.up.bias": np.zeros(units),
        "mlp.down.kernel": _padded(each.down.T, units),
        "mlp.down.bias": each.shift,
    }


def _changed(each: Layer) -> np.ndarray:
    """Returns the rows to which attention adds something that it read."""
    return np.flatnonzero(np.any([each.attended, each.own], axis=(0, 2)))


def _padded(matrix: Matrix, count: int) -> Matrix:
    """Returns the rows and zeros up to `count`: units of a head left unused."""
    return np.pad(matrix, ((0, count - len(matrix)), (0, 0)))
