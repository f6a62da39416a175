"""Classes of functions that are not linear regression, as in Garg et al. (2022).

x ~ N(0, I) in all of them, and every prompt has a function of its own. The *normaliser*
of a class is the mean square of f(x), so that an error divided by it is 1 for whoever
predicts 0.

Source: section 3 and Appendix A of Garg, Tsipras, Liang and Valiant 2022
(arXiv:2208.01066), with the settings of its released code. Its dimension is d = 20.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from icl import checks
from icl.arrays import floating
from icl.codecs import Pairs
from icl.losses import logistic
from icl.tasks.function_class import (
    FunctionClass,
    Functions,
    check_noise,
    linear_values,
)
from icl.tasks.laws import Law

DEEPEST = 16
"""The largest depth of a tree: every prompt has one, whose 2^16 leaves are 0.3 MB."""

WIDEST = 2**16
"""The largest number of hidden units: every prompt has a network of its own."""


def _check_largest(task: FunctionClass, name: str, largest: int, why: str) -> None:
    """Refuses a size that is too large for a function of every prompt's own."""
    checks.normalise(task, checks.positive_int, name)
    size = getattr(task, name)
    if size > largest:
        raise ValueError(
            f"{name} must be an integer of at most {largest:,}, for every prompt has "
            f"{why} of its own, got {size}."
        )


@dataclass(frozen=True)
class SparseLinear(FunctionClass):
    """The task y = w.x + noise where k coordinates of w are not 0, which k is unknown.

    The k coordinates are drawn without replacement, and those of w are N(0, 1). The
    normaliser is k. Where a curriculum has switched coordinates off, the k are drawn
    among the others, as in the released code.

    Attributes:
        dim: the dimension d of x.
        length: the number of pairs in a prompt.
        k: the number of coordinates that count, at most d.
        noise_std: the standard deviation of the noise.
        noise_law: the law of the noise; see `FunctionClass`.

    Raises:
        ValueError: a size below 1, k above dim, or a negative deviation.

    Example:
        >>> task = SparseLinear(dim=5, length=4, k=2)
        >>> prompts = task.sample(jax.random.key(0), batch=3)
        >>> jnp.count_nonzero(prompts.weights, axis=1).tolist()
        [2, 2, 2]
    """

    scales: ClassVar[tuple[str, ...]] = ("noise_std",)
    linear: ClassVar[bool] = True

    dim: int = 20
    length: int = 41
    k: int = 3
    noise_std: float = 0.0
    noise_law: Law = "normal"

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "dim", "length", "k")
        if self.k > self.dim:
            raise ValueError(
                f"k must be at most dim={self.dim}, the number of coordinates of w, "
                f"got {self.k}."
            )
        check_noise(self)

    def functions(self, key: Key[Array, ""], count: int) -> Functions:
        """Draws weights, (count, dim)."""
        chosen_key, weights_key = jax.random.split(key)
        lots = jax.random.uniform(chosen_key, (count, self.dim))
        if self.active_dims is not None:
            lots += (jnp.arange(self.dim) >= self.active_dims)[None, :]
        ranks = jnp.argsort(jnp.argsort(lots, axis=1), axis=1)
        normal = jax.random.normal(weights_key, (count, self.dim))
        return {"weights": jnp.where(ranks < self.k, normal, 0.0)}

    def values(
        self, functions: Functions, xs: Float[Array, "batch length dim"]
    ) -> Float[Array, "batch length"]:
        """Returns w.x."""
        return linear_values(functions["weights"], xs)

    @property
    def normaliser(self) -> float:
        """The number k of coordinates that count."""
        return float(self.k)


@dataclass(frozen=True)
class Quadratic(FunctionClass):
    """The task y = sum_j w_j x_j^2 / sqrt(3) + noise with w ~ N(0, I); normaliser d.

    Attributes:
        dim: the dimension d of x.
        length: the number of pairs in a prompt.
        noise_std: the standard deviation of the noise.
        noise_law: the law of the noise; see `FunctionClass`.

    Raises:
        ValueError: a size below 1, or a negative deviation.
    """

    scales: ClassVar[tuple[str, ...]] = ("noise_std",)

    dim: int = 20
    length: int = 41
    noise_std: float = 0.0
    noise_law: Law = "normal"

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "dim", "length")
        check_noise(self)

    def functions(self, key: Key[Array, ""], count: int) -> Functions:
        """Draws the coefficients of the squares, (count, dim)."""
        return {"coefficients": jax.random.normal(key, (count, self.dim))}

    def values(
        self, functions: Functions, xs: Float[Array, "batch length dim"]
    ) -> Float[Array, "batch length"]:
        """Returns sum_j w_j x_j^2 / sqrt(3)."""
        squares = floating("xs", xs) ** 2
        return linear_values(functions["coefficients"], squares) / 3.0**0.5

    @property
    def normaliser(self) -> float:
        """The dimension d, because the fourth moment of a normal is 3."""
        return float(self.dim)


@dataclass(frozen=True)
class ReluNetwork(FunctionClass):
    """The task of two-layer networks, y = sqrt(2/h) sum_j a_j relu(b_j.x) + noise.

    All a_j and all entries of b_j are N(0, 1), without biases, so that E f(x)^2 given x
    is |x|^2 and the normaliser is d. Half of that is linear in x.

    Attributes:
        dim: the dimension d of x.
        length: the number of pairs in a prompt.
        hidden: the number h of hidden units, at most 65,536.
        noise_std: the standard deviation of the noise.
        noise_law: the law of the noise; see `FunctionClass`.

    Raises:
        ValueError: a size below 1, too many units, or a negative deviation; in
            `sample`, a batch of wide networks that the memory cannot hold.
    """

    scales: ClassVar[tuple[str, ...]] = ("noise_std",)

    dim: int = 20
    length: int = 101
    hidden: int = 100
    noise_std: float = 0.0
    noise_law: Law = "normal"

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "dim", "length")
        _check_largest(self, "hidden", WIDEST, "a network")
        check_noise(self)

    @property
    def memory_of_prompt(self) -> tuple[str, int]:
        """The field `hidden`: a network has weights, and all units at every x."""
        return "hidden", self.hidden * (self.dim + 1 + self.length)

    def functions(self, key: Key[Array, ""], count: int) -> Functions:
        """Draws the matrices b, (count, hidden, dim), and a, (count, hidden)."""
        first_key, second_key = jax.random.split(key)
        return {
            "first": jax.random.normal(first_key, (count, self.hidden, self.dim)),
            "second": jax.random.normal(second_key, (count, self.hidden)),
        }

    def values(
        self, functions: Functions, xs: Float[Array, "batch length dim"]
    ) -> Float[Array, "batch length"]:
        """Returns what the networks say about x."""
        first, second = functions["first"], functions["second"]
        xs = floating("xs", xs)
        units = jnp.einsum("bhd,bld->blh", first, xs, precision="highest")
        return linear_values(second, jax.nn.relu(units)) * (2 / self.hidden) ** 0.5

    @property
    def normaliser(self) -> float:
        """The dimension d."""
        return float(self.dim)


@dataclass(frozen=True)
class DecisionTree(FunctionClass):
    """The task of full binary trees: each inner node asks whether x_c > 0.

    c is uniform over the coordinates at every node, and may repeat, also along a path.
    The 2^depth leaves are N(0, 1), so that the normaliser is 1.

    Attributes:
        dim: the dimension d of x.
        length: the number of pairs in a prompt.
        depth: the number of questions from the root to a leaf, at most 16, because
            every prompt has 2^depth leaves of its own.
        noise_std: the standard deviation of the noise.
        noise_law: the law of the noise; see `FunctionClass`.

    Raises:
        ValueError: a size below 1, a tree that is too deep, or a negative deviation;
            in `sample`, a batch of deep trees that the memory cannot hold.
    """

    scales: ClassVar[tuple[str, ...]] = ("noise_std",)

    dim: int = 20
    length: int = 101
    depth: int = 4
    noise_std: float = 0.0
    noise_law: Law = "normal"

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "dim", "length")
        _check_largest(self, "depth", DEEPEST, "a tree with 2^depth leaves")
        check_noise(self)

    @property
    def memory_of_prompt(self) -> tuple[str, int]:
        """The field `depth`: nodes, leaves, and the random bits that they are made of.

        Bits are held beside the numbers that they become.
        """
        return "depth", 3 * 2**self.depth

    def functions(self, key: Key[Array, ""], count: int) -> Functions:
        """Draws the coordinates that nodes ask for, row by row, and the leaves.

        The first are integers, (count, 2^depth - 1), where node i has the children
        2 i + 1, for x_c <= 0, and 2 i + 2; the second are (count, 2^depth).
        """
        inner_key, leaves_key = jax.random.split(key)
        leaves = 2**self.depth
        return {
            "coordinates": jax.random.randint(
                inner_key, (count, leaves - 1), 0, self.dim
            ),
            "leaves": jax.random.normal(leaves_key, (count, leaves)),
        }

    def values(
        self, functions: Functions, xs: Float[Array, "batch length dim"]
    ) -> Float[Array, "batch length"]:
        """Returns the leaf that each x ends in."""
        xs = floating("xs", xs)
        node = jnp.zeros(xs.shape[:2], int)
        for _ in range(self.depth):
            asked = jnp.take_along_axis(functions["coordinates"], node, axis=1)
            x = jnp.take_along_axis(xs, asked[..., None], axis=2)[..., 0]
            node = 2 * node + 1 + (x > 0)
        return jnp.take_along_axis(functions["leaves"], node - (2**self.depth - 1), 1)

    @property
    def normaliser(self) -> float:
        """The variance of a leaf, 1."""
        return 1.0


@dataclass(frozen=True)
class LinearClassification(FunctionClass):
    """The task y = sign(w.x), -1 or 1, with w ~ N(0, I) and the logistic loss.

    A model's predictions are log-odds of y = 1: its sign is the guessed label
    (`icl.compare.accuracy`), and a squared difference to a label says nothing.

    Attributes:
        dim: the dimension d of x.
        length: the number of pairs in a prompt.
        flipped: the probability that a label is the wrong one, 0 to 1/2.

    Raises:
        ValueError: a size below 1, or a probability out of range.
    """

    scales: ClassVar[tuple[str, ...]] = ("flipped",)

    dim: int = 20
    length: int = 41
    flipped: float = 0.0

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "dim", "length")
        checks.normalise(self, checks.finite_number, "flipped")
        if self.flipped > 0.5:
            raise ValueError(f"flipped must be 0 to 0.5, got {self.flipped}.")

    @property
    def codec(self) -> Pairs:
        """The codec of pairs, with the logistic loss."""
        return Pairs(self.dim, self.length, logistic)

    def functions(self, key: Key[Array, ""], count: int) -> Functions:
        """Draws the normals of the separating planes, (count, dim)."""
        return {"normals": jax.random.normal(key, (count, self.dim))}

    def values(
        self, functions: Functions, xs: Float[Array, "batch length dim"]
    ) -> Float[Array, "batch length"]:
        """Returns the side of the plane that x is on, -1 or 1."""
        return jnp.where(linear_values(functions["normals"], xs) > 0, 1.0, -1.0)

    def labels(
        self, key: Key[Array, ""], values: Float[Array, "batch length"]
    ) -> Float[Array, "batch length"]:
        """Returns the sides, some of them flipped."""
        flips = jax.random.uniform(key, values.shape) < self.flipped
        return jnp.where(flips, -values, values)

    @property
    def normaliser(self) -> float:
        """The mean square of a label, 1."""
        return 1.0
