"""What is noted in a model's folder, beside its checkpoints?

time.json       {"steps": 2000, "seconds": 31.2}: how long training has taken so far
failed.json     {"message": "..."}: why it diverged; it is then not tried again
"""

import json
from contextlib import suppress
from pathlib import Path

from icl.files import read_json, write_whole
from icl.sweeps.setting import Setting

FAILED, TIME = "failed.json", "time.json"


def record_failure(folder: Path, error: Exception) -> None:
    """Notes why training diverged, because it would diverge again."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / FAILED, json.dumps({"message": str(error)}) + "\n")


def failure(folder: Path) -> str:
    """Returns why the model of a folder diverged, or "" if it did not."""
    path = folder / FAILED
    message = (read_json(path) or {}).get("message", "")
    return message and f"{message} ({path} says so; delete it to train again.)"


def add_training_time(folder: Path, steps: int, seconds: float) -> None:
    """Adds some steps and the time that they took to those that are noted."""
    if steps > 0:
        known = read_json(folder / TIME) or {"steps": 0, "seconds": 0.0}
        known["steps"] += steps
        known["seconds"] = round(known["seconds"] + seconds, 3)
        with suppress(OSError):  # a missing note is no reason to fail
            write_whole(folder / TIME, json.dumps(known) + "\n")


def training_seconds(setting: Setting, folder: Path) -> float | None:
    """Returns how long all of a model's training takes, or None if none was timed.

    It is an extrapolation from the steps that were timed.
    """
    known = read_json(folder / TIME)
    if known is None:
        return None
    return known["seconds"] / known["steps"] * setting.train.steps
