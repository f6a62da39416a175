"""What is noted in a model's folder, beside its checkpoints?

time.json       {"steps": 2000, "seconds": 31.2}: how long training has taken so far
failed.json     {"message": "..."}: why it diverged; it is then not tried again
"""

import json
from contextlib import suppress
from pathlib import Path

from icl import checks
from icl.files import read_json, write_whole
from icl.sweeps.setting import Setting
from icl.terminal import printable

FAILED, TIME = "failed.json", "time.json"
LONGEST = 500  # characters of a reason, which may come from somebody else


def record_failure(folder: Path, error: Exception) -> None:
    """Notes why training diverged, because it would diverge again."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / FAILED, json.dumps({"message": str(error)}) + "\n")


def failure(folder: Path) -> str:
    """Returns why the model of a folder diverged, or "" if it did not."""
    path = folder / FAILED
    if not path.exists():
        return ""
    stated = (read_json(path) or {}).get("message", "Training failed.")
    message = printable(" ".join(str(stated).split()))[:LONGEST]
    return f"{message} ({path} says so; delete it to train again.)"


def add_training_time(folder: Path, steps: int, seconds: float) -> None:
    """Adds some steps and the time that they took to those that are noted."""
    if steps > 0:
        before = _timed(folder) or (0, 0.0)
        known = {
            "steps": before[0] + steps,
            "seconds": round(before[1] + seconds, 3),
        }
        with suppress(OSError):  # a missing note is no reason to fail
            write_whole(folder / TIME, json.dumps(known) + "\n")


def training_seconds(setting: Setting, folder: Path) -> float | None:
    """Returns how long all of a model's training takes, or None if none was timed.

    It is an extrapolation from the steps that were timed.
    """
    known = _timed(folder)
    return known and known[1] / known[0] * setting.train.steps


def _timed(folder: Path) -> tuple[int, float] | None:
    """Returns the steps that were timed and their seconds, if the note makes sense."""
    known = read_json(folder / TIME) or {}
    try:
        steps = checks.positive_int("steps", known.get("steps"))
        return steps, checks.finite_number("seconds", known.get("seconds"))
    except ValueError:
        return None
