"""Serves a page on which a trained model can be explored: `make explore`.

    python -m experiments.explorer            # the models that come with the package
    python -m experiments.explorer runs/a     # and a model of your own

The page is served to this machine only, and loads nothing from elsewhere. It needs
`pip install '.[explore]'`.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.engine.figures.command import Parser, guarded
from icl.files import expanded
from icl.pretrained import available

PAGE = Path(__file__).parent / "page.py"
HOST = "127.0.0.1"
DESCRIPTION = "Serves a page on which a trained model can be explored."


def command(models: Sequence[str], port: int, *, browser: bool) -> list[str]:
    """Returns the command that serves the page.

    Args:
        models: folders or files of trained models, or names of those in the package.
        port: the port of this machine.
        browser: whether a browser is opened.
    """
    shown = [] if browser else ["--headless"]
    listed = [part for name in models for part in ("--model", name)]
    serve = [sys.executable, "-m", "marimo", "-q", "-y", "run", str(PAGE)]
    return [*serve, "--host", HOST, "--port", str(port), *shown, "--", *listed]


def serve(argv: Sequence[str]) -> None:
    """Checks the models and serves the page until it is stopped.

    Raises:
        ValueError: a model cannot be explored, or marimo is not installed.
    """
    parser = Parser("python -m experiments.explorer", description=DESCRIPTION)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="a run's folder")
    parser.add_argument("--port", type=int, default=2718, help="default: 2718")
    parser.add_argument("--no-browser", action="store_true", help="open no browser")
    given = parser.parse_args(argv)
    if importlib.util.find_spec("marimo") is None:
        raise ValueError("marimo is not installed: pip install '.[explore]'.")
    if given.models:
        from experiments.explorer.subject import find

        for name in given.models:
            find(name)
    folders = [
        name if name in available() else str(expanded(name).resolve())
        for name in given.models
    ]
    print(f"the page is at http://{HOST}:{given.port}; Ctrl-C ends it", flush=True)
    line = command(folders, given.port, browser=not given.no_browser)
    # In a session of its own it is not sent Ctrl-C, on which it prints a traceback.
    server = subprocess.Popen(line, start_new_session=True)
    try:
        status = server.wait()
    except KeyboardInterrupt:
        return
    finally:
        server.terminate()
        server.wait()
    if status:
        raise ValueError(f"marimo ended with status {status}.")


def main(argv: Sequence[str] | None = None) -> int:
    """Serves the page, and returns the exit status."""
    return guarded("experiments.explorer", serve, argv)


if __name__ == "__main__":
    sys.exit(main())
