"""Which transformer? Its shape, and which of the published variants it is.

The layer of Akyürek et al. 2023 comes in versions that differ: their equations 1-7
(`norm="paper"`), their released code (`norm="code"`) and what everyone else calls
pre-norm (`norm="pre"`). Pre-norm is the default because it trains best: after 2,000
steps at d = 4 (8 layers x 32, one seed, learning rate 2e-3) its SPD / d to least
squares is 0.07 and that of "code" 0.14, while "paper" and "none" have learned nothing
(0.82).
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from icl import checks

Norm = Literal["pre", "paper", "code", "none"]

MOST_LAYERS = 10_000
"""The most layers. All of them are traced, which takes minutes for a thousand."""

WIDEST = 2**20
"""The largest size of a vector inside a layer; its square is that of a matrix."""


@dataclass(frozen=True)
class ModelConfig:
    """The shape and the variant of a transformer.

    Attributes:
        layers: the number of decoder layers.
        width: the size H of the residual stream.
        heads: the number M of attention heads per layer.
        head_dim: the size of one head; None is width / heads. (The paper's released
            code has width / heads^2, by accident.)
        mlp_width: the number of units of the MLP; None is 4 width, 0 leaves the MLP
            out.
        norm: the place of LayerNorm. If A is attention and F the MLP:
            "pre":   h <- h + A(LN h);  h <- h + F(LN h)
            "paper": h <- h + A(h);     h <- h + F(LN h)  (Eq. 4; LN has no parameters)
            "code":  h <- LN h; h <- h + A(h); h <- LN h; h <- h + F(h)
            "none":  h <- h + A(h);     h <- h + F(h)
        final_norm: whether a LayerNorm stands in front of the read-out.
        activation: the MLP's GELU: the "tanh" approximation, or the exact "erf".
        attention: "softmax", or "linear", which uses scores as they are.
        scale_scores: whether scores are divided by sqrt(head_dim), which the paper's
            formula does not do.
        init: "lecun" normal kernels and zero biases (flax); "small", normal kernels of
            deviation 0.1, with which linear attention begins near 0; or "uniform", the
            paper's:
            U(-1/sqrt k, 1/sqrt k), where k is the number of inputs of a kernel, the
            length of a bias, or the number of rows of the table of positions.
        bias: whether linear maps have biases.
        shared_layers: whether all layers are one and the same, which is then applied
            `layers` times, as in a looped transformer.
        ends: "learned": a read-in, positions and a read-out; or "tokens": the residual
            stream is the tokens themselves, and a prediction is their first entry with
            its sign turned: the y of a query, which is 0 at first and which gradient
            descent takes to -w.x (`icl.constructed.linear_attention`).
        body: "attention", or "lstm": layers of an LSTM, of which heads, mlp_width, norm
            and all that is about attention say nothing.

    Raises:
        ValueError: a size is below 1, the heads do not divide the width, or a variant
            is unknown, or a flag is neither True nor False; or an LSTM has no ends of
            its own, or a final norm stands where there is no read-out.
    """

    layers: int = 4
    width: int = 64
    heads: int = 1
    head_dim: int | None = None
    mlp_width: int | None = None
    norm: Norm = "pre"
    final_norm: bool = True
    activation: Literal["tanh", "erf"] = "tanh"
    attention: Literal["softmax", "linear"] = "softmax"
    scale_scores: bool = True
    init: Literal["lecun", "small", "uniform"] = "lecun"
    bias: bool = True
    shared_layers: bool = False
    ends: Literal["learned", "tokens"] = "learned"
    body: Literal["attention", "lstm"] = "attention"

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "layers", maximum=MOST_LAYERS)
        widest = {"maximum": WIDEST}
        checks.normalise(self, checks.positive_int, "width", "heads", **widest)
        if self.head_dim is not None:
            checks.normalise(self, checks.positive_int, "head_dim", **widest)
        elif self.width % self.heads and self.body == "attention":
            raise ValueError(
                f"width must be divisible by heads, got width={self.width} and "
                f"heads={self.heads}; change one of them or give head_dim."
            )
        if self.mlp_width is not None:
            checks.normalise(
                self, checks.positive_int, "mlp_width", minimum=0, **widest
            )
        flags = ("final_norm", "scale_scores", "bias", "shared_layers")
        checks.normalise(self, checks.flag, *flags)
        checks.one_of("norm", self.norm, get_args(Norm))
        checks.one_of("activation", self.activation, ("tanh", "erf"))
        checks.one_of("attention", self.attention, ("softmax", "linear"))
        checks.one_of("init", self.init, ("lecun", "small", "uniform"))
        checks.one_of("ends", self.ends, ("learned", "tokens"))
        checks.one_of("body", self.body, ("attention", "lstm"))
        if self.ends == "tokens" and (self.final_norm or self.body == "lstm"):
            raise ValueError(
                "ends must be 'learned' for an LSTM and where there is a final norm, "
                "got 'tokens'; add final_norm=False and body='attention'."
            )

    @classmethod
    def linear_attention(cls, dim: int, layers: int, **changes: Any) -> "ModelConfig":
        """Returns linear attention alone on joint tokens (y, x), as steps on them.

        It has no softmax, norm, MLP, bias, read-in, positions or read-out (von Oswald
        et al. 2023). `changes` are other fields.
        """
        dim = checks.positive_int("dim", dim, maximum=WIDEST - 1)
        settings: dict[str, Any] = {"layers": layers, "width": dim + 1, "mlp_width": 0}
        settings |= {"norm": "none", "final_norm": False, "attention": "linear"}
        settings |= {"scale_scores": False, "bias": False, "ends": "tokens"}
        settings["init"] = "small"
        return cls(**(settings | changes))

    @classmethod
    def paper(cls, **changes: Any) -> "ModelConfig":
        """Returns the best model of Akyürek et al. 2023 by validation loss (Table 1).

        It has 16 layers, width 512 and 4 heads, with the layer of the released code
        (which is what was trained) and full-width heads. `changes` are other fields.
        """
        settings: dict[str, Any] = {"layers": 16, "width": 512, "heads": 4}
        settings |= {"norm": "code", "final_norm": False, "init": "uniform"}
        return cls(**(settings | changes))
