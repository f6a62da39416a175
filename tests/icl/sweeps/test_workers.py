"""Jobs in other processes, on a cluster, and beside another sweep."""

import inspect
import re
import warnings
from dataclasses import replace
from pathlib import Path

import joblib
import pytest
from distributed import Client, LocalCluster
from filelock import FileLock
from joblib.externals.loky import get_reusable_executor, process_executor
from subprocesses import finished, started
from sweep_cases import (
    ALL_DONE,
    BASE,
    SETTINGS,
    Counting,
    Deadly,
    assert_same_bits,
    states,
    timed_steps,
)

from icl import (
    files,
    sweeps,
)
from icl.sweeps import jobs, workers
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models


@pytest.mark.parametrize("use", [sweeps.train_all, sweeps.table])
def test_a_sweep_has_each_model_once(use, tmp_path):
    with pytest.raises(ValueError, match="The sweep is empty"):
        use([], Models(tmp_path))

    class Config(Setting):
        """What differs between figures is no matter of the model."""

    one = SETTINGS[1]
    again = Config(one.task, one.model, one.train, one.seed)
    name = Models().folder(again).name
    with pytest.raises(ValueError, match=f"Settings 1 and 4 are of one model.*{name}"):
        use([*SETTINGS, again], Models(tmp_path))


@pytest.mark.parametrize("name", ["jobs", "together"])
def test_jobs_and_together_are_at_least_one(name, tmp_path):
    with pytest.raises(ValueError, match=f"{name} must be an integer >= 1, got 0"):
        Models(tmp_path, **{name: 0})


def test_results_may_not_be_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="Not a directory"):
        Models(tmp_path / "file")


def sweep_in_a_process(results, **environment):
    """A process of its own that trains `SETTINGS`, and prints their states at last."""
    code = (
        "from sweep_cases import *\n"
        f"print(states(sweeps.train_all(SETTINGS, Models({str(results)!r}, jobs=1))))"
    )
    return started(code, Path(__file__).parent, **environment)


def finished_states(*processes):
    return [out.splitlines()[-1] for out, _ in finished(*processes)]


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """`SETTINGS`, one after the other, in a process with the threads of a worker."""
    results = tmp_path_factory.mktemp("serial")
    assert finished_states(sweep_in_a_process(results, NPROC="1")) == [ALL_DONE]
    return results


def test_processes_side_by_side(serial, tmp_path, capsys):
    """With a run that diverges, one that is damaged, and one bar over all."""
    diverging = replace(BASE, train=replace(BASE.train, learning_rate=1e30))
    kept = Models(tmp_path, jobs=2)
    reports = sweeps.train_all([*SETTINGS, diverging], kept)
    assert states(reports) == ["done"] * 4 + ["failed"]
    assert "NaN or infinite" in reports[4].message
    assert_same_bits(tmp_path, serial, SETTINGS)
    said = capsys.readouterr().err
    assert "sweep: 0 of 5 runs done, 2 running" in said
    assert "sweep: 4 of 5 runs done, 1 failed" in said
    assert "training:" not in said  # the workers' own bars


def test_a_backend_that_answers_at_the_end_only(serial, tmp_path, monkeypatch):
    """As Ray's does; here joblib's own processes stand for it.

    They are those of the test before, which have compiled the program already.
    """
    backend = type(joblib.parallel.get_active_backend()[0])
    monkeypatch.setattr(backend, "supports_return_generator", False)
    reports = sweeps.train_all(SETTINGS, Models(tmp_path, jobs=2))
    assert states(reports) == ["done"] * 4
    assert_same_bits(tmp_path, serial, SETTINGS)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.skipif(joblib.cpu_count() < 2, reason="has one thread anyway")
def test_workers_have_one_thread_each(tmp_path, monkeypatch):
    """By themselves they would have one per core, and take cores from each other."""
    counting = replace(BASE, task=Counting(dim=1, length=4))
    pair = [counting, replace(counting, seed=1)]
    monkeypatch.delenv("NPROC", raising=False)
    get_reusable_executor().shutdown()  # workers of other tests have been set up
    for report in sweeps.train_all(pair, Models(tmp_path / "workers", jobs=2)):
        assert "threads: 1." in report.message


def test_a_worker_that_dies_takes_nothing_along(tmp_path):
    """Its pool is lost; the others go on, and it is tried once more."""
    deadly = replace(BASE, task=Deadly(dim=1, length=4))
    settings = [SETTINGS[0], deadly, SETTINGS[1]]
    reports = sweeps.train_all(settings, Models(tmp_path, jobs=2))
    assert states(reports) == ["done", "failed", "done"]
    assert "process that trained it died, 2 times" in reports[1].message
    left = {path.suffix for path in (tmp_path / "models").iterdir() if path.is_file()}
    assert left == {".lock"}
    status = Models(tmp_path).status(deadly)
    assert (status.state, status.step) == ("waiting", 0)  # another call tries again


def test_a_dask_cluster_needs_no_change_to_the_code(serial, tmp_path, monkeypatch):
    """Two worker processes, one of which a run keeps ending, in another folder."""
    monkeypatch.chdir(tmp_path)
    deadly = replace(BASE, task=Deadly(dim=1, length=4))
    cluster = LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        silence_logs="CRITICAL",
    )
    with cluster, Client(cluster), joblib.parallel_config(backend="dask"):
        monkeypatch.chdir(tmp_path.parent)  # not where the workers are
        reports = sweeps.train_all([*SETTINGS, deadly], Models(tmp_path.name))
    assert states(reports) == ["done"] * 4 + ["failed"]
    assert "process that trained it died, 2 times" in reports[4].message
    assert_same_bits(tmp_path, serial, SETTINGS)


def test_a_worker_that_joblib_replaces_alarms_nobody():
    """One that has grown by 300 MB is replaced by another, which frees its memory."""
    source = inspect.getsource(process_executor)
    parts = re.findall(r'"(A worker stopped.*?)",\s*UserWarning', source, re.DOTALL)
    (message,) = [re.sub(r'"\s*"', "", part) for part in parts]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        workers.silence_replaced_workers()
        warnings.warn(message, UserWarning, stacklevel=1)
        warnings.warn("another", UserWarning, stacklevel=1)
    assert [str(one.message) for one in caught] == ["another"]


def test_workers_that_cannot_be_had_are_an_error(tmp_path, monkeypatch):
    def refuse(**_):
        raise ConnectionError("no cluster there")

    monkeypatch.setattr(joblib, "Parallel", refuse)
    with pytest.raises(ConnectionError, match="no cluster there"):
        sweeps.train_all(SETTINGS, Models(tmp_path, jobs=2))


def test_two_processes_share_a_sweep(serial, tmp_path):
    """No model is trained twice, and both wait for what the other trains."""
    both = [sweep_in_a_process(tmp_path) for _ in range(2)]
    assert finished_states(*both) == [ALL_DONE] * 2
    assert [timed_steps(tmp_path, setting) for setting in SETTINGS] == [40] * 4


def test_what_another_process_works_on_comes_last(tmp_path, monkeypatch):
    """It is left alone while there is something else to do, and waited for then."""
    kept = Models(tmp_path, jobs=1)
    lock = FileLock(files._lock_of(kept.folder(SETTINGS[0])))
    (tmp_path / "models").mkdir()
    lock.acquire()
    assert kept.status(SETTINGS[0]).state == "running"
    order, train_to_end = [], jobs.train_to_end

    def noted(setting, folder, **options):
        order.append(SETTINGS.index(setting))
        if len(order) == 3:
            lock.release()  # as the other process does when it is done, or dies
        return train_to_end(setting, folder, **options)

    monkeypatch.setattr(jobs, "train_to_end", noted)
    assert states(sweeps.train_all(SETTINGS, kept)) == ["done"] * 4
    assert order == [1, 2, 3, 0]
