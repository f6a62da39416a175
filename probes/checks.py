"""Checks of what users hand in, each with one clear sentence for bad input.

The sentence names the value, what was expected, and the fix. Every check raises
`ValueError`, and returns what it checked in the form that the libraries work with.
"""

import math
import operator
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import ArrayLike
from sklearn.base import is_classifier, is_regressor

from probes.arrays import real, shown

LARGEST = 2**32 - 1
"""The largest size, count or seed."""

SMALLEST = 1e-146
"""Squares of smaller numbers lose digits in float64, which ends at 1e-308."""


def finite(name: str, array: Any) -> None:
    """Refuses NaN and infinity."""
    bad = ~np.isfinite(real(name, array))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name} must be finite, but {int(bad.sum())} of its {bad.size} values are "
            f"NaN or infinite (the first at index {where})."
        )


def floats(name: str, values: Any) -> np.ndarray:
    """Returns real numbers that are finite, as float64."""
    array = real(name, values).astype(float)
    finite(name, array)
    return array


def squarable(name: str, array: np.ndarray) -> None:
    """Refuses finite numbers so large, or all so small, that float64 has no squares."""
    with np.errstate(over="ignore"):
        finite = np.isfinite(np.square(array).sum())
    largest = float(np.abs(array).max(initial=0.0))
    if not finite or 0 < largest < SMALLEST:
        fix = "multiply" if finite else "divide"
        raise ValueError(
            f"{name} must hold numbers whose squares can be added up, got some up "
            f"to {largest:.3g}; {fix} them by a constant."
        )


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
            f"with a target's name, got {shown(values)}."
        )
    one_kind(f"the names of {name}", values)
    return values


def one_kind(name: str, labels: Collection[Any]) -> None:
    """Refuses labels of an axis that are sequences, or text beside something else.

    xarray would take the former for more axes, and the latter all for text.
    """
    sequences = [x for x in labels if isinstance(x, Sequence) and not _is_text(x)]
    if sequences or len({_is_text(label) for label in labels}) > 1:
        raise ValueError(
            f"{name} must all be text, or all numbers, got {shown(list(labels))}."
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str | bytes)


def target(
    name: str, values: ArrayLike, prompts: int, sizes: dict[str, int]
) -> Float[np.ndarray, "prompts ..."]:
    """Returns a target as float64, (prompts, q) or (prompts, slots, q).

    `sizes` says how many slots there may be: "tokens", and "contexts" where known.
    """
    array = real(f"target {name!r}", values).astype(float)
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


def ceiling(
    name: str, values: ArrayLike | float, targets: list[str], sizes: dict[str, int]
) -> Float[np.ndarray, "..."]:
    """Returns a ceiling as floats, a number or (slots,); NaN where there is none."""
    if name not in targets:
        raise ValueError(f"ceiling {shown(name)} has no target; targets are {targets}.")
    array = real(f"ceiling {name!r}", values).astype(float)
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
    counts = {len(np.atleast_1d(values)) for values in targets.values()}
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


def context_indices(contexts: ArrayLike, tokens: int) -> Int[np.ndarray, " tokens"]:
    """Returns the context of every token, as non-negative integers."""
    array = real("contexts", contexts)
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
    names = several("tokens", names, "names")
    if len(names) != tokens or len(set(names)) != tokens:
        raise ValueError(
            f"tokens must be {tokens} different names, one for each token, got "
            f"{len(names)} of which {len(set(names))} differ."
        )
    one_kind("tokens", names)
    return list(names)


def valid_tokens(
    valid: ArrayLike | None, shape: tuple[int, int]
) -> Bool[np.ndarray, "prompts tokens"] | None:
    """Returns which tokens each prompt has, or None if each has all of them."""
    if valid is None:
        return None
    array = real("valid", valid)
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


def sample_weight(values: Any, prompts: int) -> Float[np.ndarray, " prompts"]:
    """Returns a weight of at least 0 for each prompt, some of them above 0."""
    array = floats("sample_weight", values)
    if array.shape != (prompts,):
        raise ValueError(
            f"sample_weight must hold one number for each of the {prompts} prompts, "
            f"got shape {array.shape}."
        )
    if array.min() < 0:
        raise ValueError(
            f"sample_weight must hold numbers of at least 0, got {array.min():g}."
        )
    if not array.any():
        raise ValueError(
            "sample_weight must be above 0 for some prompts, but all "
            f"{prompts} weights are zero."
        )
    return array


def integer(name: str, value: Any, low: int, high: int = LARGEST) -> int:
    """Returns an integer from `low` to `high`; refuses bools and floats."""
    # A tensor of PyTorch that holds a boolean counts as an integer to Python.
    kind = str(getattr(value, "dtype", type(value).__name__))
    try:
        number = None if "bool" in kind else operator.index(value)
    except TypeError:
        number = None
    if number is None or not low <= number <= high:
        bound = f">= {low}" if number is None or number < low else f"<= {high:,}"
        raise ValueError(f"{name} must be an integer {bound}, got {shown(value)}.")
    return number


def indices(name: str, values: Any, low: int, high: int) -> Int[np.ndarray, "..."]:
    """Returns the values as an array of integers in [low, high)."""
    array = real(name, values)
    whole = array.size == 0 or array.dtype.kind in "iu"
    if not whole or (array < low).any() or (array >= high).any():
        raise ValueError(
            f"{name} must be integers in [{low}, {high}), got {shown(values)}."
        )
    return array.astype(int)


def seed(value: Any) -> int:
    """Returns a seed that NumPy and scikit-learn take."""
    try:
        return integer("seed", value, 0)
    except ValueError:
        raise ValueError(
            f"seed must be an integer in [0, 2**32), got {shown(value)}."
        ) from None


def positive_int(name: str, value: Any, maximum: int = LARGEST) -> int:
    """Returns an integer of at least 1."""
    return integer(name, value, 1, maximum)


def number(name: str, value: Any) -> float:
    """Returns a finite number as a float; refuses bools and text."""
    try:
        if hasattr(value, "dtype"):  # a scalar of NumPy, JAX or PyTorch
            value = real(name, value)
            found = float(value) if value.ndim == 0 and value.dtype != bool else np.nan
        else:
            found = np.nan if isinstance(value, bool | str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = np.nan
    if not math.isfinite(found):
        raise ValueError(f"{name} must be a finite number, got {shown(value)}.")
    return found


def share(name: str, value: float) -> float:
    """Returns a share that leaves something on both sides."""
    found = number(name, value)
    if not 0 < found < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {shown(value)}.")
    return found


def flag(name: str, value: Any) -> bool:
    """Returns True or False, and refuses what Python would count as one of them."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {shown(value)}.")
    return bool(value)


def one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Refuses a `value` that is not among `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        choices = " or ".join(map(repr, allowed))
        raise ValueError(f"{name} must be {choices}, got {shown(value)}.")


def of_kind(name: str, value: Any, kinds: Any, wanted: str) -> None:
    """Refuses what is no instance of some classes; `wanted` says what there must be."""
    if not isinstance(value, kinds):
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}.")


def several(name: str, values: Any, what: str) -> list[Any]:
    """Returns names as a list, and refuses a single one and what has no hash."""
    is_list = isinstance(values, Collection) and getattr(values, "ndim", 1) == 1
    is_list = is_list and not isinstance(values, str | bytes | Mapping)
    if not is_list or not all(isinstance(each, Hashable) for each in values):
        raise ValueError(f"{name} must be a list of {what}, got {shown(values)}.")
    return list(values)


def finite_layers(hidden: np.ndarray) -> None:
    """Refuses NaN and infinity in hidden states; reads one layer at a time."""
    for layer, states in enumerate(hidden):
        finite(f"hidden[{layer}]", states)


def positive(name: str, values: Sequence[float]) -> tuple[float, ...]:
    """Returns one or more finite numbers above 0."""
    numbers = floats(name, values)
    if numbers.ndim != 1 or not numbers.size or not (numbers > 0).all():
        raise ValueError(f"{name} must be numbers above 0, got {shown(values)}.")
    return tuple(numbers.tolist())


def positions(at: Sequence[Any] | None, names: Sequence[Any]) -> list[int]:
    """Returns the positions of the tokens `at` among all names; None means all."""
    if at is None:
        return list(range(len(names)))
    known = {name: place for place, name in enumerate(names)}
    what = f"different tokens among {list(names)}"
    chosen = several("at", at, what)
    if not chosen or len(set(chosen) & set(known)) < len(chosen):
        raise ValueError(f"at must be a list of {what}, got {shown(at)}.")
    return sorted(known[token] for token in chosen)


def classifies(probe: Any) -> bool:
    """Returns whether a probe is a classifier.

    It refuses all but instances of scikit-learn regressors and classifiers.
    """
    try:
        kinds = is_classifier(probe), is_regressor(probe)
    except (AttributeError, TypeError):
        kinds = False, False
    if not any(kinds) or isinstance(probe, type):
        raise ValueError(
            "probe must be a scikit-learn regressor or classifier, or a pipeline that "
            f"ends in one, such as Ridge(alpha=1.0), got {shown(probe)}."
        )
    return kinds[0]
