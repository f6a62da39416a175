"""How does one layer of linear attention learn from small weights, and in which steps?

With averages m = X'y / N of a context, a head of rank one answers v (k.m)(q.x), and the
layer adds up d of them ("separate"). With keys and queries merged into a matrix U it
answers v x'U m ("merged"). Both are trained by stochastic gradient descent on fresh
contexts of N pairs, from weights near 0; the loss is averaged over the query exactly.
The loss that is shown is not an average over contexts but the closed form of the risk
at the current matrix (`icl.theory.layer_risk`).
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array, Float, Key
from scipy.signal import find_peaks

from experiments import small_models
from icl import checks
from icl.theory import first_drop, layer_risk, plateaus
from icl.training.config import log_spaced

FORMS = ("separate", "merged")

PER_DECADE = 40
"""The number of looks at the loss between a power of ten of steps and the next."""

PROMINENCE = 0.2
"""A drop of the loss is a peak of -d log loss / d log step that stands out so far. A
fall by a fifth within a factor of e in time has a height of about 0.2."""

Weights = dict[str, Float[Array, "..."]]


@dataclass(frozen=True)
class Config:
    """Settings of the training from small weights.

    Attributes:
        eigenvalues: those of the covariance of inputs, which is diagonal.
        pairs: the number N of pairs of a context.
        rate: the learning rate with separate keys and queries.
        steps: the number of updates with these.
        rate_merged: the learning rate with keys and queries merged.
        steps_merged: the number of updates with these.
        scale: the deviation of initial weights with separate keys and queries.
        scale_merged: that with keys and queries merged.
        batch: the number of contexts per update.
        seeds: the number of runs of each form, with seeds 0, 1, ...
    """

    eigenvalues: tuple[float, ...] = (4.0, 2.0, 1.0, 0.5)
    pairs: int = 32
    rate: float = 0.005
    steps: int = 12_000
    rate_merged: float = 0.0005
    steps_merged: int = 12_000
    scale: float = 0.1
    scale_merged: float = 0.01
    batch: int = 256
    seeds: int = 5

    def __post_init__(self) -> None:
        plateaus(np.array(self.eigenvalues), self.pairs)  # which refuses bad ones
        checks.normalise(self, checks.positive_int, "batch", "seeds")
        checks.normalise(self, checks.positive_int, "steps", "steps_merged", minimum=10)
        numbers = ("rate", "rate_merged", "scale", "scale_merged")
        checks.normalise(self, checks.finite_number, *numbers, positive=True)


def start(config: Config, form: str, key: Key[Array, ""]) -> Weights:
    """Returns small random weights."""
    dim = len(config.eigenvalues)
    shapes: dict[str, tuple[int, ...]] = {"v": (), "u": (dim, dim)}
    if form == "separate":
        shapes = {"v": (dim,), "k": (dim, dim), "q": (dim, dim)}
    scale = config.scale if form == "separate" else config.scale_merged
    keys = jax.random.split(key, len(shapes))
    return {
        name: scale * jax.random.normal(own, shape)
        for own, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def matrix(weights: Weights) -> Float[Array, "dim dim"]:
    """Returns G, with which the layer answers x'G m."""
    if "u" in weights:
        return weights["v"] * weights["u"]
    return jnp.einsum("h,hi,hj->ij", weights["v"], weights["q"], weights["k"])


def loss(weights: Weights, config: Config, key: Key[Array, ""]) -> Float[Array, ""]:
    """Returns the mean over fresh contexts of the squared error at a query."""
    dim, root = len(config.eigenvalues), jnp.sqrt(jnp.array(config.eigenvalues))
    of_inputs, of_weights = jax.random.split(key)
    drawn = jax.random.normal(of_inputs, (config.batch, config.pairs, dim))
    xs = root[None, None] * drawn
    ws = jax.random.normal(of_weights, (config.batch, dim))
    means = jnp.einsum("bni,bnj,bj->bi", xs, xs, ws) / config.pairs
    left = (means @ matrix(weights).T - ws) * root[None]
    return jnp.mean(jnp.sum(left**2, axis=1))


def size(weights: Weights, config: Config) -> Float[Array, ""]:
    """Returns how far merged weights have grown; it is 0 for separate weights.

    That is v + <U, C^2> / |C^2|, which grows fastest near 0 (`icl.theory.first_drop`).
    """
    if "u" not in weights:
        return jnp.zeros(())
    squares = jnp.array(config.eigenvalues) ** 2
    fastest = jnp.diag(squares / jnp.linalg.norm(squares))
    return weights["v"] + jnp.sum(weights["u"] * fastest)


def train(
    config: Config, form: str, stops: Iterable[int]
) -> tuple[Float[np.ndarray, "seeds stops dim dim"], Float[np.ndarray, "seeds stops"]]:
    """Returns G after so many updates, and how far merged weights have grown."""
    keys = jax.random.split(jax.random.key(FORMS.index(form)), config.seeds)
    of_start, of_data = jax.vmap(jax.random.split, out_axes=1)(keys)
    return small_models.train(
        lambda weights, key: loss(weights, config, key),
        lambda weights: (matrix(weights), size(weights, config)),
        jax.jit(jax.vmap(lambda key: start(config, form, key)))(of_start),
        of_data,
        optimizer=optax.sgd(config.rate_merged if form == "merged" else config.rate),
        stops=stops,
    )


def drops(steps: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """Returns the places at which a loss drops, on steps that are spaced evenly in log.

    The loss rests where it changes least, and drops between two such places.
    """
    speed = -np.gradient(np.log(losses), np.log(steps))
    smooth = np.convolve(np.pad(speed, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    padded = np.concatenate([[0.0], smooth, [0.0]])  # so that ends may be peaks
    return find_peaks(padded, prominence=PROMINENCE)[0] - 1


def levels(losses: np.ndarray, at: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Returns the loss in front of the first drop, between drops, and at the end.

    Between two drops it is that at which the loss changes least.
    """
    between = [
        losses[one + int(np.argmin(speed[one:other]))]
        for one, other in itertools.pairwise(at)
    ]
    return np.array([losses[0], *between, losses[-1]])


def measure(config: Config) -> xr.Dataset:
    """Trains all runs and returns their losses, drops and plateaus.

    Returns:
        A Dataset with `loss_*` over (seed, step) for each form, `count` (form, seed),
        the number of drops, `apart` (seed), the largest relative distance of a plateau
        of separate weights to theory (NaN where their number is another), `growth`
        (seed), the rate at which merged weights grow over that of theory, and `level`,
        the plateaus in theory.
    """
    values = np.array(config.eigenvalues)
    theory = plateaus(values, config.pairs)
    found: dict = {"level": (("plateau",), theory)}
    count = np.zeros((2, config.seeds))
    coords: dict = {"form": list(FORMS), "seed": range(config.seeds)}
    apart, growth = np.zeros((2, config.seeds))
    for row, form in enumerate(FORMS):
        last = config.steps_merged if form == "merged" else config.steps
        looks = np.array(log_spaced(PER_DECADE, last))  # step 1 is before any update
        paths, sizes = train(config, form, (looks - 1).tolist())
        risks = [
            [layer_risk(g, values, config.pairs) for g in path]
            for path in paths.astype(float)
        ]
        losses = np.array(risks)
        found[f"loss_{form}"] = (("seed", f"step_{form}"), losses)
        coords[f"step_{form}"] = looks
        for seed, own in enumerate(losses):
            at = drops(looks, own)
            count[row, seed] = len(at)
            if form == "separate":
                apart[seed] = _apart(looks, own, at, theory)
            else:
                growth[seed] = _growth(config, sizes[seed], own, looks)
    found["count"] = ("form", "seed"), count
    found["apart"], found["growth"] = (("seed",), apart), (("seed",), growth)
    about = {"pairs": config.pairs, "rate": config.rate}
    about["rate_merged"] = config.rate_merged
    return xr.Dataset(found, coords, about)


def _apart(
    steps: np.ndarray, losses: np.ndarray, at: np.ndarray, theory: np.ndarray
) -> float:
    if len(at) != len(theory) - 1:
        return float("nan")
    speed = -np.gradient(np.log(losses), np.log(steps))
    return float(np.abs(levels(losses, at, speed) / theory - 1).max())


def _growth(
    config: Config, sizes: np.ndarray, losses: np.ndarray, looks: np.ndarray
) -> float:
    """Returns how fast merged weights grow before their drop, over theory.

    That is over the updates in which the loss falls from 0.1 % to 5 % of its beginning:
    slower directions have been left behind, and the weights are still small.
    """
    rate = first_drop(np.array(config.eigenvalues), config.pairs).rate
    fallen = 1 - losses / losses[0]
    one, other = (int(np.argmax(fallen > share)) for share in (0.001, 0.05))
    if other <= one:
        return float("nan")
    grown = np.log(abs(sizes[other] / sizes[one]))
    return float(grown / (looks[other] - looks[one]) / config.rate_merged / rate)
