"""What made a result? Its configuration as a hash and as a command, and the machine.

`FORMAT` is part of every hash: results that an older version computed otherwise are
left where they are, and not taken for today's.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icl.training.description import fingerprint

if TYPE_CHECKING:
    pass

FORMAT = 1
"""Raised when the same configuration is to give other results."""


def digest(config: Any) -> str:
    """A short hash of a configuration."""
    return fingerprint({"format": FORMAT, **_as_before(asdict(config))})


def _as_before(described: Mapping[str, Any]) -> dict[str, Any]:
    """Without a field that is newer than some results, where it has its default."""
    return {
        name: _as_before(value) if isinstance(value, dict) else value
        for name, value in described.items()
        if (name, value) != ("precision", "default")
    }


def provenance() -> dict[str, Any]:
    """Versions, commit, machine and date, as JSON."""
    import platform
    from datetime import UTC, datetime
    from importlib.metadata import PackageNotFoundError, version

    import jax
    import joblib

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
    """What this machine's processor calls itself."""
    import platform

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.processor() or platform.machine()


def _commit() -> str:
    """The commit of this clone, marked if files were changed."""
    import subprocess

    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()
