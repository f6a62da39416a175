"""Which learning algorithms are written down as weights? SGD, ridge, a batch step.

Every function returns a `Constructed` transformer whose prediction at x_i is that of
the algorithm after the i pairs before it, for every i, as for `icl.baselines`. The
conventions are theirs, too: `rate` multiplies the gradient of the squared error, not
halved and *summed* over pairs, as in w <- w - 2 rate (x (w.x - y) + alpha w); alpha is
not scaled by n.

The chains of steps are those of Akyürek et al. 2023, appendices A and B. What is wrong
or missing there is corrected:

- the regulariser enters as x (w.x - y) + alpha w (not as -alpha w or -2 alpha w);
- a second step needs w as an activation, so that w.x is a product, not constants;
- updates are multiplied by "label": every token runs every step, and x1, which has
  nothing to read, would otherwise take a step on (x1, 0) and hand it on to y1 and x2;
- ridge regression on n pairs moves A^-1 and the moments X'y from token to token, of
  which the paper shows the first update only, with one step that nothing reads, and
  with a wrong shape of the last product. x'A^-1 is the transpose of A^-1 x, and is not
  computed again;
- what is carried is c A^-1 with c = min(1, alpha), whose entries are below 1. A^-1
  itself starts as I / alpha, and products err by the size of their factors.
"""

import numpy as np
from jaxtyping import ArrayLike, Float

from icl import checks
from icl.constructed.compiler import Constructed, construct
from icl.constructed.layers import MOST, Precision, checked_precision
from icl.constructed.program import Program, allocate
from icl.constructed.steps import Aff, Div, Mov, Mul, Scale, Step

SMALLEST_ALPHA = {"float64": 1e-3, "float32": 0.3}
"""Of ridge regression, by dtype: there predictions of size 1 err by up to 1 % and 6 %.

That is for six pairs; errors grow as 1 / alpha for one, faster for several.
"""


def sgd_step(
    dim: int,
    rate: float,
    *,
    alpha: float = 0.0,
    weights: Float[ArrayLike, " dim"] | None = None,
    length: int = 2,
    precision: Precision | None = None,
) -> Constructed:
    """Returns one step of SGD on the last pair, as a transformer (Theorem 1).

    It has 9 layers; its width is 4 + 4d for the program, 11 for constants and d for
    scratch.
    """
    return sgd_steps(
        1,
        dim,
        rate,
        alpha=alpha,
        weights=weights,
        length=length,
        precision=precision,
    )


def sgd_steps(
    steps: int,
    dim: int,
    rate: float,
    *,
    alpha: float = 0.0,
    weights: Float[ArrayLike, " dim"] | None = None,
    length: int | None = None,
    precision: Precision | None = None,
) -> Constructed:
    """Returns SGD on the last `steps` pairs, in order, as a transformer.

    It takes one step for each pair. With as many steps as there are pairs this is
    `icl.baselines.OnePassSGD`, at every context length. It has 7 steps + 2 layers, and
    the width of one step.

    Args:
        steps: number of steps, each of which takes the next pair.
        dim: d.
        rate: step size.
        alpha: weight decay.
        weights: where w starts; None is 0.
        length: pairs in the longest prompt; None is steps + 1.
        precision: dtype and scales; None is float64.

    Raises:
        ValueError: a size is below 1, rate is not above 0, alpha is negative, or the
            weights have another shape or are not finite.
    """
    steps = checks.positive_int("steps", steps, maximum=MOST)
    dim = checks.positive_int("dim", dim, maximum=MOST)
    rate = checks.finite_number("rate", rate, positive=True)
    alpha = checks.finite_number("alpha", alpha)
    start = _start(weights, dim)
    rows = allocate(
        y=1, x=dim, w=dim, guess=1, residual=1, xr=dim, gradient=dim, prediction=1
    )
    update: list[Step] = [
        Mul("guess", "w", "x", (1, dim, 1)),
        Aff("residual", {"guess": 1, "y": -1}),
        Mul("xr", "x", "residual", (dim, 1, 1)),
        Scale("gradient", by="label", terms={"xr": 1, "w": alpha}),
        Aff("w", {"w": 1, "gradient": -2 * rate}),
    ]
    move: list[Step] = [Mov(("w",), "label"), Mov(("w",), "input")]
    chain = [
        Mov(("x",), "input"),
        Aff("w", bias=start),
        *update,
        *(step for _ in range(steps - 1) for step in (*move, *update)),
        Mov(("w",), "label"),
        Mul("prediction", "w", "x", (1, dim, 1)),
    ]
    program = Program(f"SGD x {steps}", rows, tuple(chain))
    length = steps + 1 if length is None else length
    return construct(program, length=length, precision=precision)


def ridge_step(
    dim: int,
    alpha: float,
    *,
    length: int = 2,
    precision: Precision | None = None,
) -> Constructed:
    """Returns ridge regression on the last pair, as a transformer (Theorem 2).

    It computes w = (alpha I + x x')^-1 x y by Sherman-Morrison. It has 13 layers; its
    width is 3 + 4d + 3d^2 for the program (the paper's 3 + 5d + 3d^2, less the step
    that nothing reads), 11 for constants and d^2 for scratch.

    Args:
        dim: d.
        alpha: the penalty, at least `SMALLEST_ALPHA`: errors grow as it falls.
        length: pairs in the longest prompt.
        precision: dtype and scales; None is float64.

    Raises:
        ValueError: a size is below 1, or alpha is not above 0 or too small for the
            dtype.
    """
    dim = checks.positive_int("dim", dim, maximum=MOST)
    precision = checked_precision(precision)
    alpha, scale = _check_alpha(alpha, precision)
    rows = allocate(**_inverse_rows(dim), v=dim, w=dim, prediction=1)
    chain = [
        Mov(("x",), "input"),
        Aff("inverse", bias=scale / alpha * np.eye(dim).ravel()),
        *_sherman_morrison(dim, scale),
        Mul("w", "inverse", "x", (dim, dim, 1)),
        Mul("w", "w", "y", (dim, 1, 1), factor=1 / scale),
        Mov(("w",), "label"),
        Mul("prediction", "w", "x", (1, dim, 1)),
    ]
    program = Program(f"ridge({alpha:g}), one pair", rows, tuple(chain))
    return construct(program, length=length, precision=precision)


def ridge(
    steps: int,
    dim: int,
    alpha: float,
    *,
    length: int | None = None,
    precision: Precision | None = None,
) -> Constructed:
    """Returns ridge regression on the last `steps` pairs, as a transformer.

    It makes one Sherman-Morrison update for each pair. With as many steps as there are
    pairs this is `icl.baselines.Ridge`, at every context length. It has 11 steps + 3
    layers; its width is 3 + 4d + 3d^2 for the program, 11 for constants and d^2 for
    scratch.

    Args:
        steps: number of updates, each with the next pair.
        dim: d.
        alpha: the penalty, at least `SMALLEST_ALPHA`: errors grow as it falls.
        length: pairs in the longest prompt; None is steps + 1.
        precision: dtype and scales; None is float64.

    Raises:
        ValueError: a size is below 1, or alpha is not above 0 or too small for the
            dtype.
    """
    steps = checks.positive_int("steps", steps, maximum=MOST)
    dim = checks.positive_int("dim", dim, maximum=MOST)
    precision = checked_precision(precision)
    alpha, scale = _check_alpha(alpha, precision)
    rows = allocate(**_inverse_rows(dim), v=dim, moments=dim, prediction=1)
    rows |= {"xy": rows["v"], "w": rows["u"]}  # names that are never needed together
    state = ("inverse", "moments")
    update = [
        *_sherman_morrison(dim, scale),
        Mul("xy", "x", "y", (dim, 1, 1)),
        Aff("moments", {"moments": 1, "xy": 1}),
    ]
    move = [Mov(state, "label"), Mov(state, "input")]
    chain = [
        Mov(("x",), "input"),
        Aff("inverse", bias=scale / alpha * np.eye(dim).ravel()),
        *update,
        *(step for _ in range(steps - 1) for step in (*move, *update)),
        Mov(state, "label"),
        Mul("w", "inverse", "moments", (dim, dim, 1), factor=1 / scale),
        Mul("prediction", "w", "x", (1, dim, 1)),
    ]
    program = Program(f"ridge({alpha:g}), {steps} pairs", rows, tuple(chain))
    length = steps + 1 if length is None else length
    return construct(program, length=length, precision=precision)


def gradient_step(
    dim: int,
    rate: float,
    *,
    alpha: float = 0.0,
    weights: Float[ArrayLike, " dim"] | None = None,
    length: int = 2,
    precision: Precision | None = None,
) -> Constructed:
    """Returns one gradient step on *all* earlier pairs, as a transformer.

    It computes w <- w - 2 rate (X'(Xw - y) + alpha w), as `icl.baselines` does with
    `GradientDescent(1, rate)`. It is not in the paper: the first head takes the mean
    over the y-tokens, which is then multiplied by their number. It has 9 layers; its
    width is 4 + 4d for the program, 11 for constants and d for scratch.

    Args:
        dim: d.
        rate: step size, of the sum over pairs.
        alpha: weight decay, once for the step.
        weights: where w starts; None is 0.
        length: pairs in the longest prompt.
        precision: dtype and scales; None is float64.

    Raises:
        ValueError: as for `sgd_steps`.
    """
    dim = checks.positive_int("dim", dim, maximum=MOST)
    rate = checks.finite_number("rate", rate, positive=True)
    alpha = checks.finite_number("alpha", alpha)
    rows = allocate(
        y=1, x=dim, w=dim, guess=1, residual=1, xr=dim, gradient=dim, prediction=1
    )
    chain = (
        Mov(("x",), "input"),
        Aff("w", bias=_start(weights, dim)),
        Mul("guess", "w", "x", (1, dim, 1)),
        Aff("residual", {"guess": 1, "y": -1}),
        Mul("xr", "x", "residual", (dim, 1, 1)),
        Scale("gradient", by="count", terms={"xr": 1}, reads="labels"),
        Aff("gradient", {"gradient": 1, "w": alpha}),
        Aff("w", {"w": 1, "gradient": -2 * rate}),
        Mul("prediction", "w", "x", (1, dim, 1)),
    )
    return construct(Program("GD x 1", rows, chain), length=length, precision=precision)


def _inverse_rows(dim: int) -> dict[str, int]:
    """Returns the sizes of what a Sherman-Morrison update works on."""
    square = dim * dim
    sizes = {"y": 1, "x": dim, "inverse": square, "u": dim}
    return sizes | {"outer": square, "denominator": 1, "quotient": square}


def _sherman_morrison(dim: int, scale: float) -> list[Step]:
    """Returns the steps M <- M - u u' / (c + u.x) with u = M x.

    Here M = c A^-1 and c = `scale`.

    At x-tokens nothing changes: v and with it the numerator are 0, the denominator 1.
    """
    return [
        Mul("u", "inverse", "x", (dim, dim, 1)),
        Scale("v", by="label", terms={"u": 1}),
        Mul("outer", "u", "v", (dim, 1, dim)),
        Mul("denominator", "v", "x", (1, dim, 1)),
        Aff("denominator", {"denominator": 1, "label": scale - 1}, bias=1.0),
        Div("quotient", "outer", "denominator"),
        Aff("inverse", {"inverse": 1, "quotient": -1}),
    ]


def _check_alpha(alpha: float, precision: Precision) -> tuple[float, float]:
    """Returns alpha and the scale c of the inverse."""
    alpha = checks.finite_number("alpha", alpha, positive=True)
    smallest = SMALLEST_ALPHA[precision.dtype]
    if alpha < smallest:
        raise ValueError(
            f"alpha must be at least {smallest:g} in {precision.dtype}, where "
            f"predictions may err by percents already; got {alpha:g}."
        )
    return alpha, min(1.0, alpha)


def _start(weights: ArrayLike | None, dim: int) -> Float[np.ndarray, " dim"]:
    start = np.zeros(dim) if weights is None else weights
    return np.asarray(checks.array("weights", start, (dim,), "(dim,)"), float)
