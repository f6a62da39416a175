"""What the two pooled estimators have in common: settings, training and reading.

The tokens of a prompt lie side by side, as scikit-learn's arrays have two axes: X is
(prompts, tokens * features), token by token, `hidden.reshape(len(hidden), -1)`.
"""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.special import ndtr
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import _param_validation, check_random_state
from sklearn.utils.validation import (
    check_is_fitted,
    validate_data,  # pyrefly: ignore[missing-module-attribute]
)

from probes import cautions, checks
from probes.arrays import native, real
from probes.label_checks import given_labels, real_labels
from probes.pooled.config import ProbeConfig, checked
from probes.pooled.inputs import refuse_beyond_float32

# The type checker's stubs are of an older scikit-learn, where these are abstract.
Interval: Any = _param_validation.Interval
StrOptions: Any = _param_validation.StrOptions

MOST_SAID = 200  # characters of what scikit-learn says

_AT_LEAST_1 = Interval(Integral, 1, None, closed="left")


class PooledEstimator(BaseEstimator):
    """The settings of a pooled probe, how it is trained, and what it reads.

    `PooledProbe` and `PooledClassifier` say what the settings are; they are the two
    estimators of this kind, and differ in what y is.
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

    def config(self) -> ProbeConfig:
        """Returns the constructor's arguments as `probes.pooled.fit` takes them.

        Raises:
            ValueError: an argument is not what it should be.
        """
        _param_validation.validate_parameter_constraints(
            self._parameter_constraints, self.get_params(), type(self).__name__
        )
        # scikit-learn takes True for 1, and integers of any size.
        checks.positive_int("n_tokens", self.n_tokens)
        config = ProbeConfig(
            units=self.units if self.head == "mlp" else None,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            max_iter=self.max_iter,
            n_iter_no_change=self.n_iter_no_change,
        )
        return checked(config, of="")

    def _validated(self, *arrays: Any, **options: Any) -> Any:
        """Returns arrays as scikit-learn checks them, and as real numbers or labels.

        Alone it takes masked arrays, dates and text for numbers, and cannot read all
        tensors.
        """
        labelled = is_classifier(self)
        readers = {"X": _numbers, "y": _labels if labelled else _numbers}
        names = zip("Xy", arrays, strict=False)
        arrays = tuple(readers[name](name, values) for name, values in names)
        try:
            found = validate_data(self, *arrays, **options)
        except (TypeError, ValueError) as error:  # of several lines, with the array
            said = " ".join(str(error).split())[:MOST_SAID]
            both = "X and y must be arrays" if len(arrays) > 1 else "X must be an array"
            raise type(error)(f"{both} that scikit-learn takes: {said}") from error
        if len(arrays) == 1:
            return real("X", found)
        return real("X", found[0]), found[1] if labelled else real("y", found[1])

    def _train(
        self,
        X: np.ndarray,
        targets: Float[np.ndarray, "n coordinates"],
        sample_weight: Any,
        codes: Int[np.ndarray, " n"] | None = None,
    ) -> float:
        """Trains the probe, and returns its loss on the rows that were held out.

        Args:
            X: the rows, which scikit-learn has checked.
            targets: what is read out; of labels, 1 for the right one and 0 elsewhere.
            sample_weight: how much each row counts; None where all count alike.
            codes: the labels as integers, if these are labels.
        """
        from probes import pooled  # imports JAX, which the other probes do not need

        if isinstance(self.random_state, bool):
            raise ValueError(
                f"random_state must be an integer, got {self.random_state}."
            )
        config = self.config()
        refuse_beyond_float32("X", X)
        weights = None
        if sample_weight is not None:
            weights = checks.sample_weight(sample_weight, len(X))
        random = check_random_state(self.random_state)
        rows = np.arange(len(X)) if weights is None else np.flatnonzero(weights)
        train, validation = self._held_out(rows, codes, random)
        reads = np.ones((1, self.n_tokens), bool)
        fitted = pooled.fit(
            self._hidden(X)[None],
            targets[None],
            reads,
            train=train,
            validation=validation,
            config=config,
            seed=int(random.randint(2**31 - 1)),
            sample_weight=weights,
            labelled=codes is not None,
        )
        self.position_weights_ = pooled.position_weights(fitted.probes, reads)[0, 0]
        self.coefs_ = [weight[0, 0] for weight in fitted.probes.weights]
        self.intercepts_ = [bias[0, 0] for bias in fitted.probes.biases]
        self.n_iter_ = int(fitted.n_iter[0, 0])
        if self.n_iter_ == self.max_iter:
            cautions.warn(
                f"The probe was still improving, or patient, after max_iter="
                f"{self.max_iter} epochs; raise max_iter or learning_rate.",
                ConvergenceWarning,
            )
        return float(fitted.validation_loss[0, 0])

    def _held_out(
        self,
        rows: Int[np.ndarray, " rows"],
        codes: Int[np.ndarray, " n"] | None,
        random: np.random.RandomState,
    ) -> list[np.ndarray]:
        """Returns rows that train and rows that validate; of labels alike shares.

        Where a label occurs once, or there are fewer rows than labels on a side, rows
        are held out whatever their labels are.
        """
        held = int(np.ceil(self.validation_fraction * len(rows)))
        if held >= len(rows):
            raise ValueError(
                "validation_fraction must leave a row to train on, got "
                f"{self.validation_fraction!r} with {len(rows)} rows."
            )
        strata = None
        if codes is not None:
            _, counts = np.unique(codes[rows], return_counts=True)
            sides = min(held, len(rows) - held)
            strata = codes[rows] if counts.min() > 1 and sides >= len(counts) else None
        return train_test_split(
            rows,
            test_size=self.validation_fraction,
            random_state=random,
            stratify=strata,
        )

    def _read(self, X: ArrayLike) -> Float[np.ndarray, "n coordinates"]:
        """Returns what the probe reads from X, in float64."""
        check_is_fitted(self)
        hidden = self._hidden(self._validated(X, reset=False, dtype=np.float64))
        states = np.einsum("t,ntf->nf", self.position_weights_, hidden)
        for weight, bias in zip(self.coefs_[:-1], self.intercepts_[:-1], strict=True):
            states = states @ weight + bias
            states = states * ndtr(states)  # GELU
        return states @ self.coefs_[-1] + self.intercepts_[-1]

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


def _numbers(name: str, values: Any) -> Any:
    """Returns values of a kind that scikit-learn would misread as an array."""
    dtype = getattr(values, "dtype", None)
    kind = getattr(dtype, "kind", "")
    masked = isinstance(values, np.ma.MaskedArray)
    text = kind == "O" and any(isinstance(x, str | bytes) for x in np.ravel(values))
    if not (masked or text or kind in set("mMSUV") or hasattr(values, "detach")):
        return values
    if text:
        raise ValueError(f"{name} must hold real numbers, got text among objects.")
    return native(real(name, values))


def _labels(name: str, values: Any) -> Any:
    """Returns labels; floats that are whole numbers are left to scikit-learn."""
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    if values is None or kind == "c":  # of which scikit-learn has its own to say
        return values
    if kind == "V" or "float" in str(getattr(values, "dtype", "")):
        values = _numbers(name, values)
    found = given_labels(name, values)
    return found if found.dtype.kind == "f" else real_labels(name, found)
