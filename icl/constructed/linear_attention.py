"""When is linear self-attention a step of gradient descent?

Without a softmax, a token adds to itself sum_k (q . k_k) v_k over the tokens k that it
sees. Take joint tokens (r_k, x_k), where r_k = y_k - w.x_k starts as y_k because w = 0,
keys and queries x, and values (-2 rate r, -gamma x). Then every token does

    r <- r - 2 rate sum_k r_k (x_k . x)        which is  w <- w + 2 rate X'r
    x <- x - gamma sum_k x_k (x_k . x)         which is  x <- (I - gamma X'X) x

The first line is one step of gradient descent on the squared error summed over pairs,
for all tokens at once, those of the context and the query alike; K layers are K steps.
With the second line, GD++, the next step works on data whose curvature has been evened
out. The query starts at r = 0 and ends at -w.x, which is read out with the sign turned.

Shapes: a prompt of n + 1 pairs gives n + 1 tokens of width dim + 1; the last pair's x
is the query, and its label is not used. Every token sees the n of the context, and not
the query: K > 1 steps are not possible under a causal mask, where the residual of an
early pair follows from the pairs before it only.

Source: von Oswald et al. 2023, "Transformers learn in-context by gradient descent"
(arXiv 2212.07677), Proposition 1 and appendix on GD++.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from icl import checks
from icl.codecs import Pairs
from icl.codecs.joint import context_mask, joint_tokens
from icl.constructed.layers import MOST
from icl.model.building import model_from_arrays
from icl.model.config import ModelConfig
from icl.model.transformer import Transformer
from icl.prompts import Prompts, check_prompts


def linear_config(dim: int, layers: int) -> ModelConfig:
    """Returns the config of linear attention alone, on tokens of width dim + 1."""
    return ModelConfig(
        layers=layers,
        width=dim + 1,
        heads=1,
        mlp_width=0,
        norm="none",
        final_norm=False,
        attention="linear",
        scale_scores=False,
    )


def linear_gradient_descent(
    steps: int, dim: int, rate: float, *, gamma: float = 0.0, dtype: str = "float64"
) -> Transformer:
    """Returns linear attention whose layers are gradient steps from w = 0.

    Its predictions are those of `predict_query`. With gamma = 0 it is
    `GradientDescent(steps, rate)`.

    Args:
        steps: number of layers, each of which is one step.
        dim: d.
        rate: step size, of the gradient summed over pairs.
        gamma: that of GD++: after each step x <- (I - gamma X'X) x. 0 is plain descent.
        dtype: of the parameters, "float64" or "float32".

    Raises:
        ValueError: a size is below 1, rate is not above 0, gamma is negative, one of
            them is too large for the dtype, or the dtype is another.

    Example:
        >>> prompts = Prompts(np.ones((1, 2, 1)), np.ones((1, 2)))
        >>> model = linear_gradient_descent(2, dim=1, rate=0.25)
        >>> predict_query(model, prompts).tolist()
        [0.75]
    """
    steps = checks.positive_int("steps", steps, maximum=MOST)
    dim = checks.positive_int("dim", dim, maximum=MOST)
    checks.one_of("dtype", dtype, ("float64", "float32"))
    config = linear_config(dim, steps)
    rate = checks.finite_number("rate", rate, positive=True)
    gamma = checks.finite_number("gamma", gamma)
    for name, weight in (("rate", 2 * rate), ("gamma", gamma)):
        checks.floats(name, weight, dtype)
    width = config.width
    only_x = np.diag([0.0, *[1.0] * dim])
    layer = {
        "attention.qkv.kernel": np.hstack([only_x, only_x, np.eye(width)]),
        "attention.qkv.bias": np.zeros(3 * width),
        "attention.out.kernel": np.diag([-2 * rate, *[-gamma] * dim]),
        "attention.out.bias": np.zeros(width),
    }
    arrays = {
        "read_in.kernel": np.eye(width),
        "read_in.bias": np.zeros(width),
        "positions": np.zeros((1, width)),
        "head.kernel": -np.eye(width)[:, :1],
        "head.bias": np.zeros(1),
    }
    for number in range(steps):
        arrays |= {f"body.{number}.{name}": array for name, array in layer.items()}
    return model_from_arrays(Pairs(dim, length=1), config, arrays, dtype)


def predict_query(model: Transformer, prompts: Prompts) -> Float[Array, " batch"]:
    """Returns the prediction at the last x of each prompt, from the pairs before it.

    It has the dtype of the model's parameters.

    Raises:
        ValueError: the model has softmax attention, or the prompts have another
            dimension than the model, shapes that disagree, NaN or infinity.
    """
    checks.of_kind("model", model, Transformer, "a transformer")
    if model.config.attention != "linear":
        raise ValueError(
            "predict_query needs a model with linear attention, as "
            f"linear_gradient_descent makes, got {model.config.attention!r}; call the "
            "model itself."
        )
    dtype = model.dtype
    with jax.enable_x64(dtype == jnp.float64):
        xs, ys, *_ = check_prompts(prompts)
        if xs.shape[-1] != model.codec.entries - 1:
            raise ValueError(
                f"prompts must have dim {model.codec.entries - 1} as the model does, "
                f"got {xs.shape[-1]}."
            )
        prompts = Prompts(xs.astype(dtype), ys.astype(dtype))
        mask = context_mask(xs.shape[1])
        output = model.resume(joint_tokens(prompts), 0, mask=mask)
        return model.read_out(output.hidden[-1][:, -1:])[:, 0]


def optimal_step(dim: int, pairs: int, *, width: float = 1.0) -> tuple[float, float]:
    """Returns the best rate of one gradient step for uniform inputs, and its loss.

    For x uniform on (-width/2, width/2)^d, w ~ N(0, I), no noise and w_0 = 0, one step
    gives w_1 = c S w with c = 2 rate and S = X'X of the n pairs. With the moments
    m2 = E x_1^2 = width^2/12 and m4 = E x_1^4 = width^4/80, the loss at a new x is

    $$L(c) = E[(w·x - w_1·x)²] = m_2 (d - 2c tr E[S] + c² tr E[S²])$$

    S is a sum of n independent x x', so that

    $$tr E[S] = n d m_2,  tr E[S²] = n d (m_4 + (d - 1) m_2²) + n (n - 1) d m_2²$$

    The minimum over c, and the loss there, are

    $$c = m_2 / (m_4 + (n + d - 2) m_2²),  L = d m_2 (1 - n m_2 c)$$

    For width 1 and d = n = 10: m2 = 1/12, m4 = 1/80, c = 20/33, L = 245/594 = 0.4125.
    Von Oswald et al. halve the loss; this one is not halved.

    Args:
        dim: d.
        pairs: n, in the context.
        width: of the interval from which each coordinate of x is drawn.

    Returns:
        The rate, of the gradient summed over pairs, and the mean squared error.

    Example:
        >>> [round(number, 4) for number in optimal_step(10, 10)]
        [0.303, 0.4125]
    """
    dim = checks.positive_int("dim", dim)
    pairs = checks.positive_int("pairs", pairs)
    width = checks.finite_number("width", width, positive=True)
    square = width * width
    m2, m4 = square / 12, square * square / 80
    if not math.isfinite(m4):
        raise ValueError(f"width is so large that its powers overflow, got {width:g}.")
    spread = m4 + (pairs + dim - 2) * m2**2
    return m2 / spread / 2, m2 * dim * (1 - pairs * m2**2 / spread)
