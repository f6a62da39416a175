"""Which tasks are known by name, on the command line and in checkpoints?

A checkpoint holds the name of a task's class and its fields. Nothing is imported
because a checkpoint says so: the class must be registered, or be handed over, as in
`load(path, tasks=[Sparse])`.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from icl.arrays import shown
from icl.tasks.addition import Addition
from icl.tasks.base import Task
from icl.tasks.functions import (
    DecisionTree,
    LinearClassification,
    Quadratic,
    ReluNetwork,
    SparseLinear,
)
from icl.tasks.joint import JointTokens
from icl.tasks.linear import LinearRegression
from icl.tasks.modular import ModularAddition
from icl.tasks.operation import Operation
from icl.tasks.pools import Mixture, Pool, PromptPool

TASKS: dict[str, type[Task]] = {
    kind.__name__: kind
    for kind in (
        LinearRegression,
        SparseLinear,
        Quadratic,
        ReluNetwork,
        DecisionTree,
        LinearClassification,
        Pool,
        PromptPool,
        Mixture,
        Addition,
        Operation,
        ModularAddition,
        JointTokens,
    )
}
"""Every registered class by its name."""

Kind = TypeVar("Kind", bound=type[Task])


def register(kind: Kind) -> Kind:
    """Makes a class of tasks known by its name; it can be used as a decorator.

    Raises:
        ValueError: another class has that name already, or this is no class of tasks.
    """
    if not (isinstance(kind, type) and issubclass(kind, Task)):
        raise ValueError(
            f"kind must be a class that derives from Task, got {shown(kind)}."
        )
    there = TASKS.setdefault(kind.__name__, kind)
    # A module that is run again, as in a notebook, defines its classes again.
    if (there.__module__, there.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ValueError(
            f"A task of the name {kind.__name__!r} is registered already, from "
            f"{there.__module__}; give yours another name."
        )
    TASKS[kind.__name__] = kind
    return kind


def check_kinds(tasks: Any) -> None:
    """Refuses what is not a sequence of classes of tasks.

    Raises:
        ValueError: it is none; the message says what to write.
    """
    given = list(tasks) if isinstance(tasks, list | tuple) else [tasks]
    for each in given:
        if not (isinstance(each, type) and issubclass(each, Task)):
            kind = type(each)
            own = f"; write tasks=[{kind.__name__}]" if isinstance(each, Task) else ""
            raise ValueError(
                "tasks must hold classes that derive from Task, got "
                f"{shown(each)}{own}."
            )
    if isinstance(tasks, type):
        raise ValueError(
            f"tasks must be a list of classes, got one class; write "
            f"tasks=[{tasks.__name__}]."
        )


def task_kind(name: str, tasks: Iterable[type[Task]] = ()) -> type[Task]:
    """Returns the class of that name, among the registered ones and `tasks`.

    Raises:
        ValueError: there is none; the message lists the known names.
    """
    known: Mapping[str, Any] = TASKS | {kind.__name__: kind for kind in tasks}
    if name not in known:
        near = difflib.get_close_matches(str(name), known, 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(
            f"unknown task {name!r}; known are {', '.join(known)}.{meant} A task of "
            "your own is named by register(Class), or load(path, tasks=[Class])."
        )
    return known[name]
