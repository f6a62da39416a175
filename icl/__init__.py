"""In-context learners, and the algorithms they are compared with.

Names are loaded when they are first used (see the stub beside this file, which is the
list of what is public), so that `import icl` costs nothing that you do not need.
"""

import lazy_loader

_exported, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """Returns the version of what is installed, or loads a public name."""
    if name != "__version__":
        return _exported(name)
    # Imported here: metadata are slow to read, and few need them.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("icl-probes")
    except PackageNotFoundError:  # this is a clone that is not installed
        return "0+unknown"
