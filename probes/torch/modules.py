"""The blocks of a PyTorch model: which of its modules are they?

A model whose parameters have no numbers is refused here as well.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from probes.arrays import shown

SHOWN = 12  # names of modules in a message
EMPTY = "on the device 'meta', where tensors have a shape and no numbers"


def import_torch() -> Any:
    """Returns PyTorch."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "probes.torch needs PyTorch: pip install 'icl-probes[torch]'."
        ) from error
    return torch


def check_loaded(model: Any) -> None:
    """Refuses a model with parameters on "meta", where tensors have no numbers.

    Between calls accelerate leaves there what it has offloaded, and its own hooks bring
    it back, so that its models are not refused.
    """
    tensors = chain(model.named_parameters(), model.named_buffers())
    empty = [name for name, tensor in tensors if tensor.is_meta]
    if empty and not any(hasattr(module, "_hf_hook") for module in model.modules()):
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        raise ValueError(
            f"model must have its parameters, but {empty[0]!r}{more} are {EMPTY}; load "
            "them first, for instance by model.load_state_dict(arrays, assign=True)."
        )


def blocks_of(model: Any, blocks: Any) -> dict[str, Any]:
    """Returns the blocks of a model by name, in order.

    Raises:
        ValueError: there are no such modules in the model.
    """
    torch = import_torch()
    names = {module: name for name, module in model.named_modules()}
    if isinstance(blocks, str):
        chosen = _list_of(model, blocks)
    elif isinstance(blocks, Iterable):
        chosen = [_module(model, b) if isinstance(b, str) else b for b in blocks]
    else:
        chosen = []
    inside = (isinstance(m, torch.nn.Module) and m in names for m in chosen)
    if not chosen or not all(inside):
        raise ValueError(
            "blocks must be the name of a module list of the model, or a sequence of "
            f"modules in it or of their names, got {shown(blocks)}; {_lists(model)}."
        )
    if len(set(chosen)) < len(chosen):
        raise ValueError(
            "blocks must be different modules, but some are the same one: a module "
            "that is used several times cannot be read by hooks."
        )
    return {names[module]: module for module in chosen}


def _module(model: Any, name: str) -> Any:
    """Returns the module of a name.

    Raises:
        ValueError: the model has none of that name.
    """
    try:
        return model.get_submodule(name)
    except AttributeError:
        raise ValueError(
            f"the model has no module {name!r}; {_lists(model)}."
        ) from None


def _list_of(model: Any, name: str) -> list[Any]:
    """Returns the modules that a module list holds.

    Raises:
        ValueError: the model has no list of that name.
    """
    torch = import_torch()
    found = _module(model, name)
    if not isinstance(found, torch.nn.ModuleList | torch.nn.Sequential):
        raise ValueError(
            f"{name!r} is one module, a {type(found).__name__}, and no list of blocks; "
            f"{_lists(model)}. For one block alone give a list, [{name!r}]."
        )
    return list(found)


def _lists(model: Any) -> str:
    """Returns a phrase with the names of the module lists of a model."""
    torch = import_torch()
    kinds = torch.nn.ModuleList | torch.nn.Sequential
    names = [n or "''" for n, m in model.named_modules() if isinstance(m, kinds)]
    if not names:
        names = [name for name, _ in model.named_children()]
        return f"it has no module lists; its modules are {', '.join(names) or 'none'}"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"its module lists are {', '.join(names[:SHOWN])}{more}"
