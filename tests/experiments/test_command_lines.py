"""Whatever is the user's ends in one line and status 2, in every entry point."""

import io
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.akyurek2023 import fig7
from experiments.engine.figures import command
from experiments.engine.report.markdown import plain
from icl import terminal
from icl.files import expanded
from icl.sweeps import Models

ROOT = Path(__file__).parents[2]
FIG7 = ("experiments.akyurek2023.fig7", "tiny")


def program(*argv, shell="", **environment):
    """What a command prints and returns, with streams as a shell makes them."""
    words = [sys.executable, "-m", *map(str, argv)]
    return subprocess.run(
        ["bash", "-c", f'"$@" {shell}', "bash", *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    done = program(*FIG7, "--results", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    "argv",
    [
        ("experiments", "--nope"),
        ("experiments", "fig1"),
        ("experiments.akyurek2023", "tiny", "--seed", "99999999999999999999"),
        ("experiments.akyurek2023.fig1", "tiny", "--seed", str(2**32)),
        ("experiments.akyurek2023.fig1", "tiny", "--task.dim", "9" * 20),
        ("experiments.akyurek2023.fig1", "tiny", "--train.steps", "9" * 20),
        ("experiments.akyurek2023.fig1", "tiny", "--task.length", "9" * 5_000),
        ("experiments.akyurek2023.fig1", "tiny", "--devices", "1000000000"),
        ("experiments.akyurek2023.fig1", "tiny", "--model.layers", "4294967295"),
        ("experiments.akyurek2023.fig1", "tiny", "--model.width", "4294967295"),
        ("experiments.akyurek2023.fig1", "tiny", "--evaluation.resamples", "9" * 9),
        ("experiments.akyurek2023.fig1", "tiny", "--results", ""),
        ("experiments.akyurek2023.fig1", "tiny", "--results", "~nobody-here/x"),
        ("experiments.pretrained", "--name", "d9"),
        ("benchmarks", "--nope"),
        ("benchmarks", "nope"),
        ("benchmarks", "--turns", "x"),
        ("experiments.explorer", "--port", "x"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_what_is_the_users_is_one_line(argv, monkeypatch, capsys):
    """As `python -m` runs it, but for the seconds in which a process imports JAX."""
    name, *_ = argv
    monkeypatch.setattr(sys, "argv", list(argv))
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(name, run_name="__main__")
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("error: ") and said.count("\n") == 1
    assert ", 294,967,295" not in said  # a number that a line's end has broken


def test_it_is_one_line_of_a_process_too():
    done = program("experiments.akyurek2023", "tiny", "--seed", "9" * 20)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("shell", ["| true", "| head -1", "> /dev/full"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_takes_nothing_is_no_traceback(shell, unbuffered):
    done = program("experiments", shell=shell, PYTHONUNBUFFERED=unbuffered)
    if "full" in shell:
        assert done.returncode == 2
        assert done.stderr == "error: No space left on device\n"
    else:
        assert done.stderr == ""


@pytest.mark.parametrize("name", ["benchmarks", "experiments.akyurek2023.fig7"])
def test_a_help_that_cannot_be_written_is_an_error(name):
    preset = ["tiny"] if name != "benchmarks" else []
    done = program(name, *preset, "--help", shell="> /dev/full")
    assert done.returncode == 2
    assert done.stderr == "error: No space left on device\n"


@pytest.mark.parametrize("shell", [">&-", "2>&-", ">&- 2>&-", "2>/dev/full"])
def test_closed_streams_change_no_result(results, shell):
    done = program(*FIG7, "--results", results, shell=shell)
    assert done.returncode == 0
    assert "found" not in done.stdout and "Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_any_encoding_will_do(results, encoding, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    assert command.main(fig7.FIGURE, ["tiny", "--results", str(results)]) == 0
    said = written.getvalue().decode(encoding)
    assert ("≤" if encoding == "utf-8" else "<=") in said


def test_any_encoding_of_a_process_will_do(results):
    done = program(*FIG7, "--results", results, PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "<=" in done.stdout


def test_the_users_matplotlib_changes_nothing(results, tmp_path):
    (picture,) = results.rglob("figure.png")
    before = picture.read_bytes()
    (tmp_path / "matplotlibrc").write_text(
        "font.size: 31\nbackend: QtAgg\ntext.usetex: True\nsavefig.bbox: tight\nx: y\n"
    )
    done = program(
        *FIG7,
        *("--results", results, "--replot"),
        MPLBACKEND="module://not_there.backend_inline",
        MATPLOTLIBRC=str(tmp_path / "matplotlibrc"),
    )
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes() == before
    assert "atplotlib" not in done.stderr


@pytest.mark.usefixtures("untyped")
def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Models("~/x").results == expanded("~/x") == tmp_path / "x"
    for wrong in (None, 3, ["x"]):
        with pytest.raises(
            ValueError, match="path must be a path, a string or a Path, got"
        ):
            expanded(wrong)


def test_lack_of_memory_is_one_line(capsys):
    for error in (MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of\nmemory")):

        def action(argv, error=error):
            raise error

        assert command.guarded("experiments", action, []) == 2
        said = capsys.readouterr().err
        assert "not enough memory" in said and said.count("\n") == 1


def test_what_files_say_commands_no_terminal(capsys):
    terminal.say("\x1b[31mred\x07\u202e ≤ é")
    assert capsys.readouterr().err == "\\x1b[31mred\\x07\\u202e ≤ é\n"


def test_what_files_say_is_no_markup():
    text = plain("<script>x</script>\n# heading\n\n[a](http://b) | [c]: d \x1b[1m")
    assert "<" not in text and "\n" not in text and "](" not in text
    assert r"\|" in text and "\x1b" not in text
