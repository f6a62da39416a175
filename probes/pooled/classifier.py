"""`PooledClassifier`, a scikit-learn classifier: pools tokens, then reads a label.

It is `PooledProbe` with the softmax of the logarithms of labels' shares and of what the
head reads, and the cross-entropy as its loss.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.base import (
    ClassifierMixin,
    _fit_context,  # pyrefly: ignore[missing-module-attribute]
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from probes.pooled.base import PooledEstimator


class PooledClassifier(ClassifierMixin, PooledEstimator):
    """Reads a label from a softmax-weighted average of tokens; linear or MLP head.

    The probabilities of the labels are softmax(head(sum_t a_t h_t)) with
    a = softmax(s), where s is learned and the same for every prompt, as in
    `PooledProbe`. Features are standardised inside. Adam trains the probe on the
    cross-entropy, in float32, and the parameters that are kept are those after the
    epoch with the lowest cross-entropy on held-out rows. Before the training the probe
    knows the shares of the labels, and nothing else.

    Rows are held out at random, with shares of labels as in the others, so each should
    be a prompt of its own.

    Args:
        n_tokens: number of tokens in a row of X; it must divide the number of columns.
        head: "linear", or "mlp", which has one hidden layer of GELU units.
        units: width of the hidden layer; a linear head does not use it.
        learning_rate: the learning rate of Adam.
        weight_decay: decoupled weight decay, times the learning rate.
        batch_size: number of rows in a minibatch; all of them, if there are fewer.
        max_iter: the largest number of epochs.
        n_iter_no_change: training stops after this many epochs in a row without a
            lower cross-entropy.
        validation_fraction: share of the rows that is held out to decide when to stop.
        random_state: decides which rows are held out, the initial weights and the
            minibatches.
        reads: in `probe_grid`, what each probe reads: "prefix", its token and all
            before it, or "token", its token alone. Here, all tokens of a row are read.

    Attributes:
        classes_: the labels, sorted.
        position_weights_: each token's weight, (n_tokens,); they sum to 1.
        coefs_: the head's matrices, in the units of X: (features, labels), or
            (features, units) and (units, labels).
        intercepts_: a vector for each of these matrices.
        n_iter_: number of epochs that were run.
        validation_loss_: the log-loss on the held-out rows, in bits.
        n_features_in_: number of columns of X, tokens * features.

    Raises:
        ValueError: `fit` and `predict` raise it where n_tokens does not divide the
            columns of X, for y with one label only, and where scikit-learn does, for
            parameters and arrays that are not what they should be.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> hidden = rng.normal(size=(500, 3, 4))  # prompts, tokens, features
        >>> X = hidden.reshape(500, -1)
        >>> y = np.where(hidden[:, 2, 0] > 0, "positive", "negative")
        >>> probe = PooledClassifier(3, "linear", learning_rate=0.03, random_state=0)
        >>> probe.fit(X[:400], y[:400]).position_weights_.argmax().item()
        2
        >>> probe.score(X[400:], y[400:]) > 0.9
        True
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: Any = None
    ) -> "PooledClassifier":
        """Fits the probe to X, (n, n_tokens * features), and labels y, (n,).

        The arguments are those of `PooledProbe.fit`, but that y holds labels.
        """
        X, y = self._validated(X, y, ensure_min_samples=2)
        try:
            check_classification_targets(y)
        except (TypeError, ValueError) as error:
            raise ValueError(f"y must hold labels: {error}") from error
        labels = column_or_1d(y, warn=True)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y must hold labels of at least 2 classes, got {self.classes_[0]!r} "
                "alone."
            )
        right = np.eye(len(self.classes_))[codes]
        self.validation_loss_ = self._train(X, right, sample_weight, codes) / np.log(2)
        return self

    def predict_proba(self, X: ArrayLike) -> Float[np.ndarray, "n labels"]:
        """Returns the probability of each label, in the order of `classes_`."""
        return softmax(self._read(X), axis=1)

    def predict(self, X: ArrayLike) -> Shaped[np.ndarray, " n"]:
        """Returns the most probable labels."""
        check_is_fitted(self)
        return self.classes_[self._read(X).argmax(axis=1)]
