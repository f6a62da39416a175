"""Where are measurements kept? A line each in `benchmarks/results.csv`.

Beside the row stand date, commit, machine and versions. No path and no host name.
"""

import csv
import io
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.measure import Row
from experiments.engine.provenance import provenance
from icl.files import write_whole

PATH = Path(__file__).with_name("results.csv")
PACKAGES = ("jax", "flax", "numpy", "scikit-learn", "torch", "transformers")


def about() -> dict[str, Any]:
    """What the rows of one command have in common."""
    import jax

    known = provenance()
    accelerators = {d.device_kind for d in jax.devices() if d.platform != "cpu"}
    return {
        "date": known["date"],
        "commit": commit(),
        "machine": processor(),
        "cores": known["cores"],
        "accelerator": ", ".join(sorted(accelerators)),
        "python": known["versions"]["python"],
        **{package: _version(package) for package in PACKAGES},
    }


def append(row: Row, about: Mapping[str, Any], path: Path) -> None:
    """Adds a row, and a header where the file is new.

    Raises:
        ValueError: the file has other columns.
    """
    columns = [*about, *Row._fields]
    check_columns(columns, path)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if not path.exists():
        writer.writerow(columns)
    writer.writerow(map(_rounded, [*about.values(), *row]))
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    write_whole(path, before + text.getvalue())


def check_columns(columns: list[str], path: Path) -> None:
    """Refuses a file that was written with other columns."""
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        found = next(csv.reader(file), [])
    if found != columns:
        apart = sorted({*found} ^ {*columns}) or ["their order"]
        raise ValueError(
            f"{path.name} has other columns than this version writes (differing in "
            f"{', '.join(apart)}); move it away, and a new one is begun."
        )


def processor() -> str:
    """The model of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.processor() or platform.machine()


def commit() -> str:
    """The commit of this clone, marked if anything but results was changed."""
    where = Path(__file__).parents[1]
    git = ["git", "-C", str(where)]
    changed = [*git, "status", "--porcelain", "--", ".", ":!figures", f":!{_name()}"]
    try:
        head = _output([*git, "rev-parse", "--short=12", "HEAD"])
        return head + ("-dirty" if _output(changed) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _name() -> str:
    return str(PATH.relative_to(PATH.parents[1]))


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _rounded(value: Any) -> Any:
    return f"{value:.5g}" if isinstance(value, float) else value
