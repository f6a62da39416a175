"""`PooledProbe`, a scikit-learn estimator: pools tokens by learned weights, then reads.

It is one probe of `probes.pooled` behind scikit-learn's interface, for pipelines and
searches over settings. scikit-learn's arrays have two axes, so the tokens of a prompt
lie side by side: X is (prompts, tokens * features), token by token, which is
`hidden.reshape(len(hidden), -1)`. To fit many probes, call `probes.pooled.fit`, which
trains them in one program.
"""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import ndtr
from sklearn.base import (
    BaseEstimator,
    MultiOutputMixin,
    RegressorMixin,
    _fit_context,  # pyrefly: ignore[missing-module-attribute]
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import _param_validation, check_random_state
from sklearn.utils.validation import (
    check_is_fitted,
    validate_data,  # pyrefly: ignore[missing-module-attribute]
)

from probes import cautions, checks
from probes.arrays import real
from probes.pooled.config import ProbeConfig

# The type checker's stubs are of an older scikit-learn, where these are abstract.
Interval: Any = _param_validation.Interval
StrOptions: Any = _param_validation.StrOptions

MOST_SAID = 200  # characters of what scikit-learn says

_AT_LEAST_1 = Interval(Integral, 1, None, closed="left")


class PooledProbe(MultiOutputMixin, RegressorMixin, BaseEstimator):
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

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_tokens": [_AT_LEAST_1],
        "head": [StrOptions({"linear", "mlp"})],
        "units": [_AT_LEAST_1],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [_AT_LEAST_1],
        "max_iter": [_AT_LEAST_1],
        "n_iter_no_change": [_AT_LEAST_1],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "reads": [StrOptions({"prefix", "token"})],
    }

    def __init__(
        self,
        n_tokens: int = 1,
        head: str = "mlp",
        *,
        units: int = 64,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.0,
        batch_size: int = 128,
        max_iter: int = 300,
        n_iter_no_change: int = 10,
        validation_fraction: float = 0.2,
        random_state: int | np.random.RandomState | None = None,
        reads: str = "prefix",
    ):
        self.n_tokens = n_tokens
        self.head = head
        self.units = units
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.n_iter_no_change = n_iter_no_change
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.reads = reads

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike) -> "PooledProbe":
        """Fits the probe to X, (n, n_tokens * features), and y, (n,) or (n, q)."""
        from probes import pooled  # imports JAX, which the other probes do not need

        if isinstance(self.random_state, bool):
            raise ValueError(
                f"random_state must be an integer, got {self.random_state}."
            )
        X, y = _validated(
            self, X, y, multi_output=True, y_numeric=True, ensure_min_samples=2
        )
        with np.errstate(over="ignore"):  # the probe is trained in float32
            checks.finite("X", X.astype(np.float32))
        checks.finite("y", y)
        random = check_random_state(self.random_state)
        train, validation = train_test_split(
            np.arange(len(X)), test_size=self.validation_fraction, random_state=random
        )
        reads = np.ones((1, self.n_tokens), bool)
        fitted = pooled.fit(
            self._hidden(X)[None],
            y.reshape(1, len(y), -1),
            reads,
            train=train,
            validation=validation,
            config=self.config(),
            seed=int(random.randint(2**31 - 1)),
        )
        self.position_weights_ = pooled.position_weights(fitted.probes, reads)[0, 0]
        self.coefs_ = [weight[0, 0] for weight in fitted.probes.weights]
        self.intercepts_ = [bias[0, 0] for bias in fitted.probes.biases]
        self._one_output = y.ndim == 1
        self.n_iter_ = int(fitted.n_iter[0, 0])
        self.validation_loss_ = float(fitted.validation_loss[0, 0])
        if self.n_iter_ == self.max_iter:
            cautions.warn(
                f"The probe was still improving, or patient, after max_iter="
                f"{self.max_iter} epochs; raise max_iter or learning_rate.",
                ConvergenceWarning,
            )
        return self

    def config(self) -> ProbeConfig:
        """Returns the constructor's arguments as `probes.pooled.fit` takes them.

        Raises:
            ValueError: an argument is not what it should be.
        """
        _param_validation.validate_parameter_constraints(
            self._parameter_constraints, self.get_params(), type(self).__name__
        )
        return ProbeConfig(
            units=self.units if self.head == "mlp" else None,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            max_iter=self.max_iter,
            n_iter_no_change=self.n_iter_no_change,
        )

    def predict(self, X: ArrayLike) -> Float[np.ndarray, "n ..."]:
        """Returns what the probe reads from X, (n,) or (n, q) as y was, in float64."""
        check_is_fitted(self)
        hidden = self._hidden(_validated(self, X, reset=False, dtype=np.float64))
        states = np.einsum("t,ntf->nf", self.position_weights_, hidden)
        for weight, bias in zip(self.coefs_[:-1], self.intercepts_[:-1], strict=True):
            states = states @ weight + bias
            states = states * ndtr(states)  # GELU
        guesses = states @ self.coefs_[-1] + self.intercepts_[-1]
        return guesses[:, 0] if self._one_output else guesses

    def _hidden(self, X: np.ndarray) -> Float[np.ndarray, "n tokens features"]:
        """Returns the rows of X with an axis of tokens.

        Raises:
            ValueError: n_tokens does not divide the columns of X.
        """
        if X.shape[1] % self.n_tokens:
            raise ValueError(
                f"n_tokens={self.n_tokens} does not divide the {X.shape[1]} columns of "
                "X; X must be (prompts, n_tokens * features), such as "
                "hidden.reshape(len(hidden), -1)."
            )
        return X.reshape(len(X), self.n_tokens, -1)


def _validated(probe: PooledProbe, *arrays: Any, **options: Any) -> Any:
    """Returns arrays as scikit-learn checks them, which refuses what is no number.

    It takes masked arrays, dates and text for numbers, and cannot read all tensors.
    """
    names = zip("Xy", arrays, strict=False)
    arrays = tuple(_numbers(name, values) for name, values in names)
    try:
        return validate_data(probe, *arrays, **options)
    except (TypeError, ValueError) as error:  # of several lines, with the array in them
        said = " ".join(str(error).split())[:MOST_SAID]
        both = "X and y must be arrays" if len(arrays) > 1 else "X must be an array"
        raise type(error)(f"{both} that scikit-learn takes: {said}") from error


def _numbers(name: str, values: Any) -> Any:
    """Returns values of a kind that scikit-learn would misread as an array."""
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    masked = isinstance(values, np.ma.MaskedArray)
    return real(name, values) if masked or kind in set("mMSUV") else values
