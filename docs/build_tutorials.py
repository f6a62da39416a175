"""Runs the tutorials and makes a page of each: `python -m docs.build_tutorials`.

A tutorial is a script in `docs/tutorials`, in the "percent" format that Jupytext,
VS Code, PyCharm and Spyder open as a notebook: `# %%` begins a cell, and a cell of text
is a string. Such a script is read, formatted and compared in git as any other code,
and holds no outputs that could be out of date. Here it is run as a notebook (nbclient),
in the folder of the tutorials, and written as Markdown with its pictures (nbconvert),
beside the notebook itself. Git ignores what is written.

The command fails if a cell raises an error, prints a warning or draws a picture that no
`alt="..."` beside its `# %%` describes, and if a tutorial takes more than two minutes
of one core. It needs `pip install '.[docs]'`.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "tutorials"
LIMIT = 120
"""The number of seconds of one core that a tutorial may take."""

HANGS = 1200
"""The number of seconds after which a cell is given up, on however busy a machine."""

TUTORIALS = (
    "which_algorithm",
    "hugging_face",
    "own_task",
    "false_finding",
    "probing_over_training",
    "steering",
    "shifts",
    "sums",
    "own_table",
)
"""The tutorials, in the order in which they are read."""


PAGES = ("index", *TUTORIALS)
"""The pages that the command writes, without the .md of their names."""

NEEDS = {"hugging_face": ("torch", "transformers")}
"""What a tutorial needs that the site does not; without it, it is shown as it is."""


def build(name: str, out: Path) -> float | None:
    """Runs a tutorial and writes its page, its pictures and its notebook.

    Returns:
        How many seconds of a core it took, or None: what it needs is not installed, so
        that it was not run, and its page has no outputs.

    Raises:
        ValueError: a cell failed, warned or drew a picture without a description, or
            the tutorial took too long.
    """
    import jupytext

    notebook = jupytext.read(SOURCES / f"{name}.py")
    absent = [each for each in NEEDS.get(name, ()) if find_spec(each) is None]
    if absent:
        said = f"It was not run here, because {' and '.join(absent)} was not installed."
        _write(name, notebook, out, said)
        return None
    seconds = _run(name, notebook)
    _check_outputs(name, notebook)
    _write(
        name, notebook, out, f"It was run here, which took {seconds:.0f} s of a core."
    )
    return seconds


def _run(name: str, notebook: Any) -> float:
    """Runs all cells of a notebook, and returns how many seconds of a core they took.

    Time on the clock would depend on what else the machine does.
    """
    import nbclient
    import nbformat
    from traitlets.config import Config

    clock = nbformat.v4.new_code_cell("import time; print(time.process_time())")
    notebook.cells.append(clock)
    with tempfile.TemporaryDirectory() as folder:
        sockets = {"transport": "ipc", "ip": f"{folder}/kernel"}  # files, no ports
        client = nbclient.NotebookClient(
            notebook,
            timeout=HANGS,
            startup_timeout=HANGS,
            kernel_name="python3",
            coalesce_streams=True,  # what one cell prints is one block
            resources={"metadata": {"path": str(SOURCES)}},
            config=Config({"KernelManager": sockets}),
        )
        _execute(name, client)
    seconds = float(notebook.cells.pop().outputs[0].text)
    if seconds > LIMIT:
        raise ValueError(f"{name} took {seconds:.0f} s of a core, more than {LIMIT} s.")
    return seconds


def _execute(name: str, client: Any) -> None:
    from nbclient import exceptions

    try:
        client.execute()
    except exceptions.CellTimeoutError as error:
        raise ValueError(f"{name}: a cell took more than {HANGS} s.") from error
    except exceptions.CellExecutionError as error:
        raise ValueError(f"{name}: a cell failed.\n{error}") from error


def _check_outputs(name: str, notebook: Any) -> None:
    """Refuses warnings, and pictures that are not described in words."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                raise ValueError(f"{name}: a cell wrote to stderr.\n{output.text}")
            pictures = "image/png" in output.get("data", {})
            if pictures and not cell.metadata.get("alt"):
                raise ValueError(
                    f"{name}: a picture has no description; write "
                    f'`# %% alt="..."` above the cell that begins\n{cell.source[:200]}'
                )


def _write(name: str, notebook: Any, out: Path, said: str) -> None:
    import nbconvert
    import nbformat

    names = {"unique_key": name, "output_files_dir": f"{name}_files"}
    exporter = nbconvert.MarkdownExporter()
    text, resources = exporter.from_notebook_node(notebook, {**names})
    out.mkdir(parents=True, exist_ok=True)
    for path, data in resources["outputs"].items():
        picture = out / path
        picture.parent.mkdir(exist_ok=True)
        picture.write_bytes(data)
    note = (
        f"\n*This page is the notebook [{name}.ipynb]({name}.ipynb), whose source is "
        f"`docs/tutorials/{name}.py`. {said}*\n"
    )
    page = _described(text, notebook) + note
    (out / f"{name}.md").write_text(page, encoding="utf-8")
    nbformat.write(notebook, out / f"{name}.ipynb")


def _described(text: str, notebook: Any) -> str:
    """Returns a page whose pictures have the descriptions of their cells."""

    def picture(match: re.Match[str]) -> str:
        alt = notebook.cells[int(match["cell"])].metadata["alt"]
        return f"![{alt}]({match['path']})"

    pattern = r"!\[png\]\((?P<path>[^)]*_(?P<cell>\d+)_\d+\.png)\)"
    return re.sub(pattern, picture, text)


def contents() -> str:
    """Returns the page that lists the tutorials."""
    import jupytext

    parts = [
        "# Tutorials",
        "Each is a notebook that runs in less than two minutes, with the models that "
        "come with the package or with one that it makes. They are run whenever this "
        "site is built.",
    ]
    for name in TUTORIALS:
        first = jupytext.read(SOURCES / f"{name}.py").cells[0].source
        title, _, rest = first.partition("\n")
        summary = rest.strip().split("\n\n")[0]
        parts += [f"## [{title.removeprefix('# ')}]({name}.md)", summary]
    return "\n\n".join(parts) + "\n"


def missing() -> list[str]:
    """Returns a sentence if a tutorial has no page, which the site needs."""
    absent = [name for name in PAGES if not (SOURCES / f"{name}.md").exists()]
    names = ", ".join(f"{name}.md" for name in absent)
    run = "python -m docs.build_tutorials"
    return [f"{run} has not made these pages yet: {names}"] if absent else []


def main(argv: Sequence[str] | None = None) -> int:
    """Builds the tutorials that are named, or all, and returns the exit status."""
    parser = argparse.ArgumentParser(description="Runs tutorials, makes their pages.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--out", type=Path, default=SOURCES, help="where pages go")
    given = parser.parse_args(argv)
    unknown = set(given.names) - set(TUTORIALS)
    if unknown:
        parser.error(f"no tutorial {min(unknown)!r}; there are {', '.join(TUTORIALS)}.")
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # pages have no widgets
    for name in given.names or TUTORIALS:
        try:
            seconds = build(name, given.out)
        except ValueError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print("not run" if seconds is None else f"{seconds:5.1f} s", name, flush=True)
    (given.out / "index.md").write_text(contents(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
