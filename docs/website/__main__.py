"""Builds the documentation site into `site/`: `make docs`, or `python -m docs.website`.

An example that fails, a broken link or reference, a docstring that cannot be read, or a
page that loads something from another host fails the build.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from docs import build_tutorials
from docs.website import checks, examples, staging

ROOT = staging.ROOT
SITE = ROOT / "site"
# Search works on a site that is opened as a file, too. For that, the generator loads
# this script from another host; ours is a copy of it.
SHIM = "https://unpkg.com/iframe-worker/shim"
OWN_SHIM = "assets/javascripts/iframe-worker.js"


def main() -> int:
    """Runs the examples, builds the site and checks it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m docs.website", description=__doc__)
    parser.add_argument(
        "--only-pages", action="store_true", help="do not run the examples"
    )
    parser.add_argument("--only-examples", action="store_true", help="build no pages")
    options = parser.parse_args()
    problems = []
    if not options.only_pages:
        problems += [wrong for path in examples.pages() for wrong in examples.run(path)]
    if not options.only_examples:
        problems += build_tutorials.missing() or staging.stage() + build()
        problems += [] if problems else checks.check(SITE)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems and not options.only_examples:
        print(f"the site is in {SITE.relative_to(ROOT)}/: open {SITE / 'index.html'}")
    return 1 if problems else 0


def build() -> list[str]:
    """Builds the HTML, and returns what the generator complains of."""
    shutil.rmtree(SITE, ignore_errors=True)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    result = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"NO_COLOR": "1"},
    )
    said = (result.stdout + result.stderr).splitlines()
    problems = [line for line in said if line.startswith("griffe:")]
    if result.returncode:
        problems += said
    if not problems:
        finish(SITE)
    return problems


def finish(site: Path) -> None:
    """Puts our copy of the script for searching files in place of the remote one."""
    (site / OWN_SHIM).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).parent / "iframe-worker.js", site / OWN_SHIM)
    for path in site.rglob("*.html"):
        depth = len(path.relative_to(site).parts) - 1
        text = path.read_text().replace(SHIM, "../" * depth + OWN_SHIM)
        path.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
