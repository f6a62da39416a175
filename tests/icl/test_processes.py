"""Four devices, or two processes, train what one device trains; and say so if not."""

import atexit
import json
import socket
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from bare import BARE
from flax import nnx
from subprocesses import finished, started

from experiments.akyurek2023 import fig1
from experiments.engine.figures import command
from icl import (
    LinearRegression,
    TrainConfig,
    sweeps,
    train,
    train_ensemble,
)
from icl.pytrees import named
from icl.sweeps import hosts, jobs, store, workers
from icl.sweeps.planning import plan
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.training import checkpoint, processes
from icl.training.trained import load

TASK, MODEL = LinearRegression(dim=1, length=4), BARE
CONFIG = TrainConfig(
    steps=60,
    batch=16,
    learning_rate=1e-2,
    chunk=20,
    evaluate_every=30,
    held_out=30,  # which four devices do not divide
    checkpoint_every=20,
)
RUN = (TASK, MODEL, CONFIG)
STOP = 40  # where some runs are interrupted
SETTINGS = sweeps.grid(
    Setting(*RUN), {"seed": (0, 1), "train.learning_rate": (1e-2, 1e30)}
)[:3]


def begin(directory, at=STOP, here=True, **options):
    """A run that Ctrl-C stops at a step, if it is pressed `here`."""

    def callback(step, means):
        if step == at and here:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            *RUN,
            key=jax.random.key(0),
            directory=directory,
            callback=callback,
            **options,
        )


def start(function, folder, devices=1, **variables):
    """A process of its own that calls a function of this file with a folder."""
    code = f"import test_processes as t; t.{function}(t.Path({str(folder)!r}))"
    variables["JAX_NUM_CPU_DEVICES"] = str(devices)
    return started(code, Path(__file__).parent, **variables)


def start_two(function, folder):
    """Two such processes, which find each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    shared = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    return [
        start(function, folder, **shared, JAX_PROCESS_ID=str(number))
        for number in range(2)
    ]


# --- What is done in other processes -------------------------------------------------


def on_four_devices(folder):
    assert len(jax.devices()) == 4
    train(*RUN, key=jax.random.key(0), directory=folder / "four")
    begin(folder / "begun on four")
    train(*RUN, key=jax.random.key(0), directory=folder / "begun on one, ended on four")
    ensemble(folder / "ensemble on four", 4)


def ensemble(directory, members, **options):
    keys = jax.random.split(jax.random.key(0), members)
    return train_ensemble(*RUN, keys=keys, directory=directory, **options)


def as_two_processes(folder):
    as_two_hosts(folder)
    me = jax.process_index()
    trained = train(*RUN, key=jax.random.key(0), directory=folder / "two")
    begin(folder / "begun on two", here=me == 1)
    one = folder / "begun on one, ended on two"
    train(
        *RUN, key=jax.random.key(0), directory=one if me == 0 else None
    )  # process 0's counts
    places = [folder / "member", None]
    members = ensemble(folder / "ensemble on two", 2, directories=places)
    np.savez(
        folder / f"seen by {me}.npz",
        **named(nnx.state(trained.model)),
        loss=trained.history.loss,
        members=np.stack([member.history.loss for member in members]),
    )
    said = []
    diverging, longer = replace(CONFIG, learning_rate=1e30), replace(CONFIG, steps=70)
    (folder / "file").touch()
    for arguments in (
        {"train_config": diverging},
        {"train_config": (CONFIG, longer)[me]},
        {"directory": folder / "file"},
        {"devices": jax.local_devices()},
        {"devices": 2},
    ):
        settings = {"task": TASK, "model_config": MODEL, "train_config": CONFIG}
        try:
            train(**settings | arguments, key=jax.random.key(0))
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
    try:
        ensemble(None, 3)
    except ValueError as error:
        said.append(str(error))
    (folder / f"said by {me}.json").write_text(json.dumps(said))


def as_two_hosts(folder):
    """A command in two processes; process 0 goes on to sweeps, then both return."""
    results = str(folder / "results")
    argv = ["tiny", "--list", "--distributed", "--devices", "1", "--results", results]
    assert command.main(fig1.FIGURE, argv) == 0
    if jax.process_index() == 1:  # which has lent its device all along
        return
    training = store._train, hosts.train_settings
    for _ in range(2):
        reports = sweeps.train_all(SETTINGS, Models(results, together=2, devices=1))
        print([report.state for report in reports])
        store._train = hosts.train_settings = None  # whatever calls it fails
    store._train, hosts.train_settings = training
    try:
        sweeps.train_all([replace(SETTINGS[0], seed=9)], Models(results, jobs=2))
    except ValueError as error:
        print(error)
    atexit.unregister(processes.agreed)  # which would end the other process
    processes.agreed(None)


# --- What came of it -----------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folders of all runs: those of four devices and those of two processes."""
    folder = tmp_path_factory.mktemp("runs")
    first = jax.devices()[:1]
    train(*RUN, key=jax.random.key(0), directory=folder / "one", devices=first)
    for name in ("four", "two"):
        begin(folder / f"begun on one, ended on {name}", devices=first)
    printed = finished(
        *start_two("as_two_processes", folder),
        start("on_four_devices", folder, devices=4),
    )
    (folder / "printed.json").write_text(json.dumps(printed))
    return folder


def assert_alike(trained, other, rtol):
    """What two runs have recorded; the loss of each step shows the parameters."""
    for name in ("loss", "held_out_loss"):
        np.testing.assert_allclose(
            trained.history[name], other.history[name], rtol=rtol, err_msg=name
        )


# The sum of the gradient over the batch is split; the difference in round-off grows
# from step to step (measured: 2e-7 within 5 steps, 5e-6 within these 60). Other prompts
# would change the loss of a step by half.
RTOL = 1e-4


@pytest.mark.parametrize("name", ["four", "two"])
def test_devices_and_processes_change_round_off_only(folder, name):
    one, many = load(folder / "one"), load(folder / name)
    np.testing.assert_allclose(one.history.loss[:5], many.history.loss[:5], rtol=1e-5)
    assert_alike(one, many, RTOL)


def test_every_process_has_the_same_model_and_history(folder):
    seen = [dict(np.load(folder / f"seen by {number}.npz")) for number in range(2)]
    assert seen[0].keys() == seen[1].keys()
    for name in seen[0]:
        np.testing.assert_array_equal(seen[0][name], seen[1][name], err_msg=name)
    np.testing.assert_array_equal(seen[0]["loss"], load(folder / "two").history.loss)


def test_two_processes_are_two_devices(folder):
    """The same program, split in the same way: only who carries the sum differs."""
    two = load(folder / "two")
    assert_alike(train(*RUN, key=jax.random.key(0), devices=2), two, 0)


@pytest.mark.parametrize("name", ["four", "two"])
def test_a_run_begun_on_one_device_ends_on_more(folder, name):
    ended = load(folder / f"begun on one, ended on {name}")
    assert ended.steps == CONFIG.steps
    whole = load(folder / "one")
    np.testing.assert_array_equal(ended.history.loss[:STOP], whole.history.loss[:STOP])
    assert_alike(ended, whole, RTOL)


@pytest.mark.parametrize("name", ["four", "two"])
def test_a_run_begun_on_more_devices_ends_on_one(folder, name):
    directory = folder / f"begun on {name}"
    assert [p.name for p in checkpoint.folders(directory)][-1] == f"step_{STOP:08d}"
    ended = train(*RUN, key=jax.random.key(0), directory=directory, devices=1)
    whole = load(folder / name)
    np.testing.assert_array_equal(ended.history.loss[:STOP], whole.history.loss[:STOP])
    assert_alike(ended, whole, RTOL)


@pytest.mark.parametrize("name", ["four", "two"])
def test_an_ensemble_splits_its_members(folder, name):
    members = {"four": 4, "two": 2}[name]
    found = ensemble(folder / f"ensemble on {name}", members, devices=1)
    single = ensemble(None, members, devices=1)
    for member, alone in zip(found, single, strict=True):
        assert_alike(member, alone, RTOL)


def test_a_member_is_kept_by_process_0(folder):
    kept, seen = load(folder / "member"), np.load(folder / "seen by 1.npz")
    np.testing.assert_array_equal(kept.history.loss, seen["members"][0])


def test_all_processes_raise_alike(folder):
    zero, one = (
        json.loads((folder / f"said by {number}.json").read_text())
        for number in range(2)
    )
    assert zero[0] == one[0] and "NonFiniteLossError: " in zero[0]
    assert "must train the same, but: this is process 0" in zero[1]
    assert "must train the same, but: train.steps: 60 there, 70 asked for" in one[1]
    assert zero[2].startswith(("FileExistsError", "NotADirectoryError"))
    assert one[2].startswith("OtherProcessError: Process 0 stopped: ")
    assert "of every process that takes part, 0 to 1, got some of [0] only" in zero[3]
    assert "got some of [1] only" in one[3]
    assert zero[4] == one[4]
    assert "2 devices were asked for, but there is only 1 of platform 'cpu'" in one[4]
    assert "number of members must divide over the devices, got 3 on 2" in one[5]


def test_a_command_in_two_processes(folder):
    """Process 0 reads, writes and prints; the other trains along, and is silent."""
    first, second, _ = json.loads((folder / "printed.json").read_text())
    listed, *states, refused = [
        line for line in first[0].splitlines() if line[0] != " " and "Gloo" not in line
    ][-4:]
    assert listed.startswith("1 run: 1 waiting")
    assert states == ["['done', 'failed', 'done']"] * 2
    assert "run one program at a time, got 2 jobs" in refused
    assert "failed: model" in first[1]
    assert [line for line in second[0].splitlines() if "Gloo" not in line] == []
    assert second[1] == ""
    kept = Models(folder / "results")
    for setting in (SETTINGS[0], SETTINGS[2]):
        alone = train(*RUN, key=jax.random.key(setting.seed), devices=1)
        assert_alike(kept(setting), alone, RTOL)


# --- Bad input -----------------------------------------------------------------------


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("devices", "message"),
    [
        (3, r"3 devices were asked for, but there are only 2 of platform 'cpu'"),
        (0, "devices must be an integer >= 1, got 0"),
        (-1, "devices must be an integer >= 1, got -1"),
        (1.5, r"devices must be an integer >= 1, got 1\.5"),
        ([], r"at least one device, each once, got \[\]"),
        ("twice", "at least one device, each once, got .*id=0.*id=0"),
    ],
)
def test_bad_devices_are_refused(devices, message):
    if devices == "twice":
        devices = jax.devices()[:1] * 2
    with pytest.raises(ValueError, match=message):
        processes.chosen(devices, "batch", 16)


@pytest.mark.parametrize(
    ("size", "count", "message"),
    [
        (15, 2, r"got 15 on 2; 14 or 16 would, or 15 on 1\."),
        (6, 4, r"got 6 on 4; 4 or 8 would, or 6 on 3\."),
        (3, 8, r"got 3 on 8; 8 would, or 3 on 3\."),
    ],
)
def test_what_does_not_divide_is_refused_with_what_does(size, count, message):
    with pytest.raises(ValueError, match=f"The batch must divide .* {message}"):
        processes.check_divides(jax.devices()[:1] * count, "batch", size)


def refused(argv, capsys):
    assert command.main(fig1.FIGURE, argv) == 2
    return capsys.readouterr().err


def test_flags_that_cannot_be_met_are_one_line(tmp_path, capsys, monkeypatch):
    common = ["tiny", "--list", "--results", str(tmp_path)]
    said = refused([*common, "--devices", "0"], capsys)
    assert said == "error: devices must be an integer >= 1, got 0.\n"
    monkeypatch.setattr(jax.config, "update", lambda *_: None)  # as of an accelerator
    said = refused([*common, "--devices", "3"], capsys)
    assert said.startswith("error: 3 devices were asked for, but there are only 2")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    said = refused([*common, "--distributed"], capsys)
    assert "JAX_NUM_PROCESSES must be an integer, got 'two'" in said
    assert "Start the command with srun or mpirun, or set JAX_COORDINATOR" in said


def test_members_that_do_not_divide_are_trained_alone(tmp_path):
    settings = sweeps.grid(Setting(*RUN), {"seed": range(7)})
    kept = Models(tmp_path, together=5, devices=2)
    known = {kept.folder(setting): setting for setting in settings}
    made = plan(known, set(known), kept)
    assert sorted(len(job.folders) for job in made) == [1, 2, 4]


def test_an_ensemble_begun_on_one_device_ends_on_two(tmp_path):
    settings = sweeps.grid(Setting(*RUN), {"seed": range(3)})

    def stop(step, means):
        raise KeyboardInterrupt

    kept = Models(tmp_path, jobs=1, together=3, devices=1)
    known = {kept.folder(setting): setting for setting in settings}
    (job,) = plan(known, set(known), kept)
    job.home.mkdir(parents=True)
    members = {"members": [folder.name for folder in job.folders]}
    (job.home / jobs.MEMBERS).write_text(json.dumps(members))
    with pytest.raises(KeyboardInterrupt):
        hosts.train_settings(job.settings, 1, directory=job.home, callback=stop)
    more = Models(tmp_path, jobs=1, together=3, devices=2)
    assert [run.state for run in sweeps.train_all(settings, more)] == ["done"] * 3


def test_jobs_share_the_cores_with_devices(tmp_path, monkeypatch):
    monkeypatch.setattr("joblib.effective_n_jobs", lambda _: 8)
    for devices, count in ((None, 8), (1, 8), (2, 4), (3, 2), (16, 1)):
        kept = Models(tmp_path, devices=devices)
        assert workers.processes_for(kept, 100) == (count, count > 1)
    assert workers.processes_for(Models(tmp_path, jobs=3, devices=4), 100) == (3, True)
