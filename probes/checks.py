"""Checks of what users hand in, each with one clear sentence for bad input.

The sentence names the value, what was expected, and the fix. Every check raises
`ValueError`, and returns what it checked in the form that the libraries work with.
"""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import ArrayLike
from sklearn.base import is_classifier, is_regressor


def finite(name: str, array: ArrayLike) -> None:
    """Refuses NaN and infinity."""
    bad = ~np.isfinite(np.asarray(array))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name} must be finite, but {int(bad.sum())} of its {bad.size} values are "
            f"NaN or infinite (the first at index {where})."
        )


def real(name: str, values: ArrayLike) -> np.ndarray:
    """Returns the array, and refuses anything but real numbers."""
    array = np.asanyarray(values)
    if array.dtype.kind in "cOSUmM":  # others, such as bfloat16, can be read as floats
        raise ValueError(
            f"{name} must hold real numbers, got an array of {array.dtype}."
        )
    return array


AXES = "(layers, prompts, tokens, features)"


def four_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of hidden states, and refuses all but four full axes."""
    if len(shape) in (0, 5):
        raise ValueError(
            f"hidden must have axes {AXES}, got shape {shape}; if it is a collection "
            "of batches, give an iterator, iter(batches)."
        )
    if len(shape) != 4 or 0 in shape:
        raise ValueError(
            f"hidden must have axes {AXES}, none of them empty, got shape {shape}."
        )
    return shape


def named(name: str, values: Any, *, fewest: int = 1) -> Mapping[str, Any]:
    """Returns the mapping, and refuses one with fewer than `fewest` entries."""
    if not isinstance(values, Mapping) or len(values) < fewest:
        raise ValueError(
            f'{name} must be a dictionary of at least {fewest}, such as {{"w": ...}} '
            f"with a target's name, got {values!r}."
        )
    return values


def target(
    name: str, values: ArrayLike, prompts: int, sizes: dict[str, int]
) -> Float[np.ndarray, "prompts ..."]:
    """Returns a target as float64, (prompts, q) or (prompts, slots, q).

    `sizes` says how many slots there may be: "tokens", and "contexts" where known.
    """
    if np.asarray(values).dtype.kind in "US":
        raise ValueError(
            f"target {name!r} holds strings; labels need a classifier as the probe, "
            "such as RidgeClassifier()."
        )
    array = np.asarray(real(f"target {name!r}", values), dtype=float)
    fits = array.ndim in (2, 3) and array.shape[0] == prompts and array.size
    if not fits or (array.ndim == 3 and array.shape[1] not in sizes.values()):
        slots = " or ".join(
            f"(prompts={prompts}, {k}={n}, q)" for k, n in sizes.items()
        )
        scalar = "a scalar has q = 1, values[:, None]"
        advice = scalar if array.ndim == 1 else _advice(sizes)
        raise ValueError(
            f"target {name!r} must have shape (prompts={prompts}, q) or {slots}, got "
            f"{array.shape}; {advice}."
        )
    finite(f"target {name!r}", array)
    return array


LABELS = "biuUSO"
"""The kinds of arrays that hold labels: booleans, integers and strings."""


def labels(
    name: str, values: ArrayLike, prompts: int, sizes: dict[str, int]
) -> Shaped[np.ndarray, "prompts ..."]:
    """Returns a target of labels, (prompts,) or (prompts, slots)."""
    array = np.asarray(values)
    if array.dtype.kind not in LABELS:
        raise ValueError(
            f"target {name!r} must hold labels (integers, booleans or strings) for a "
            f"classifier, got {array.dtype}; use values.astype(int) if they are "
            "labels, or a regressor as the probe if they are numbers."
        )
    fits = array.ndim in (1, 2) and array.shape[0] == prompts and array.size
    if not fits or (array.ndim == 2 and array.shape[1] not in sizes.values()):
        slots = " or ".join(f"(prompts={prompts}, {k}={n})" for k, n in sizes.items())
        raise ValueError(
            f"target {name!r} must hold one label for each prompt, (prompts={prompts},)"
            f", or {slots}, got shape {array.shape}."
        )
    if array.dtype.kind == "O" and not all(isinstance(x, str) for x in array.flat):
        raise ValueError(f"target {name!r} must hold strings or integers, not objects.")
    if len(np.unique(array)) < 2:
        raise ValueError(f"target {name!r} has the same label for all prompts.")
    return array


def ceiling(
    name: str, values: ArrayLike | float, targets: list[str], sizes: dict[str, int]
) -> Float[np.ndarray, "..."]:
    """Returns a ceiling as floats, a number or (slots,); NaN where there is none."""
    if name not in targets:
        raise ValueError(f"ceiling {name!r} has no target; targets are {targets}.")
    array = np.asarray(values, dtype=float)
    if array.ndim > 1 or (array.ndim == 1 and array.size not in sizes.values()):
        slots = " or ".join(f"({kind}={size},)" for kind, size in sizes.items())
        raise ValueError(
            f"ceiling {name!r} must be a number or of shape {slots}, got shape "
            f"{array.shape}; {_advice(sizes)}."
        )
    # A share of variance that was computed in float32 may end a little above 1.
    if (array > 1.001).any():
        raise ValueError(
            f"ceiling {name!r} is an R2 and cannot exceed 1, got {np.nanmax(array):g}; "
            "cut it off with np.minimum(ceiling, 1)."
        )
    return array


def _advice(sizes: dict[str, int]) -> str:
    """Returns how to give a target with an axis of context lengths."""
    if "contexts" in sizes:
        return "the number of contexts is max(contexts) + 1"
    return "for an axis of context lengths, pass `contexts`, the context of each token"


def prompt_count(hidden: Any, targets: Mapping[str, ArrayLike]) -> int:
    """Returns the number of prompts of an array, or else that of the targets."""
    counts = {len(np.atleast_1d(np.asarray(values))) for values in targets.values()}
    if not isinstance(hidden, np.ndarray):
        return max(counts)
    shape = four_axes(hidden.shape)
    fitting = [axis for axis in (0, 2, 3) if counts == {shape[axis]}]
    if fitting and shape[1] not in counts:
        raise ValueError(
            f"hidden must have axes {AXES}, but of its shape {shape} axis "
            f"{fitting[0]} is as long as the targets, and axis 1 is not; try "
            f"np.moveaxis(hidden, {fitting[0]}, 1)."
        )
    return shape[1]


def repeated_rows(targets: Mapping[str, np.ndarray]) -> None:
    """Refuses prompts that are copies of others, where no groups were given."""
    for name, values in targets.items():
        rows = values.reshape(len(values), -1)
        different = len({row.tobytes() for row in rows})
        if 1 < different <= len(rows) // 2:
            raise ValueError(
                f"target {name!r} has only {different} different rows among "
                f"{len(rows)} prompts. Rows that share a target, such as the tokens of "
                "one prompt, must not be on both sides of a split: give `groups`, a "
                "label for each row (np.arange(rows) if they are unrelated after all)."
            )


def context_indices(contexts: ArrayLike, tokens: int) -> Int[np.ndarray, " tokens"]:
    """Returns the context of every token, as non-negative integers."""
    array = np.asarray(contexts)
    is_index = array.shape == (tokens,) and np.issubdtype(array.dtype, np.integer)
    if not is_index or array.min() < 0:
        raise ValueError(
            f"contexts must be {tokens} integers >= 0, one for each token, got shape "
            f"{array.shape} of {array.dtype}."
        )
    return array


def token_names(names: Sequence[str] | None, tokens: int) -> list[Any]:
    """Returns the labels of the tokens: the names given, or their positions."""
    if names is None:
        return list(range(tokens))
    if len(names) != tokens or len(set(names)) != tokens:
        raise ValueError(
            f"tokens must be {tokens} different names, one for each token, got "
            f"{len(names)} of which {len(set(names))} differ."
        )
    return list(names)


def valid_tokens(
    valid: ArrayLike | None, shape: tuple[int, int]
) -> Bool[np.ndarray, "prompts tokens"] | None:
    """Returns which tokens each prompt has, or None if each has all of them."""
    if valid is None:
        return None
    array = np.asarray(valid)
    if array.dtype != bool or array.shape != shape:
        raise ValueError(
            f"valid must be booleans of shape (prompts, tokens) = {shape}, True where "
            f"a prompt has the token, got {array.dtype} of shape {array.shape}."
        )
    return None if array.all() else array


def unmasked(hidden: np.ma.MaskedArray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the states of a masked array, and which tokens each prompt has.

    A token that is masked must be masked in all layers and features.
    """
    four_axes(hidden.shape)
    mask = np.ma.getmaskarray(hidden)
    missing = mask.any(axis=(0, 3))
    if not np.array_equal(missing, mask.all(axis=(0, 3))):
        raise ValueError(
            "hidden must mask whole tokens of a prompt, in all layers and features; "
            "for anything else fill the array, hidden.filled(...)."
        )
    return np.asarray(hidden.data), np.logical_not(missing)


def enough_prompts(
    valid: Bool[np.ndarray, "prompts tokens"],
    tokens: Sequence[Any],
    train: Int[np.ndarray, " train"],
    test: Int[np.ndarray, " test"],
    groups: Shaped[np.ndarray, " prompts"],
) -> None:
    """Refuses tokens that too few prompts have to fit a probe and to test it."""
    for place, name in enumerate(tokens):
        fitting = len(np.unique(groups[train[valid[train, place]]]))
        tested = int(valid[test, place].sum())
        if fitting < 2 or not tested:
            raise ValueError(
                f"token {name!r} is valid in {fitting} groups of training prompts and "
                f"{tested} test prompts, and 2 and 1 are needed; leave it out (at=...)."
            )


def group_labels(
    groups: ArrayLike | None, prompts: int, test_fraction: float
) -> Shaped[np.ndarray, " prompts"]:
    """Returns one label for each prompt, with groups enough to train and to test."""
    labels = np.arange(prompts) if groups is None else np.asarray(groups)
    if labels.shape != (prompts,):
        raise ValueError(
            f"groups must hold one label for each of the {prompts} prompts, got shape "
            f"{labels.shape}."
        )
    if labels.dtype.kind == "f":
        finite("groups", labels)
    count = len(np.unique(labels))
    if count < 2:
        raise ValueError(
            "at least 2 groups of prompts are needed, one to train and one to test on, "
            f"got {count}."
        )
    if not 0 < test_fraction < 1 or math.ceil(test_fraction * count) >= count:
        raise ValueError(
            "test_fraction must lie between 0 and 1 and leave a group to train on, got "
            f"{test_fraction!r} with {count} groups."
        )
    return labels


def seed(value: Any) -> int:
    """Returns a seed that NumPy and scikit-learn take."""
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number < 2**32:
        raise ValueError(f"seed must be an integer in [0, 2**32), got {value!r}.")
    return number


def positive_int(name: str, value: Any) -> int:
    """Returns an integer of at least 1."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"{name} must be an integer >= 1, got {value!r}.")
    return number


def share(name: str, value: float) -> float:
    """Returns a share that leaves something on both sides."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value!r}.")
    return value


def finite_layers(hidden: np.ndarray) -> None:
    """Refuses NaN and infinity in hidden states; reads one layer at a time."""
    for layer, states in enumerate(hidden):
        finite(f"hidden[{layer}]", states)


def positive(name: str, values: Sequence[float]) -> tuple[float, ...]:
    """Returns one or more finite numbers above 0."""
    numbers = np.asarray(values, float)
    if numbers.ndim != 1 or not numbers.size or not (numbers > 0).all():
        raise ValueError(f"{name} must be numbers above 0, got {values!r}.")
    finite(name, numbers)
    return tuple(numbers.tolist())


def positions(at: Sequence[Any] | None, names: Sequence[Any]) -> list[int]:
    """Returns the positions of the tokens `at` among all names; None means all."""
    if at is None:
        return list(range(len(names)))
    known = {name: place for place, name in enumerate(names)}
    several = isinstance(at, Sequence | np.ndarray) and not isinstance(at, str)
    if not several or not len(at) or len(set(at) & set(known)) < len(at):
        raise ValueError(
            f"at must be a list of different tokens among {list(names)}, got {at!r}."
        )
    return sorted(known[token] for token in at)


def classifies(probe: Any) -> bool:
    """Returns whether a probe is a classifier.

    It refuses all but instances of scikit-learn regressors and classifiers.
    """
    try:
        kinds = is_classifier(probe), is_regressor(probe)
    except (AttributeError, TypeError):
        kinds = False, False
    if not any(kinds):
        raise ValueError(
            "probe must be a scikit-learn regressor or classifier, or a pipeline that "
            f"ends in one, such as Ridge(alpha=1.0), got {probe!r}."
        )
    return kinds[0]
