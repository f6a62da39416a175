"""Sections of RESULTS.md: made from the folder of a run, found again by the command."""

import json
import re
from dataclasses import replace
from pathlib import Path

from docs.collect_results import OTHERS, RESULTS, collected, main
from experiments.engine.claims.claim import Claim, save_claims
from experiments.engine.report import markdown

HEADER = f"| {' | '.join(markdown.HEADER)} |"
CLAIM = Claim(
    "garg2022.1a", "Small.", "Fig. 1", 0.2, 0.1, 0.3, 0.5, unit="error", bar="ours"
)
PAGE = f"""# Found

| claim | ours |
{OTHERS}
About them all.

### Shifted prompts (`python -m experiments.garg2022.shifts shipped --seed 1`)

The model is small.

| old | table |

### Another (`python -m experiments.fu2024.layers quick`)

| its | table |
"""


def run(folder: Path, command: str, *claims: Claim) -> Path:
    """Writes what a run leaves of its command and its claims."""
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"command": f"python -m {command}"}))
    save_claims(folder / "claims.json", claims)
    return folder


def test_a_section_is_replaced_but_for_its_title_and_what_it_says_first(tmp_path):
    unknown = replace(CLAIM, id="garg2022.1b", value=float("nan"), note="No x.")
    command = "experiments.garg2022.shifts shipped"
    folder = run(tmp_path / "shipped-1a", command, CLAIM, unknown)
    page = collected(PAGE, folder)
    assert f"### Shifted prompts (`python -m {command}`)\n\nThe model is small." in page
    row = "| garg2022.1a | Small. | 0.2 [0.1, 0.3] &lt; 0.5 | error |  | holds |"
    assert f"{HEADER}\n" in page and row in page and "| old | table |" not in page
    assert "The run has not measured:\n\n- garg2022.1b: No x." in page
    assert "| garg2022.1b" not in page
    before, after = PAGE.split("### Shifted")[0], PAGE.split("### Another")[1]
    assert page.startswith(before) and page.endswith(after)
    assert collected(page, folder) == page


def test_a_figure_or_preset_without_a_section_gets_one_at_the_end(tmp_path):
    folder = run(tmp_path / "quick-1a", "experiments.emergence.plateau quick", CLAIM)
    page = collected(PAGE, folder)
    title = "A jump that is in the model"  # as the figure's docstring begins
    assert page.startswith(PAGE.rstrip()) and f"### {title}" in page[len(PAGE) :]
    other = run(tmp_path / "shipped-1a", "experiments.fu2024.layers shipped", CLAIM)
    assert collected(PAGE, other).startswith(PAGE.rstrip())
    assert "### Mine (`python" in collected(PAGE, folder, "Mine")


def test_what_is_no_run_is_refused_and_leaves_the_page_as_it_is(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert main([str(tmp_path), "--into", str(page)]) == 2
    assert "run.json" in capsys.readouterr().err
    folder = run(tmp_path / "quick-1a", "experiments.emergence.plateau quick", CLAIM)
    page.write_text("# Found\n")
    assert main([str(folder), "--into", str(page)]) == 2
    assert "no heading '## Other papers'" in capsys.readouterr().err
    assert page.read_text() == "# Found\n"


def test_all_tables_of_other_papers_have_the_same_columns_and_no_row_twice():
    sections = RESULTS.read_text().partition(OTHERS)[2].split("\n### ")[1:]
    ids = []
    for section in sections:
        command = r"`python -m experiments\.(\w+)\.\w+ (\w+)"
        ((paper, preset),) = re.findall(command, section.splitlines()[0])
        lines = [line for line in section.splitlines() if line.startswith("| ")]
        if not lines:
            assert f"- {paper}." in section, "nothing was measured, and it says why"
            continue
        assert lines[0] == HEADER, section[:80]
        found = [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]]
        # A figure may judge claims of another paper, too.
        assert found[0].startswith(f"{paper}.") and all("." in one for one in found)
        assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {9}
        ids += [(preset, one) for one in found]
    assert len(ids) == len(set(ids)) > 80
