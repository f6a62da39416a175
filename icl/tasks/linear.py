"""Linear regression in the context: which weights, inputs and noise are drawn?

A prompt is one regression problem: `length` pairs (x_i, y_i) that share one unknown
weight vector w.

Shapes: `xs` (batch, length, dim), `ys` (batch, length), `weights` (batch, dim).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from icl import checks
from icl.tasks import laws
from icl.tasks.base import Task
from icl.tasks.function_class import (
    FunctionClass,
    Functions,
    check_noise,
    check_sizes,
    linear_values,
)
from icl.tasks.laws import Covariance, Law, Vector


@dataclass(frozen=True)
class LinearRegression(FunctionClass):
    """The task y = w.x + noise, with a new w for each prompt (Akyürek et al. 2023).

    With `fixed_weights` all prompts have the same w. Then nothing about w needs to be
    learnt in the context, and a model trained on such a task is the control of probing
    (section 5, Figure 5, with w = 1).

    Inputs are x = C^(1/2) z + m, where the coordinates of z are independent, of mean 0
    and variance 1; so are weights, times `weight_std`. With `rotated`, every prompt
    turns its inputs by a random rotation of its own: a covariance (2, 2, 0, 0) then
    puts them into a random subspace.

    Attributes:
        dim: the dimension d of x.
        length: the number n of pairs in a prompt.
        noise_std: the standard deviation of the noise, which is drawn anew for every y,
            both for labels in the context and for those to be predicted.
        weight_std: the standard deviation of each coordinate of w, before
            `weight_covariance` is applied and `weight_mean` added.
        inputs: the law of z for x: "normal", "uniform", "laplace" or "student", as for
            the noise.
        covariance: the covariance C of x, (dim, dim), or (dim,) for a diagonal one;
            None is the identity. Any array-like is accepted and kept as nested tuples,
            so that a task can be compared, hashed and written to JSON.
        fixed_weights: the w of every prompt, (dim,), or one number for all of its
            coordinates; it is kept as a tuple. None draws w; otherwise all that is said
            about the law of w has no effect on what is sampled.
        noise_law: the law of the noise; see `FunctionClass`.
        mean: the mean m of x before rotations, (dim,), or one number; None is 0.
        rotated: whether inputs are rotated, those of every prompt in their own way;
            `sample_inputs` does so for each entry of its first axis.
        weight_law: the law of z for w, one of those of `inputs`.
        weight_mean: the mean of w, (dim,), or one number; None is 0. `weight_std` does
            not change it.
        weight_covariance: the covariance of w / weight_std, in one of the forms of
            `covariance`; None is the identity.
        cap: w is uniform on the part of a sphere of radius weight_std sqrt(d) whose
            angle to the first axis is at most so many degrees, before a covariance and
            a mean are applied (Goddard et al. 2025); None has it drawn by `weight_law`.

    Raises:
        ValueError: a size is below 1, a deviation is negative, a law is unknown, a
            covariance is not symmetric positive semi-definite, fixed weights or a mean
            have another length, a number is not finite or above 1e18 in size, or a cap
            is not an angle above 0 and at most 180, or is given beside another law.

    Example:
        >>> task = LinearRegression(dim=3, length=5)
        >>> prompts = task.sample(jax.random.key(0), batch=2)
        >>> prompts.xs.shape, prompts.ys.shape, prompts.weights.shape
        ((2, 5, 3), (2, 5), (2, 3))
        >>> LinearRegression(dim=3, fixed_weights=1.0).fixed_weights
        (1.0, 1.0, 1.0)
    """

    scales: ClassVar[tuple[str, ...]] = ("noise_std", "weight_std")
    linear: ClassVar[bool] = True

    dim: int = 8
    length: int = 40
    noise_std: float = 0.0
    weight_std: float = 1.0
    inputs: Law = "normal"
    covariance: Covariance | None = None
    fixed_weights: float | Vector | None = None
    noise_law: Law = "normal"
    mean: float | Vector | None = None
    rotated: bool = False
    weight_law: Law = "normal"
    weight_mean: float | Vector | None = None
    weight_covariance: Covariance | None = None
    cap: float | None = None

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "dim", "length")
        check_noise(self)
        checks.normalise(self, laws.check_scale, "weight_std", positive=True)
        checks.normalise(self, checks.flag, "rotated")
        for name in ("inputs", "weight_law"):
            checks.one_of(name, getattr(self, name), laws.LAWS)
        for name in ("covariance", "weight_covariance"):
            self._normalise(name, laws.check_covariance)
        for name in ("fixed_weights", "mean", "weight_mean"):
            self._normalise(name, laws.check_vector)
        if self.cap is not None:
            cap = laws.check_cap(self.cap, self.dim, self.weight_law)
            object.__setattr__(self, "cap", cap)

    def _normalise(self, name: str, check: Callable[[str, object, int], Any]) -> None:
        """Puts what a check returns in the place of a field that is given."""
        value = getattr(self, name)
        if value is not None:
            object.__setattr__(self, name, check(name, value, self.dim))

    def functions(self, key: Key[Array, ""], count: int) -> Functions:
        """Draws weights, (count, dim); they are all the same if they are fixed."""
        if self.fixed_weights is not None:
            return {"weights": jnp.tile(jnp.asarray(self.fixed_weights), (count, 1))}
        if self.cap is None:
            drawn = laws.standard(key, (count, self.dim), self.weight_law)
        else:
            drawn = laws.Cap(self.dim, self.cap).draw(key, count)
        weights = self.weight_std * laws.stretched(drawn, self.weight_covariance)
        return {"weights": laws.moved(weights, self.weight_mean)}

    def values(
        self, functions: Functions, xs: Float[Array, "batch length dim"]
    ) -> Float[Array, "batch length"]:
        """Returns w.x."""
        return linear_values(functions["weights"], xs)

    @property
    def standard_weights(self) -> bool:
        """Whether w ~ N(0, weight_std^2 I), for which ridge regression is Bayes."""
        shaped = self.fixed_weights, self.weight_mean, self.weight_covariance, self.cap
        return self.weight_law == "normal" and all(each is None for each in shaped)

    @property
    def normaliser(self) -> float:
        """The mean square of w.x, tr(E[ww'] E[xx']); d by default."""
        inputs = laws.matrix_of(self.covariance, self.dim)
        if self.mean is not None:
            inputs = inputs + np.outer(self.mean, self.mean)
        if self.rotated:
            inputs = np.trace(inputs) / self.dim * np.eye(self.dim)
        return float(np.sum(self._weight_moment() * inputs))

    def _weight_moment(self) -> Float[np.ndarray, "dim dim"]:
        """Returns E[ww']."""
        if self.fixed_weights is not None:
            return np.outer(self.fixed_weights, self.fixed_weights)
        around, moment = np.zeros(self.dim), np.eye(self.dim)
        if self.cap is not None:
            law = laws.Cap(self.dim, self.cap)
            around, moment = law.mean, law.moment
        root = laws.square_root(laws.matrix_of(self.weight_covariance, self.dim))
        middle = np.zeros(self.dim) if self.weight_mean is None else self.weight_mean
        cross = np.outer(self.weight_std * root @ around, middle)
        drawn = self.weight_std**2 * root @ moment @ root
        return drawn + cross + cross.T + np.outer(middle, middle)

    def sample_inputs(
        self, key: Key[Array, ""], shape: tuple[int, ...]
    ) -> Float[Array, "... dim"]:
        """Draws inputs x from the task's law, of shape `(*shape, dim)`."""
        checks.typed_key("key", key)
        sizes = (*check_sizes(shape), self.dim)
        turn = None
        if self.rotated:
            key, turn = jax.random.split(key)
        xs = laws.stretched(laws.standard(key, sizes, self.inputs), self.covariance)
        xs = laws.moved(xs, self.mean)
        if turn is not None:
            xs = laws.rotated(turn, xs)
        return self.mask_inputs(xs)


def as_linear(task: Task) -> LinearRegression:
    """Returns the task, which must be a linear regression.

    Raises:
        ValueError: the task is of another kind.
    """
    if not isinstance(task, LinearRegression):
        raise ValueError(
            f"task.kind must be LinearRegression, whose weights and noise this is "
            f"about, got {type(task).__name__}."
        )
    return task
