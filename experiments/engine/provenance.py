"""What made a result? Its configuration as a hash, and the machine.

`FORMAT` is part of every hash: results that an older version computed otherwise are
left where they are, and not taken for today's.
"""

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import joblib

from icl.tasks.base import Task
from icl.training.description import changed, fingerprint

FORMAT = 2
"""Raised when the same configuration is to give other results."""


def digest(config: Any) -> str:
    """Returns a short hash of a configuration.

    Fields that have their default are left out, so that one that is added later does
    not change the hash of what was computed before.
    """
    return fingerprint({"format": FORMAT, **changed(config)})


def described(config: Any) -> dict[str, Any]:
    """Returns a configuration as a nested mapping, each task with the kind it is of."""
    values: dict[str, Any] = {}
    if isinstance(config, Task):
        values["kind"] = type(config).__name__
    for each in fields(config):
        value = getattr(config, each.name)
        values[each.name] = described(value) if is_dataclass(value) else value
    return values


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values of a nested mapping by their dotted names.

    Example:
        >>> leaves({"task": {"dim": 2}, "prompts": 8})
        {'task.dim': 2, 'prompts': 8}
    """
    flat = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= leaves(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def provenance() -> dict[str, Any]:
    """Returns versions, commit, machine and date, as JSON."""
    versions = {"python": platform.python_version()}
    for package in ("icl-probes", "jax", "flax", "optax", "numpy", "scikit-learn"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "devices": [device.device_kind for device in jax.devices()],
        "cores": joblib.cpu_count(),
        "platform": platform.platform(),
        "versions": versions,
    }


def processor() -> str:
    """Returns what this machine's processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.processor() or platform.machine()


def _commit() -> str:
    """Returns the commit of this clone, marked if files were changed."""
    try:
        commit = _git("describe", "--always", "--abbrev=12")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}-dirty" if changed else commit


def _git(*words: str) -> str:
    """Returns what git says of this clone, in which it writes nothing.

    `git describe --dirty` would write the index, and leave a lock on a full disk.
    """
    done = subprocess.run(
        ["git", "--no-optional-locks", *words],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
