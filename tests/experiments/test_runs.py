"""The files of a run: whole or absent, and not believed where they are somebody's."""

import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zlib
from dataclasses import dataclass
from importlib.machinery import ModuleSpec

import h5py
import matplotlib.figure
import numpy as np
import pytest
import xarray as xr

from experiments.engine.claims.claim import Claim
from experiments.engine.figures import datasets, runs
from experiments.engine.figures.datasets import from_bytes, to_bytes
from experiments.engine.figures.figure import Figure
from icl.sweeps.store import Models


@dataclass(frozen=True)
class Config:
    size: int = 3


def compute(config, models):
    names = ["a", "bb", "c"]
    square = np.arange(config.size * 4.0).reshape(config.size, 4)
    return xr.Dataset(
        {"square": (("unit", "x"), square), "kept": (("unit",), [True, False, True])},
        coords={"unit": names, "x": np.arange(4)},
        attrs={"note": "≤"},
    )


def plot(dataset):
    picture = matplotlib.figure.Figure(figsize=(1, 1))
    picture.subplots().plot(dataset.x, dataset.square.sel(unit="bb"))
    return picture


def claims(dataset):
    mean = float(dataset.square.mean())
    return [Claim("fake.1", "Small.", "Fig. 1", mean, mean, mean, threshold=9.0)]


FIGURE = Figure(
    ModuleSpec("experiments.fake.fig", None), {"tiny": Config()}, compute, plot, claims
)


def made(results, **options):
    return runs.run(FIGURE, "tiny", Config(), Models(results), **options)


@pytest.fixture
def folder(tmp_path):
    return made(tmp_path).folder


def sealed_again(folder):
    """What somebody does who edits data.nc, and the checksum in run.json too."""
    about = json.loads((folder / "run.json").read_text())
    data = (folder / "data.nc").read_bytes()
    about["checksum"] = hashlib.sha256(data).hexdigest()
    (folder / "run.json").write_text(json.dumps(about))


def refused(folder, name):
    with pytest.raises(ValueError, match=f"{name} (cannot be used|is not a)") as caught:
        made(folder.parents[2], replot=True)
        made(folder.parents[2])
    message = str(caught.value)
    assert message.startswith(str(folder / name)) and "\n" not in message
    assert "run again" in message or "run its figure again" in message
    return message


def test_a_dataset_survives():
    dataset = compute(Config(), None)
    assert from_bytes(to_bytes(dataset)).identical(dataset)


def test_a_run_is_found_and_drawn_again(tmp_path, folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {"data.nc", "run.json", "figure.png", "figure.pdf"} | {
        "claims.json"
    }
    found = made(tmp_path, replot=True)
    assert found.claims == made(tmp_path).claims == claims(compute(Config(), None))
    assert (folder / "data.nc").read_bytes() == before["data.nc"]


def leak_externally(file, secret):
    kind = {"shape": (4,), "dtype": "u1", "external": [(str(secret), 0, 4)]}
    file.create_dataset("leak", **kind).dims[0].attach_scale(file["x"])


def leak_virtually(file, secret):
    with h5py.File(secret.with_suffix(".h5"), "w") as other:
        other["x"] = np.arange(4)
    layout = h5py.VirtualLayout(shape=(4,), dtype="i8")
    layout[:] = h5py.VirtualSource(str(secret.with_suffix(".h5")), "x", shape=(4,))
    file.create_virtual_dataset("leak", layout)


def leak_by_a_link(file, secret):
    file["leak"] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "/x")


def leak_in_a_group(file, secret):
    file.create_group("group")["leak"] = h5py.ExternalLink(str(secret), "/x")


def link_to_itself(file, secret):
    file["leak"] = h5py.SoftLink("/x")


def be_huge(file, secret):
    file.create_dataset("leak", (3, 2 * 10**10), "f8", chunks=(1, 10**6), compression=1)


def be_huge_and_contiguous(file, secret):
    file.create_dataset("leak", (10**11,), "f4")


def references(file, kind, value, count):
    """Many entries of an array that lead to one text, or to one row of numbers."""
    file.create_dataset("large", (1,), kind)[0] = value
    at = file["large"].id.get_offset()
    file.flush()
    with open(file.filename, "rb") as raw:
        one = raw.read()[at : at + 16]
    leak = file.create_dataset("leak", (count,), kind, chunks=(count,), compression=9)
    leak.id.write_direct_chunk((0,), zlib.compress(one * count, 9))
    for name in ("large", "leak"):
        file[name].make_scale(name)


def be_one_text_many_times(file, secret):
    references(file, h5py.string_dtype(), "x" * 10**6, 100_000)


def be_one_row_many_times(file, secret):
    references(file, h5py.vlen_dtype("f8"), np.zeros(10**5), 100_000)


def be_empty_texts(file, secret):
    kind = h5py.string_dtype()
    file.create_dataset("leak", (2**23,), kind, chunks=(2**23,), compression=9)


def be_a_huge_chunk(file, secret):
    leak = file.create_dataset(
        "leak", (1,), "f8", maxshape=(None,), chunks=(2**28,), compression=9
    )
    leak.id.write_direct_chunk((0,), zlib.compress(zlib.compress(bytes(2**20))))


def have_texts_in_an_attribute(file, secret):
    names = np.array(["leak"] * 3_000, dtype=h5py.string_dtype())
    file["square"].attrs["leak"] = names


def be_references(file, secret):
    file.create_dataset("leak", data=np.array([file["x"].ref], dtype=h5py.ref_dtype))


@pytest.mark.parametrize(
    "harm",
    [
        be_one_text_many_times,
        be_one_row_many_times,
        be_empty_texts,
        be_a_huge_chunk,
        have_texts_in_an_attribute,
        be_references,
        leak_externally,
        leak_virtually,
        leak_by_a_link,
        leak_in_a_group,
        link_to_itself,
        be_huge,
        be_huge_and_contiguous,
    ],
)
def test_no_other_file_is_read_and_no_memory_taken(tmp_path, folder, harm):
    (tmp_path / "secret").write_bytes(b"1234")
    with h5py.File(folder / "data.nc", "r+") as file:
        harm(file, tmp_path / "secret")
    sealed_again(folder)
    message = refused(folder, "data.nc")
    words = ("'leak'", "'/leak'", "'/large'", "group", "would take")
    assert any(word in message for word in words)


def test_texts_may_have_any_length(folder):
    """Also where they have several axes, and are read in parts."""
    dataset = runs.read_dataset(folder)
    rows = [["a", "", "≤" * 500], ["bb", "c" * 3_000, "a"]]
    dataset["rows"] = (("row", "column"), rows)
    for each in (dataset, dataset.assign_coords(unit=["x" * 9, "", "é"])):
        assert from_bytes(to_bytes(each)).identical(each)
    with h5py.File(io.BytesIO(to_bytes(dataset))) as file:
        found = file["rows"]
        for most in (1, 2, 3, 4, 9):
            parts = [np.ravel(part) for part in datasets._parts(found, most)]
            texts = [text.decode() for text in np.concatenate(parts)]
            assert texts == [*rows[0], *rows[1]]
            assert max(map(len, parts)) <= most


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.rename(square="other"),
        lambda d: d.rename(unit="other"),
        lambda d: d.drop_sel(unit="bb"),
        lambda d: d.assign(square=("x", ["a", "b", "c", "d"])),
        lambda d: d.assign(square=0 * d.square + 1e308),
        lambda d: xr.Dataset(),
    ],
)
def test_a_dataset_that_is_no_figures_is_refused(folder, change):
    dataset = runs.read_dataset(folder)
    (folder / "data.nc").write_bytes(
        to_bytes(change(dataset).assign_attrs(dataset.attrs))
    )
    sealed_again(folder)
    refused(folder, "data.nc")


@pytest.mark.parametrize(
    "change",
    [lambda d: d.drop_vars("square"), lambda d: d.rename(unit="u"), lambda d: d[["x"]]],
)
def test_a_dataset_that_figures_share_must_have_what_they_need(tmp_path, change):
    def look(dataset):
        return dataset.square.sel(unit="bb")

    def asked():
        return runs.kept(tmp_path / "shared", lambda: compute(Config(), None), look)

    found = asked()
    (tmp_path / "shared/data.nc").write_bytes(
        to_bytes(change(found).assign_attrs(found.attrs))
    )
    sealed_again(tmp_path / "shared")
    with pytest.raises(ValueError, match=r"data\.nc cannot be used .* run again"):
        asked()


NO_OBJECTS = ["[]", "3", "null", '"x"', "", "{", "[" * 100_000, "{}", '{"checksum": 3}']
DEEP = '{"a":' * 100 + "3" + "}" * 100  # Python reads it, and what follows would not
NO_OBJECTS += [DEEP, '{"checksum": "\\ud800"}']


@pytest.mark.parametrize("text", NO_OBJECTS)
def test_what_is_no_record_of_a_run_is_refused(folder, text):
    (folder / "run.json").write_text(text)
    refused(folder, "run.json")


@pytest.mark.parametrize("name", [*runs.SAID])
@pytest.mark.parametrize("value", [None, "edited", ["edited"]])
def test_the_record_of_a_run_cannot_be_edited(folder, name, value):
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**about, name: value}))
    refused(folder, "run.json")


NO_CLAIMS = ["{}", "3", "null", '"x"', "", "[3]", "[" * 100_000, DEEP]


@pytest.mark.parametrize("text", NO_CLAIMS)
def test_what_are_no_claims_is_refused(tmp_path, folder, text):
    (folder / "claims.json").write_text(text)
    with pytest.raises(ValueError, match=r"claims\.json"):
        made(tmp_path)
    made(tmp_path, replot=True)  # which judges again


@pytest.mark.parametrize("name", ["data.nc", "run.json", "claims.json"])
def test_a_pipe_in_place_of_a_file_blocks_nothing(tmp_path, folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ValueError, match=name):
        made(tmp_path)


@pytest.mark.parametrize("name", ["data.nc", "run.json", "claims.json"])
def test_a_file_that_is_mostly_a_hole_takes_no_memory(tmp_path, folder, name):
    os.truncate(folder / name, 2**42)
    with pytest.raises(ValueError, match=name):
        made(tmp_path)


def test_nothing_is_written_through_a_link(tmp_path, folder):
    (tmp_path / "mine").write_text("mine")
    for name in ("figure.png", "figure.pdf", "claims.json"):
        (folder / name).unlink()
        (folder / name).symlink_to(tmp_path / "mine")
        # The name under which the file is written first.
        partial = folder / f".{name}.{os.getpid()}.partial"
        partial.symlink_to(tmp_path / "mine")
    made(tmp_path, replot=True)
    assert (tmp_path / "mine").read_text() == "mine"
    assert made(tmp_path).picture.read_bytes().startswith(b"\x89PNG")


def test_a_lock_that_is_a_link_leads_nowhere(tmp_path, folder):
    (tmp_path / "mine").write_text("mine")
    lock = folder.with_name(f".{folder.name}.lock")
    lock.unlink(missing_ok=True)
    lock.symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match=lock.name):
        made(tmp_path, replot=True)
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_link_to_nowhere_is_noticed_before_anything_is_computed(tmp_path, folder):
    shutil.rmtree(folder)
    folder.symlink_to(tmp_path / "nowhere")

    def compute(config, models):
        pytest.fail("this cannot be kept")

    figure = Figure(FIGURE.spec, FIGURE.presets, compute, plot, claims)
    with pytest.raises(ValueError, match=rf"run\.json cannot be used.*{folder.name}"):
        runs.run(figure, "tiny", Config(), Models(tmp_path))


def test_other_folders_beside_a_run_are_left(tmp_path, folder):
    config = Config(size=3)
    mine = folder.with_name(f".writing-{folder.name}-my notes")
    old = folder.with_name(f".writing-{folder.name}-0123abcd")
    mine.mkdir()
    old.mkdir()
    shutil.rmtree(folder)
    runs.run(FIGURE, "tiny", config, Models(tmp_path))
    assert mine.exists() and not old.exists()


def test_mistakes_of_a_figure_are_not_blamed_on_its_data(tmp_path):
    def broken(dataset):
        raise KeyError("mistake")

    figure = Figure(FIGURE.spec, FIGURE.presets, compute, broken, claims)
    with pytest.raises(KeyError, match="mistake"):
        runs.run(figure, "tiny", Config(), Models(tmp_path))


SMALL = """
import resource, signal, sys
from pathlib import Path
import test_runs
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
for room in sys.argv[2:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(room), most))
    try:
        test_runs.made(Path(sys.argv[1]) / room)
    except OSError as error:
        print(error.errno)
"""


def test_where_a_file_cannot_grow_nothing_is_left_and_nothing_crashes(tmp_path):
    """A limit of file sizes meets the calls that a full disk meets.

    There is no clone: git writes its index when it describes one, and its lock stays
    where that fails.
    """
    rooms = ("100", "4000", "8000")
    here = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", SMALL, tmp_path, *rooms],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": here, "GIT_DIR": str(tmp_path / "none")},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [str(errno.EFBIG)] * len(rooms)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(rooms)
    assert not list(tmp_path.rglob(".writing-*"))
    assert not list(tmp_path.rglob("*.part*"))
