"""How does a command print, whatever standard output and standard error are?

They may be closed, a full disk, a pipe whose reader has gone, or of an encoding that
has no "≤". None of this is a reason to lose hours of work, or to end in a traceback.
"""

import codecs
import os
import sys
import unicodedata
from collections.abc import Mapping
from contextlib import suppress

from icl.terminal import printable

PLAIN: Mapping[str, str] = {
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{EN DASH}": "-",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
}
"""What is printed in place of letters that an encoding may lack."""


def prepare() -> None:
    """Makes standard output and standard error fit for whatever is printed."""
    codecs.register_error("icl.plain", _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed when Python started
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="icl.plain")


def one_line_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Returns a warning in one line, as `warnings.formatwarning` may."""
    return f"warning: {printable(' '.join(str(message).split()))}\n"


def give_up_output() -> None:
    """Sends standard output nowhere, so that nothing is flushed to it at the end."""
    with suppress(OSError, ValueError):  # in a notebook it is no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Returns plain letters for those that an encoding lacks, else their numbers."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    plain = "".join(PLAIN.get(letter, letter) for letter in letters)
    bare = unicodedata.normalize("NFKD", plain)
    kept = "".join(letter for letter in bare if not unicodedata.combining(letter))
    text = kept.encode("ascii", "backslashreplace").decode()
    return text, error.end
