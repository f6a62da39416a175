"""The second moments of features and targets, added up over batches of prompts.

A prompt with a weight adds so many times its own. They are accumulated in float64 about
a provisional mean (that of the first prompts), so that features far from 0 lose no
digits.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64

from probes.grid.columns import Columns
from probes.grid.products import add_products, mirror
from probes.grid.sources import Batch
from probes.grid.threads import Each


class Moments:
    """The sums over prompts of z z', where z = (x, y, 1) about a provisional mean.

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
        """Returns X'X and X'y of deviations from `center`.

        `center` is given as `mean` is, as a deviation from the provisional mean.
        """
        p, mean, away = self.features, self.mean, self.mean - center
        sums = self.products[:p, :-1] - np.outer(self.count * mean[:p], mean)
        if away.any():
            sums += np.outer(self.count * away[:p], away)
        return sums[:, :p], sums[:, p:]

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.products + other.products, self.shift, self.features)


class Accumulator:
    """Adds up the moments of every layer and token over batches of prompts."""

    def __init__(self, layers: int, features: int, columns: Columns, each: Each):
        self.features, self.columns, self.each = features, columns, each
        self.size = features + columns.width + 1
        self.cells = layers, len(columns.tokens)
        self.shift = np.zeros((*self.cells, self.size - 1))
        self.shifted = False

    def over(
        self, batches: Iterable[Batch]
    ) -> Float64[np.ndarray, "layers tokens z z"]:
        """Returns the sums over these batches."""
        products = np.zeros((*self.cells, self.size, self.size))
        for batch in batches:
            targets = self.columns.of(batch.rows)
            if not self.shifted:
                self._set_shift(batch, targets)
            self.each(
                lambda layer, b=batch, y=targets: self._add(layer, b, y, products),
                range(len(products)),
            )
            squares = np.diagonal(products, axis1=-2, axis2=-1)
            for sums in (products[..., -1], squares):
                refuse_non_finite(sums, batch, self.columns.tokens)
        self.each(lambda layer: _mirror_all(products[layer]), range(len(products)))
        return products

    def _add(
        self, layer: int, batch: Batch, targets: list[np.ndarray], products: np.ndarray
    ) -> None:
        """Adds the upper triangles of one batch in one layer to `products`."""
        states = batch.states[layer]
        z = np.ones((len(batch.rows), self.size))
        x, y = z[:, : self.features], z[:, self.features : -1]
        weights = self.columns.weighing(batch.rows)
        roots = None if weights is None else np.sqrt(weights)[:, None]
        for place, token in enumerate(self.columns.tokens):
            shift = self.shift[layer, place]
            of_token = states[batch.places, token]
            np.subtract(of_token, shift[: self.features], out=x, dtype=float)
            np.subtract(targets[place], shift[self.features :], out=y)
            kept = self.columns.kept(place, batch.rows)
            z[:, -1] = 1
            if kept is not None:
                z[~kept] = 0
            if roots is not None:
                z *= roots
            add_products(z, products[layer, place])

    def _set_shift(self, batch: Batch, targets: list[np.ndarray]) -> None:
        """Takes the means of the first batch as the provisional ones."""
        for layer, states in enumerate(batch.states):
            for place, token in enumerate(self.columns.tokens):
                of_token, of_targets = states[batch.places, token], targets[place]
                kept = self.columns.kept(place, batch.rows)
                if kept is not None:
                    of_token, of_targets = of_token[kept], of_targets[kept]
                if len(of_token):
                    x = of_token.mean(axis=0, dtype=float)
                    y = of_targets.mean(axis=0)
                    self.shift[layer, place] = np.concatenate([x, y])
        self.shifted = True


def _mirror_all(sums: Float64[np.ndarray, "tokens z z"]) -> None:
    """Copies upper triangles into lower ones, for every token."""
    for of_token in sums:
        mirror(of_token)


def refuse_non_finite(
    sums: Float64[np.ndarray, "layers tokens z"], batch: Batch, tokens: list[int]
) -> None:
    """Refuses NaN and infinity: a sum is finite only if every prompt is."""
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
