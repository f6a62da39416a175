"""Turns the formulas of docstrings, which are written in Unicode, into LaTeX.

A docstring is read in a terminal more often than on the site. So its formulas have λ, ∑
and ⁻¹ where LaTeX has backslashes and braces, and X' is the transpose of X:

    $$w = (X'X + αI)⁻¹ X'y$$

Greek letters are LaTeX as they are. What is written in LaTeX, as on most pages, stays
as it is.
"""

import re

SIGNS = {
    "←": r"\leftarrow ",
    "→": r"\to ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≈": r"\approx ",
    "·": r"\cdot ",
    "∑": r"\sum ",
    "∏": r"\prod ",
    "∞": r"\infty ",
    "‖": r"\Vert ",
    "ŵ": r"\hat{w}",
    "ŷ": r"\hat{y}",
    "²": "^2",
    "⁺": "^+",
    "⁻¹": "^{-1}",
    "ᵀ": r"^\top ",
    ",  ": r",\quad ",
}
"""Signs, and what they are in LaTeX. Two spaces after a comma begin another formula."""

NAMES = (
    "KL",
    "Var",
    "argmin",
    "cos",
    "exp",
    "ln",
    "log",
    "max",
    "mean",
    "median",
    "min",
    "sign",
    "sin",
    "tr",
)
"""Words that stand upright. Other letters side by side are a product, as in Xw."""

TRANSPOSED = re.compile(r"(?<=[A-Z])'")
EXPECTATION = re.compile(r"(?<![\w\\])E(?=\[)")
ROOT = re.compile(r"√\(([^()]*)\)")
WORD = re.compile(rf"(?<![A-Za-z\\{{_^])({'|'.join(NAMES)})(?![A-Za-z])")


def latex(formula: str) -> str:
    r"""Returns a formula in LaTeX.

    Example:
        >>> latex("w = (X'X + αI)⁻¹ X'y")
        'w = (X^\\top X + αI)^{-1} X^\\top y'
        >>> latex("√(mean D²)"), latex(r"\log x")
        ('\\sqrt{\\operatorname{mean} D^2}', '\\log x')
    """
    found = WORD.sub(r"\\operatorname{\1}", formula)
    found = ROOT.sub(r"\\sqrt{\1}", found)
    found = TRANSPOSED.sub("ᵀ", found)
    found = EXPECTATION.sub(r"\\mathbb{E}", found)
    for sign, command in SIGNS.items():
        found = found.replace(sign, command)
    return found


def unknown(formula: str) -> set[str]:
    """Returns the characters of a formula that are neither ASCII, Greek nor a sign."""
    return {
        character
        for character in formula
        if not (character.isascii() or "\u03b1" <= character <= "\u03c9")
        and character not in "".join(SIGNS) + "√"
    }
