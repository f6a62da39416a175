"""The labels of a classification as columns, and the scores of guessed labels.

Labels are coded as columns of -1 and 1 (`probes.labels`). So a grid of labels is a grid
of numbers for whatever fits the probes, and only its scores are others.

Accuracy is the share of right guesses; always guessing the most common label of the
training prompts gives `majority`. Balanced accuracy is the mean over classes of the
share of right guesses among their prompts, in which a rare class counts as much as a
common one, and guessing without looking gives 1 / classes. AUROC is the probability
that a prompt of a class has a higher score for it than one of another class, ties
counting half, averaged over classes; guessing gives 1/2. Log-loss, in bits, is
-log2 of the probability that the probe gives to the right label, and `prior_log_loss`
that of the labels' shares of the training prompts.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from probes.grid.columns import Columns, Slotted
from probes.grid.scoreboard import shares_of
from probes.grid.splits import Split
from probes.labels import Codes, coded, decoded
from probes.scores import interval

LEAST = np.finfo(float).eps
"""The least probability that a label is given, as in scikit-learn's log_loss."""

Weights = Float[np.ndarray, "draws test"]


class LabelBoard:
    """The guesses of labels, from which all scores of a grid follow.

    The scores of all test prompts are kept: 8 bytes for each layer, token, test prompt
    and column, and twice that where there are probabilities.

    Args:
        layers: number of layers.
        columns: the labels as columns, and the tokens that are probed.
        split: the test prompts, and their weights in each resample.
    """

    def __init__(self, layers: int, columns: Columns, split: Split):
        self.columns, self.split = columns, split
        self.width = columns.starts[-1]
        cells, test = (layers, len(columns.tokens)), len(split.test)
        blocks = len(columns.ends) + 1
        self.guesses = np.zeros((*cells, blocks, test), np.int32)
        self.values = np.full((*cells, self.width, test), np.nan)
        self.chances: np.ndarray | None = None

    def lengths(self, truths: list[np.ndarray]) -> list[None]:
        """Returns nothing: only scores of numbers need lengths."""
        return [None] * len(truths)

    def add(
        self,
        layer: int,
        truths: list[np.ndarray],
        lengths: list[None],
        guesses: Iterable[np.ndarray],
        prompts: Int[np.ndarray, " batch"],
    ) -> None:
        """Counts the values of one layer in: see `Scoreboard.add`.

        The label with the highest value is guessed.
        """
        del truths, lengths
        for place, columns in enumerate(guesses):
            blocks = np.split(columns, self.columns.ends, axis=1)
            codes = [decoded(block) for block in blocks]
            self.guesses[layer, place][:, prompts] = codes
            self.values[layer, place][:, prompts] = columns[:, : self.width].T

    def put(
        self,
        layer: int,
        place: int,
        codes: Int[np.ndarray, "test blocks"],
        values: Float[np.ndarray, "test columns"],
        chances: Float[np.ndarray, "test columns"] | None,
    ) -> None:
        """Counts the guesses of one cell in.

        Args:
            layer: index of the layer.
            place: which of the probed tokens.
            codes: the guessed labels of each target, then of its control.
            values: scores by which prompts can be ordered, with a column as in `coded`.
            chances: probabilities, likewise; that of the second of two classes.
        """
        self.guesses[layer, place] = codes.T
        self.values[layer, place] = values.T
        if chances is not None:
            if self.chances is None:
                self.chances = np.full(self.values.shape, np.nan)
            self.chances[layer, place] = chances.T

    def variables(self, keep_resamples: bool) -> dict[str, tuple]:
        """Returns every score with its interval and the names of its axes."""
        weights = np.vstack(
            [np.ones(len(self.split.test)), self.split.weights.astype(float)]
        )
        shares = shares_of(self.columns, self.split)
        if shares is not None:
            weights *= shares
        layers, tokens = self.guesses.shape[:2]
        targets = len(self.columns.starts) - 1
        shape = layers, tokens, targets, len(weights)
        found: dict[str, np.ndarray] = {}
        for place, token in enumerate(self.columns.tokens):
            truths = self._codes(token, self.split.test)
            train = self.columns.having(place, self.split.train)
            before, of_train = self._codes(token, train), self.columns.weighing(train)
            kept = self.columns.kept(place, self.split.test)
            counted = weights if kept is None else weights * kept
            for target in range(targets):
                lines = _lines(truths[target], before[target], of_train, counted)
                for layer in range(layers):
                    own = self._measure(layer, place, target, truths, counted)
                    for name, draws in (own | lines).items():
                        found.setdefault(name, np.full(shape, np.nan))
                        found[name][layer, place, target] = draws
        return _named(found, keep_resamples)

    def _measure(
        self,
        layer: int,
        place: int,
        target: int,
        truths: Sequence[Codes],
        weights: Weights,
    ) -> dict[str, np.ndarray]:
        """Returns the scores of one target in one cell, first without resampling."""
        start, stop = self.columns.starts[target : target + 2]
        guess, truth = self.guesses[layer, place, target], truths[target]
        values = self.values[layer, place, start:stop]
        found = {
            "accuracy": _accuracy(truth == guess, weights),
            "balanced_accuracy": _balanced(truth, guess, weights),
            "auroc": _auroc(truth, values, weights),
        }
        if self.chances is not None:
            chances = self.chances[layer, place, start:stop]
            if stop - start == 1:
                chances = np.vstack([1 - chances, chances])
            bits = _bits(chances[truth, np.arange(len(truth))])
            found["log_loss"] = _mean(bits, weights)
        control = target + len(truths) // 2
        if self.columns.donors is not None:
            other, guess = truths[control], self.guesses[layer, place, control]
            found["control_accuracy"] = _accuracy(other == guess, weights)
            found["control_balanced_accuracy"] = _balanced(other, guess, weights)
        return found

    def _codes(self, token: int, rows: Int[np.ndarray, " rows"]) -> list[Codes]:
        """Returns the labels of each target at a token, then those of its control."""
        columns = self.columns.at(token, rows)
        return [decoded(part) for part in np.split(columns, self.columns.ends, axis=1)]


def classes_of(
    targets: Mapping[str, Shaped[np.ndarray, "prompts *slots"]],
) -> dict[str, np.ndarray]:
    """Returns the different labels of each target, sorted."""
    return {name: np.unique(labels) for name, labels in targets.items()}


def columns_of(
    labels: Mapping[str, Slotted], classes: Mapping[str, np.ndarray]
) -> dict[str, Slotted]:
    """Returns targets of labels, (prompts, slots, 1), as targets of columns."""
    return {
        name: Slotted(coded(one.values[..., 0], classes[name]), one.slots)
        for name, one in labels.items()
    }


def _named(found: dict[str, np.ndarray], keep_resamples: bool) -> dict[str, tuple]:
    """Returns the scores, first of all draws, with their intervals."""
    axes = ("layer", "token", "target")
    lines = {"majority", "prior_log_loss"}
    named: dict[str, tuple] = {}
    for name, draws in found.items():
        named[name] = axes, draws[..., 0]
        if name not in lines:
            low, high = interval(draws[..., 1:])
            named |= {f"{name}_low": (axes, low), f"{name}_high": (axes, high)}
            if keep_resamples and not name.startswith("control"):
                kept = draws[..., 1:].astype(np.float32)
                named[f"{name}_resampled"] = (*axes, "resample"), kept
    return named


def _lines(
    truth: Codes,
    seen: Codes,
    of_seen: Float[np.ndarray, " train"] | None,
    weights: Weights,
) -> dict[str, np.ndarray]:
    """Returns what is scored by whoever knows the shares of the labels in training.

    Args:
        truth: the labels of the test prompts.
        seen: those of the training prompts.
        of_seen: how much these count; None where all count alike.
        weights: how much each test prompt counts, in each resample.
    """
    counts = np.bincount(seen, of_seen, truth.max() + 1)
    shares = counts / counts.sum()
    return {
        "majority": _accuracy(truth == shares.argmax(), weights),
        "prior_log_loss": _mean(_bits(shares[truth]), weights),
    }


def _bits(chances: np.ndarray) -> np.ndarray:
    """Returns what each right label costs, given its probability."""
    return -np.log2(np.clip(chances, LEAST, 1))


def _accuracy(right: Bool[np.ndarray, " test"], weights: Weights) -> np.ndarray:
    return _mean(right.astype(float), weights)


def _mean(values: Float[np.ndarray, " test"], weights: Weights) -> np.ndarray:
    """Returns weighted means; NaN where nothing weighs, as a token that nobody has."""
    total = weights.sum(axis=1)
    return np.divide(
        weights @ values, total, out=np.full(len(total), np.nan), where=total > 0
    )


def _balanced(truth: Codes, guess: Codes, weights: Weights) -> np.ndarray:
    """Returns the mean over a resample's classes of their share of right guesses."""
    member = truth[:, None] == np.unique(truth)
    counts = weights @ member
    right = weights @ (member & (truth == guess)[:, None])
    shares = np.divide(right, counts, out=np.zeros_like(counts), where=counts > 0)
    present = (counts > 0).sum(axis=1)
    return np.divide(
        shares.sum(axis=1), present, out=np.full(len(counts), np.nan), where=present > 0
    )


def _auroc(
    truth: Codes, values: Float[np.ndarray, "columns test"], weights: Weights
) -> np.ndarray:
    """Returns the mean over classes; NaN where one class only is tested."""
    pairs = enumerate(values) if len(values) > 1 else [(1, values[0])]
    of_classes = [_auroc_of_class(truth == code, row, weights) for code, row in pairs]
    known = ~np.isnan(of_classes)
    total = np.nansum(of_classes, axis=0)
    counts = known.sum(axis=0)
    return np.divide(total, counts, out=np.full(len(weights), np.nan), where=counts > 0)


def _auroc_of_class(
    member: Bool[np.ndarray, " test"], values: np.ndarray, weights: Weights
) -> np.ndarray:
    """Returns the share of pairs in which the member has the higher value."""
    order = np.argsort(values, kind="stable")
    member, weights = member[order], weights[:, order]
    ins, outs = weights * member, weights * ~member
    below = np.cumsum(outs, axis=1)
    # Of prompts with one value, half of those on the other side count as below.
    ascending = values[order]
    starts = np.concatenate([[True], ascending[1:] > ascending[:-1]])
    ends = np.concatenate([starts[1:], [True]])
    number = np.cumsum(starts) - 1
    until = below[:, ends]
    before = np.hstack([np.zeros((len(weights), 1)), until[:, :-1]])
    middle = (before + until)[:, number] / 2
    pairs = ins.sum(axis=1) * outs.sum(axis=1)
    total = (ins * middle).sum(axis=1)
    return np.divide(total, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
