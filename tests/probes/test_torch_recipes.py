"""Pages for users of other libraries; each is skipped where its library is missing."""

import doctest
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("library", ["nnsight", "transformer_lens"])
def test_examples_of_the_page(library):
    pytest.importorskip(library)
    result = doctest.testfile(
        str(DOCS / f"{library}.md"),
        module_relative=False,
        optionflags=doctest.NORMALIZE_WHITESPACE,
    )
    assert result.attempted > 20
    assert result.failed == 0
