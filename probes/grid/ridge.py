"""All ridge probes of a grid from one pass over the prompts.

Ridge regression needs no prompts, only their second moments: X'X, X'y and the means,
which are sums over prompts. They are accumulated in float64 about a provisional mean
(that of the first prompts), so that features far from 0 lose no digits. One
eigendecomposition of X'X then gives the coefficients for every penalty alpha

    b(alpha) = V (L + alpha)^-1 V' X'y,    X'X = V L V',

for all targets at once, and the squared error on other prompts follows from *their*
moments alone. So alpha is chosen by the error on validation prompts, for each
coordinate of each target, and the probe is fitted again to all training prompts.

Shapes: X (prompts, features), y (prompts, columns), the columns being the coordinates
of all targets side by side. Alpha is not scaled by the number of prompts. The intercept
is not penalised. Memory: (features + columns + 1)^2 numbers of 8 bytes for each layer
and token, twice if alpha is chosen, and one batch of prompts.

The formulas are those of scikit-learn's `Ridge`, which the tests hold them against.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from probes.grid.columns import Columns
from probes.grid.scoreboard import Scoreboard
from probes.grid.sources import Batch, Source
from probes.grid.splits import Split

ALPHAS = tuple(10.0**power for power in range(-4, 7))


class RidgeSpec(NamedTuple):
    """Which ridge regression.

    Attributes:
        alphas: penalties to choose from; a single one is taken as it is.
        standardize: divide features by their standard deviation on training prompts.
    """

    alphas: tuple[float, ...] = ALPHAS
    standardize: bool = True

    @classmethod
    def of(cls, probe: Any) -> "RidgeSpec | None":
        """What a scikit-learn `Ridge`, scaled before or not, asks for; else None."""
        steps = (
            [step for _, step in probe.steps] if type(probe) is Pipeline else [probe]
        )
        *before, last = steps
        scaled = [type(step) is StandardScaler for step in before]
        if type(last) is not Ridge or scaled not in ([], [True]):
            return None
        settings = last.get_params()
        plain = settings["fit_intercept"] and not settings["positive"]
        scales = [step.with_mean and step.with_std for step in before]
        alpha = settings["alpha"]
        if not plain or not all(scales) or np.ndim(alpha) or not alpha > 0:
            return None
        return cls((float(alpha),), standardize=bool(before))


class Fitted(NamedTuple):
    """The probes of a grid: y = x.coef + intercept.

    Attributes:
        coef: (layers, tokens, features, columns).
        intercept: (layers, tokens, columns).
        alphas: the penalty of each column, (layers, tokens, columns).
    """

    coef: Float64[np.ndarray, "layers tokens features columns"]
    intercept: Float64[np.ndarray, "layers tokens columns"]
    alphas: Float64[np.ndarray, "layers tokens columns"]


def run(
    source: Source,
    columns: Columns,
    split: Split,
    board: Scoreboard,
    spec: RidgeSpec,
    size: int,
) -> Fitted:
    """Fits all probes on training prompts and scores them on test prompts.

    Raises:
        ValueError: NaN or infinity in the hidden states; the message says where.
    """
    layers, _, features = source.shape
    tokens = len(columns.tokens)
    with _Threads() as each:
        moments = _Accumulator(layers, features, columns, each)
        parts = [
            moments.over(source.batches(rows, size))
            for rows in (split.fit, split.validation)
            if len(rows)
        ]
        width = columns.width
        fitted = Fitted(
            np.empty((layers, tokens, features, width)),
            np.empty((layers, tokens, width)),
            np.empty((layers, tokens, width)),
        )

        def solve(layer: int) -> None:
            for token in range(tokens):
                cell = layer, token
                sums = (Moments(p[cell], moments.shift[cell], features) for p in parts)
                coef, intercept, alphas = _solve(*sums, spec=spec)
                fitted.coef[cell], fitted.alphas[cell] = coef, alphas
                fitted.intercept[cell] = intercept

        each(solve, range(layers))
        parts.clear()
        for batch in source.batches(split.test, size):
            _score(batch, columns, split, board, fitted, each)
    return fitted


# --- moments ---


class Moments:
    """Sums over prompts of z z', where z = (x, y, 1) about a provisional mean.

    Args:
        products: the sums.
        shift: the provisional mean of x and y.
        features: how many entries of z are x.
    """

    def __init__(
        self,
        products: Float64[np.ndarray, "z z"],
        shift: Float64[np.ndarray, " xy"],
        features: int,
    ):
        self.products, self.shift, self.features = products, shift, features
        self.count = float(products[-1, -1])
        self.mean = products[:-1, -1] / self.count  # about the provisional one

    def about(
        self, center: Float64[np.ndarray, " xy"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """X'X and X'y of deviations from `center`, itself a deviation as `mean` is."""
        p, mean, away = self.features, self.mean, self.mean - center
        sums = self.products[:p, :-1] - np.outer(self.count * mean[:p], mean)
        if away.any():
            sums += np.outer(self.count * away[:p], away)
        return sums[:, :p], sums[:, p:]

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.products + other.products, self.shift, self.features)


class _Accumulator:
    """Moments of every layer and token, one batch of prompts after the other."""

    def __init__(self, layers: int, features: int, columns: Columns, each: "Each"):
        self.features, self.columns, self.each = features, columns, each
        self.size = features + columns.width + 1
        self.cells = layers, len(columns.tokens)
        self.shift = np.zeros((*self.cells, self.size - 1))
        self.shifted = False

    def over(
        self, batches: Iterable[Batch]
    ) -> Float64[np.ndarray, "layers tokens z z"]:
        """The sums over these batches."""
        products = np.zeros((*self.cells, self.size, self.size))
        for batch in batches:
            targets = self.columns.of(batch.rows)
            if not self.shifted:
                self._set_shift(batch, targets)
            self.each(
                lambda layer, b=batch, y=targets: self._add(layer, b, y, products),
                range(len(products)),
            )
            _refuse_non_finite(products[..., -1], batch, self.columns.tokens)
        return products

    def _add(
        self, layer: int, batch: Batch, targets: list[np.ndarray], products: np.ndarray
    ) -> None:
        states = batch.states[layer]
        z = np.ones((len(batch.rows), self.size))
        x, y = z[:, : self.features], z[:, self.features : -1]
        product = np.empty((self.size, self.size))  # once: new memory is slow
        for place, token in enumerate(self.columns.tokens):
            shift = self.shift[layer, place]
            of_token = states[batch.places, token]
            np.subtract(of_token, shift[: self.features], out=x, dtype=float)
            np.subtract(targets[place], shift[self.features :], out=y)
            # NumPy sees that the factors are one, and takes half of the time.
            products[layer, place] += np.matmul(z.T, z, out=product)

    def _set_shift(self, batch: Batch, targets: list[np.ndarray]) -> None:
        for layer, states in enumerate(batch.states):
            for place, token in enumerate(self.columns.tokens):
                x = states[batch.places, token].mean(axis=0, dtype=float)
                y = targets[place].mean(axis=0)
                self.shift[layer, place] = np.concatenate([x, y])
        self.shifted = True


def _refuse_non_finite(
    sums: Float64[np.ndarray, "layers tokens z"], batch: Batch, tokens: list[int]
) -> None:
    """A sum over prompts is finite only if every one of them is."""
    bad = np.argwhere(~np.isfinite(sums))
    if not len(bad):
        return
    layer, place, _ = bad[0]
    token = tokens[place]
    lost = np.argwhere(~np.isfinite(batch.states[layer, batch.places, token]))
    if not len(lost):
        raise ValueError(
            f"Squares of hidden states or targets overflow in layer {layer}, token "
            f"{token}; divide them by a constant."
        )
    raise ValueError(
        f"hidden must be finite, but has NaN or infinity in layer {layer}, prompt "
        f"{batch.rows[lost[0, 0]]}, token {token}."
    )


# --- one cell ---


def _solve(
    fit: Moments, validation: Moments | None = None, *, spec: RidgeSpec
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients, intercept and penalty of each column, for one layer and token."""
    train = fit if validation is None else fit + validation
    scaled = _standardised(train, train.mean, _scale(train, spec))
    chosen = np.zeros(scaled.cross.shape[1], int)
    if validation is not None:
        chosen = _choose(fit, validation, spec)
    alphas = np.asarray(spec.alphas)[chosen]
    coef = np.empty_like(scaled.cross)
    for alpha in np.unique(alphas):
        where = alphas == alpha
        coef[:, where] = _ridge(scaled.inputs, float(alpha), scaled.cross[:, where])
    coef /= scaled.scale[:, None]
    x, y = np.split(train.mean + train.shift, [fit.features])
    return coef, y - x @ coef, alphas


def _ridge(
    inputs: np.ndarray, alpha: float, cross: np.ndarray
) -> Float64[np.ndarray, "features columns"]:
    """(X'X + alpha)^-1 X'y.

    By elimination, unless alpha is so small that rounding of X'X would count for more:
    then by eigenvectors, without the directions in which the features do not vary.
    """
    if alpha > len(inputs) * np.finfo(float).eps * np.trace(inputs):
        return np.linalg.solve(inputs + alpha * np.eye(len(inputs)), cross)
    values, basis = np.linalg.eigh(inputs)
    return basis @ (_filter(values, np.array([alpha])) * (basis.T @ cross))


def _filter(
    values: Float64[np.ndarray, " features"], alphas: Float64[np.ndarray, " alphas"]
) -> Float64[np.ndarray, "features alphas"]:
    """1 / (L + alpha), and 0 where an eigenvalue is nothing but rounding."""
    present = values > len(values) * np.finfo(float).eps * values[-1]
    inverse = 1 / (np.where(present, values, 1.0)[:, None] + alphas)
    return np.where(present[:, None], inverse, 0.0)


def _choose(
    fit: Moments, validation: Moments, spec: RidgeSpec
) -> Int[np.ndarray, " columns"]:
    """For each column the penalty with the least squared error on validation prompts.

    The error is y'y - 2 b'X'y + b'X'X b of these prompts, and y'y is the same for all.
    """
    scale = _scale(fit, spec)
    inputs, cross, _ = _standardised(fit, fit.mean, scale)
    values, basis = np.linalg.eigh(inputs)
    filters = _filter(values, np.asarray(spec.alphas))
    path = filters[:, :, None] * (basis.T @ cross)[:, None, :]
    coef = basis @ path.reshape(len(values), -1)  # all penalties side by side
    seen, seen_cross, _ = _standardised(validation, fit.mean, scale)
    slope = (seen @ coef).reshape(path.shape) - 2 * seen_cross[:, None, :]
    return np.einsum("fac,fac->ac", coef.reshape(path.shape), slope).argmin(axis=0)


class _Standardised(NamedTuple):
    """X'X and X'y of features that were divided by `scale`."""

    inputs: Float64[np.ndarray, "features features"]
    cross: Float64[np.ndarray, "features columns"]
    scale: Float64[np.ndarray, " features"]


def _standardised(
    moments: Moments, center: np.ndarray, scale: np.ndarray
) -> _Standardised:
    inputs, cross = moments.about(center)
    return _Standardised(inputs / scale / scale[:, None], cross / scale[:, None], scale)


def _scale(moments: Moments, spec: RidgeSpec) -> Float64[np.ndarray, " features"]:
    """Standard deviations of the features, 1 for one that is constant to rounding.

    The bound on what rounding leaves of a constant is that of `StandardScaler`.
    """
    scale = np.ones(moments.features)
    if spec.standardize:
        p, n, eps = moments.features, moments.count, np.finfo(float).eps
        squares = moments.products.diagonal()[:p] / n
        variance = np.maximum(squares - moments.mean[:p] ** 2, 0)
        mean = moments.mean[:p] + moments.shift[:p]
        bound = n * eps * variance + (n * eps * mean) ** 2
        np.sqrt(variance, out=scale, where=variance > bound)
    return scale


# --- scores ---


def _score(
    batch: Batch,
    columns: Columns,
    split: Split,
    board: Scoreboard,
    fitted: Fitted,
    each: "Each",
) -> None:
    truths = columns.of(batch.rows)
    lengths = board.lengths(truths)
    tested = np.searchsorted(split.test, batch.rows)

    def guesses(layer: int) -> Iterator[np.ndarray]:
        x = np.empty((len(batch.rows), fitted.coef.shape[2]))
        for place, token in enumerate(columns.tokens):
            x[:] = batch.states[layer, batch.places, token]
            guess = x @ fitted.coef[layer, place]
            guess += fitted.intercept[layer, place]
            yield guess

    def score(layer: int) -> None:
        board.add(layer, truths, lengths, guesses(layer), tested)

    each(score, range(len(fitted.coef)))
    _refuse_non_finite(board.sums, batch, columns.tokens)


# --- threads ---

Each = Callable[[Callable[[int], None], Iterable[int]], object]


class _Threads:
    """As many threads as BLAS would use, for cells in place of single products.

    Threads that share matrices this small slow each other down.
    """

    def __enter__(self) -> Each:
        threads = [
            library["num_threads"]
            for library in threadpool_info()
            if library["user_api"] == "blas"
        ]
        self.pool = ThreadPoolExecutor(max(threads, default=1))
        self.limits = threadpool_limits(1, user_api="blas")
        return lambda function, items: list(self.pool.map(function, items))

    def __exit__(self, *_: object) -> None:
        self.limits.restore_original_limits()
        self.pool.shutdown(cancel_futures=True)
