"""Notes beside checkpoints may be damaged or of somebody else: they decide little."""

import os

import pytest

from icl import LinearRegression, ModelConfig, TrainConfig
from icl.files import read_json
from icl.sweeps import Models, Setting, table
from icl.sweeps.notes import FAILED, TIME, add_training_time, failure, training_seconds

SETTING = Setting(
    LinearRegression(dim=2, length=3),
    ModelConfig(layers=1, width=4),
    TrainConfig(steps=10, batch=4, held_out=4),
)
NONSENSE = ["[]", "{}", "[1]", "3", "null", '"x"', "", "[" * 100_000, '{"steps": 0}']


@pytest.mark.parametrize("text", [*NONSENSE, '{"steps": 0, "seconds": 1}'])
def test_a_time_that_makes_no_sense_is_no_time(tmp_path, text):
    models = Models(tmp_path)
    folder = models.folder(SETTING)
    folder.mkdir(parents=True)
    (folder / TIME).write_text(text)
    assert training_seconds(SETTING, folder) is None
    assert "waiting" in table([SETTING], models)
    add_training_time(folder, 5, 2.0)
    assert training_seconds(SETTING, folder) == 4.0


HOSTILE = ['{"message": "\\u001b[31m\\n"}', f'{{"message": "{"x" * 10**5}"}}']
FAILURES = [*NONSENSE, *HOSTILE, '{"message": 3}', '{"message": "NaN"}']


@pytest.mark.parametrize("text", FAILURES)
def test_a_note_of_a_failure_is_one_whatever_it_says(tmp_path, text):
    models = Models(tmp_path)
    folder = models.folder(SETTING)
    folder.mkdir(parents=True)
    assert failure(folder) == ""
    (folder / FAILED).write_text(text)
    assert str(folder / FAILED) in failure(folder)
    assert failure(folder).isprintable() and len(failure(folder)) < 1_000
    assert models.status(SETTING).state == "failed"


def test_a_pipe_is_no_json_and_blocks_nothing(tmp_path):
    os.mkfifo(tmp_path / "x.json")
    assert read_json(tmp_path / "x.json") is None
