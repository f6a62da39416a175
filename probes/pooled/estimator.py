"""`PooledProbe`, a scikit-learn estimator: pools tokens by learned weights, then reads.

It is one probe of `probes.pooled` behind scikit-learn's interface, for pipelines and
searches over settings. scikit-learn's arrays have two axes, so the tokens of a prompt
lie side by side: X is (prompts, tokens * features), token by token, which is
`hidden.reshape(len(hidden), -1)`. To fit many probes, call `probes.pooled.fit`, which
trains them in one program.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from sklearn.base import (
    MultiOutputMixin,
    RegressorMixin,
    _fit_context,  # pyrefly: ignore[missing-module-attribute]
)

from probes import checks
from probes.pooled.base import PooledEstimator
from probes.pooled.inputs import refuse_beyond_float32


class PooledProbe(MultiOutputMixin, RegressorMixin, PooledEstimator):
    """Reads a target from a softmax-weighted average of tokens; linear or MLP head.

    The prediction is head(sum_t a_t h_t) with a = softmax(s), where s is learned and
    the same for every prompt (Akyürek et al. 2023, Equations 20-21;
    `probes.pooled.parameters` says how the value projection is part of the head).
    Features and outputs are standardised inside, so that every output counts alike.
    Adam trains the probe on the squared error, in float32, and the parameters that are
    kept are those after the epoch with the lowest error on held-out rows. With one
    token it is a linear or an MLP probe.

    Rows are held out at random, so each should be a prompt of its own.

    Args:
        n_tokens: number of tokens in a row of X; it must divide the number of columns.
        head: "linear", or "mlp", which has one hidden layer of GELU units.
        units: width of the hidden layer; a linear head does not use it.
        learning_rate: the learning rate of Adam.
        weight_decay: decoupled weight decay, times the learning rate.
        batch_size: number of rows in a minibatch; all of them, if there are fewer.
        max_iter: the largest number of epochs.
        n_iter_no_change: training stops after this many epochs in a row without a
            lower error.
        validation_fraction: share of the rows that is held out to decide when to stop.
        random_state: decides which rows are held out, the initial weights and the
            minibatches.
        reads: in `probe_grid`, what each probe reads: "prefix", its token and all
            before it, or "token", its token alone. Here, all tokens of a row are read.

    Attributes:
        position_weights_: each token's weight, (n_tokens,); they sum to 1.
        coefs_: the head's matrices, in the units of X and y: (features, outputs), or
            (features, units) and (units, outputs).
        intercepts_: a vector for each of these matrices.
        n_iter_: number of epochs that were run.
        validation_loss_: mean squared error on the held-out rows, in units of each
            output's variance and summed over outputs.
        n_features_in_: number of columns of X, tokens * features.

    Raises:
        ValueError: `fit` and `predict` raise it where n_tokens does not divide the
            columns of X, and where scikit-learn does, for parameters and arrays that
            are not what they should be.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> hidden = rng.normal(size=(500, 3, 4))  # prompts, tokens, features
        >>> X = hidden.reshape(500, -1)
        >>> y = hidden[:, 2, :2] + 0.1 * rng.normal(size=(500, 2))
        >>> probe = PooledProbe(3, "linear", learning_rate=0.03, random_state=0)
        >>> probe.fit(X[:400], y[:400]).position_weights_.round(1)
        array([0., 0., 1.], dtype=float32)
        >>> probe.score(X[400:], y[400:]) > 0.95
        True
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: Any = None
    ) -> "PooledProbe":
        """Fits the probe to X, (n, n_tokens * features), and y, (n,) or (n, q).

        Args:
            X: the rows.
            y: what is read out of them.
            sample_weight: how much each row counts, (n,); a row of weight 0 is left
                out. None: all count alike.
        """
        X, y = self._validated(
            X, y, multi_output=True, y_numeric=True, ensure_min_samples=2
        )
        checks.finite("y", y)
        refuse_beyond_float32("y", y, axis=0)
        self._one_output = y.ndim == 1
        self.validation_loss_ = self._train(X, y.reshape(len(y), -1), sample_weight)
        return self

    def predict(self, X: ArrayLike) -> Float[np.ndarray, "n ..."]:
        """Returns what the probe reads from X, (n,) or (n, q) as y was, in float64."""
        guesses = self._read(X)
        return guesses[:, 0] if self._one_output else guesses
