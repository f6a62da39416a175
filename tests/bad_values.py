"""The same bad values for every argument of every public function, and what they do."""

import inspect
import re
import signal
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np

HANG = 30.0  # seconds after which a call is said to hang, also on a busy machine
OURS = ("icl", "probes", "experiments")

SCALARS = {
    "None": None,
    "text": "no such thing",
    "a number as text": "3",
    "bytes": b"3",
    "a negative number": -1,
    "a negative fraction": -0.5,
    "a fraction": 0.5,
    "zero": 0,
    "a number that is too large": 10**30,
    "a float that is too large": 1e300,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "a complex number": 1 + 2j,
    "True": True,
    "a dictionary": {"a": 1},
    "an empty dictionary": {},
    "an object": object(),
    "an empty list": [],
    "a list of None": [None, None],
    "a tuple of text": ("a", "b"),
    "rows of different lengths": [[1.0], [1.0, 2.0]],
    "a set": {1, 2},
    "a class": int,
    "a range": range(3),
    "a generator": iter(()),
}
"""Values that do not depend on what should have been there."""


def arrays_like(valid: Any) -> dict[str, Any]:
    """Returns arrays of the shape of a valid argument that hold no real numbers."""
    shape = getattr(valid, "shape", None)
    real = np.ones(shape if isinstance(shape, tuple) else (2, 3))
    spoilt = real.copy()
    spoilt.flat[:1] = np.nan
    objects = real.astype(object)
    objects.flat[:1] = None
    return {
        "an empty array": np.zeros((0,) * real.ndim),
        "an array of one more axis": real[None],
        "a complex array": real + 1j,
        "a masked array": np.ma.masked_array(real, np.ones(real.shape, bool)),
        "dates": np.full(real.shape, np.datetime64("2026-01-01")),
        "lengths of time": np.full(real.shape, np.timedelta64(7, "s")),
        "an array of objects": objects,
        "an array of text": real.astype(str),
        "an array of raw bytes": np.zeros(real.shape, "V2"),
        "an array with NaN": spoilt,
        "an array of large numbers": np.full(real.shape, 1e300),
    }


class Reached(BaseException):
    """Raised in place of work that begins once all arguments are accepted."""


class Case(NamedTuple):
    """A public callable, with what makes it and valid arguments by name."""

    name: str
    call: Callable[[], Callable[..., Any]]
    arguments: Mapping[str, Callable[[], Any]]


def public(package: types.ModuleType) -> Iterator[tuple[str, Any]]:
    """Yields what a package offers: its `__all__`, or what is defined in it."""
    names = getattr(package, "__all__", None) or [
        name
        for name, value in vars(package).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and str(getattr(value, "__module__", "")).startswith(package.__name__)
    ]
    for name in sorted(names):
        value = getattr(package, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            yield name, value


def cases_of(
    package: types.ModuleType,
    valid: Mapping[str, Callable[[], Any]],
    instances: Mapping[str, Callable[[], Any]],
    leave_out: Mapping[str, str],
) -> list[Case]:
    """Returns all public functions, constructors and methods of a package.

    Args:
        package: the package.
        valid: what makes a valid argument, by its name, or by "function.name" where a
            name has another meaning.
        instances: what makes an instance of a class, by its name, whose methods are
            tried.
        leave_out: why a class is not made, or a method not called, by users.
    """
    found = []
    for name, value in public(package):
        is_class = inspect.isclass(value)
        record = is_class and issubclass(value, tuple | Exception)
        if not (record or inspect.isabstract(value) or name in leave_out):
            found.append(_case(name, value, lambda value=value: value, valid))
        for method in dir(value) if is_class else ():
            if method in leave_out or (method[0] == "_" and method != "__call__"):
                continue
            own = inspect.getattr_static(value, method)
            of_class = isinstance(own, classmethod)
            make = (lambda value=value: value) if of_class else instances.get(name)
            own = own.__func__ if of_class else own
            inside = str(getattr(own, "__module__", "")).partition(".")[0]
            ours = isinstance(own, types.FunctionType) and inside in OURS
            if make and ours:
                bound = partial(_bound, make, method)
                found.append(_case(f"{name}.{method}", own, bound, valid))
    return [case for case in found if case.arguments]


def _bound(make: Callable[[], Any], method: str) -> Any:
    return getattr(make(), method)


def _case(
    name: str, function: Any, call: Callable[[], Any], valid: Mapping[str, Any]
) -> Case:
    parameters = dict(inspect.signature(function).parameters)
    if inspect.isclass(function) and "args" in parameters:  # flax wraps constructors
        parameters = dict(inspect.signature(function.__init__).parameters)
    for bound in ("self", "cls"):
        parameters.pop(bound, None)
    arguments = {}
    for parameter in parameters.values():
        own = f"{name}.{parameter.name}"
        if parameter.kind == parameter.VAR_KEYWORD and own in valid:
            arguments |= {each: lambda v=v: v for each, v in valid[own]().items()}
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        maker = valid.get(own, valid.get(parameter.name))
        assert maker is not None, (
            f"{name} has an argument {parameter.name!r} that no test knows; add what "
            f"makes a valid one to VALID, as {parameter.name!r} or as {own!r}."
        )
        arguments[parameter.name] = maker
    return Case(name, call, arguments)


def complaints(case: Case) -> tuple[list[str], int]:
    """Returns what bad values do that they should not, and how many were tried."""
    found, tried = [], 0
    said = _said(case, {})
    if said:
        return [f"{case.name} refuses valid arguments: {said}"], 1
    for argument, make in case.arguments.items():
        for kind, bad in (SCALARS | arrays_like(make())).items():
            tried += 1
            wrong = _said(case, {argument: bad})
            if wrong:
                found.append(f"{case.name}({argument}={kind}): {wrong}")
    return found, tried


def _said(case: Case, changes: Mapping[str, Any]) -> str:
    """Calls with some arguments changed; returns "" if all is as it should be."""
    arguments = {name: make() for name, make in case.arguments.items()} | changes
    call = case.call()
    try:
        with _limited() if changes else nullcontext(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(**arguments)
    except Reached:
        return ""
    except OSError as error:  # of a path that is none
        return "" if _is_a_line(error) else f"several lines: {error}"
    except (ValueError, TypeError) as error:
        if not changes:
            return repr(error)
        (argument,) = changes
        if not _is_a_line(error):
            return f"several lines: {error}"
        one = argument.removesuffix("s")  # of several, a message names one
        named = re.search(rf"(?<!\w){one}s?(?!\w)", str(error))
        return "" if named else f"does not name {argument}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _is_a_line(error: Exception) -> bool:
    return "\n" not in str(error) and bool(str(error))


@contextmanager
def _limited() -> Iterator[None]:
    """Ends a call that hangs."""

    def end(number: int, frame: Any) -> None:
        raise AssertionError(f"hangs for more than {HANG} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, HANG)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
