"""An extension of griffe, which reads our code and docstrings for the API pages.

It says two things that griffe does not know by itself. `from x import y as y` makes y a
public name of a package, which is the convention of type checkers; and a section of a
docstring that is called `Example:` holds code, as one called `Examples:` does.
"""

import ast
import re
from pathlib import Path
from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Reads packages and docstrings as they are written here."""

    def on_object(self, *, obj: griffe.Object, **settings: Any) -> None:
        """Gives the section of examples the name that griffe knows."""
        del settings
        if obj.docstring:
            text = obj.docstring.value
            obj.docstring.value = re.sub(
                r"^( *)Example:$", r"\1Examples:", text, flags=re.M
            )

    def on_package(self, *, pkg: griffe.Module, **settings: Any) -> None:
        """Marks the exported names of a package, and of all packages inside it."""
        del settings
        mark(pkg)


def mark(module: griffe.Module) -> None:
    """Marks the exported names of a package and of all packages below it as public."""
    if module.is_init_module and isinstance(module.filepath, Path):
        names = exported(module.filepath)
        for name, member in module.members.items():
            if name in names:
                member.public = True
    for part in list(module.members.values()):
        if not part.is_alias and isinstance(part, griffe.Module):
            mark(part)


def exported(path: Path) -> list[str]:
    """Returns the names that a package exports, in the order in which it does.

    Args:
        path: its `__init__.py`; where a stub lies beside it, the stub is read.
    """
    stub = path.with_suffix(".pyi")
    tree = ast.parse((stub if stub.exists() else path).read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return [
        name.name for node in imports for name in node.names if name.asname == name.name
    ]
