"""A Markdown extension that turns the LaTeX of our pages into MathML.

Browsers draw MathML themselves, so formulas need no script, no fonts and no network.
`$...$` is a formula in a line, and a paragraph `$$ ... $$` is one that stands alone.
Those of docstrings are written in Unicode (see `formulas`).
"""

import re
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.blockprocessors import BlockProcessor
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor

from docs.website.formulas import latex

# No formula begins or ends with a space, so that "$5 and $6" are two prices.
INLINE = r"(?<![\\$\w])\$(?![\s$])([^$\n]*[^\s$\\])\$(?![\w$])"
BLOCK = re.compile(r"\$\$(.+)\$\$", re.DOTALL)


class InlineFormula(InlineProcessor):
    """Formulas within a line, before anything in them is read as Markdown."""

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[str, int, int]:
        """Returns the placeholder of the MathML, and where the formula stood."""
        del data
        formula = self.md.htmlStash.store(convert(latex(m.group(1))))
        return formula, m.start(0), m.end(0)


class BlockFormula(BlockProcessor):
    """Formulas that are paragraphs of their own."""

    def test(self, parent: Element, block: str) -> bool:
        """Returns whether the paragraph is a formula."""
        del parent
        return BLOCK.fullmatch(block.strip()) is not None

    def run(self, parent: Element, blocks: list[str]) -> None:
        """Replaces the paragraph by the placeholder of its MathML."""
        found = BLOCK.fullmatch(blocks.pop(0).strip())
        assert found is not None  # because `test` was true
        formula = convert(latex(found.group(1).strip()), display="block")
        SubElement(parent, "p").text = self.parser.md.htmlStash.store(formula)


class Mathematics(Extension):
    """Formulas in LaTeX, drawn by the browser."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Registers both kinds of formulas; code spans (priority 190) come first."""
        md.inlinePatterns.register(InlineFormula(INLINE, md), "formula", 185)
        md.parser.blockprocessors.register(BlockFormula(md.parser), "formulas", 175)


def makeExtension(**settings: Any) -> Mathematics:
    """Returns the extension; Markdown looks for a function of this name."""
    return Mathematics(**settings)
