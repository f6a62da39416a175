"""Where do weights of other programs come from? From a dictionary or from a file.

Whatever the source, it becomes one flat dictionary of NumPy arrays with dotted names.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from icl.arrays import floating, plain, real
from icl.files import DEEPEST, SAFETENSORS, expanded, read_arrays

TORCH = (".pt", ".pth", ".bin", ".ckpt")
"""The ends of the names of files that PyTorch writes."""

WEIGHTS = ("model_state_dict", "state_dict", "params")
"""Where a checkpoint holds its weights, beside the optimiser's state and the step."""


def arrays_from(source: Mapping[Any, Any] | str | Path) -> dict[str, np.ndarray]:
    """Returns weights by dotted names.

    Args:
        source: a dictionary of arrays, perhaps of dictionaries, or a file's path.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: it is a file of PyTorch, which is not installed.
        ValueError: it is no file of weights, it is damaged, a value is no array, two
            have one name, or dictionaries lie in each other without end.
    """
    if isinstance(source, Mapping):
        return _flat(_weights(source))
    if not isinstance(source, str | Path):
        raise ValueError(
            "source must be a dictionary of arrays or the path of a file, got "
            f"{type(source).__name__}; a module of PyTorch gives its state_dict()."
        )
    path = expanded(source, "source")
    if path.is_dir():
        raise ValueError(
            f"source must be a file of weights, got the folder {path}; name the file "
            "in it, such as state.pt."
        )
    if path.suffix == SAFETENSORS:
        return _flat(read_arrays(path)[0])
    if path.suffix in TORCH:
        return _flat(_weights(_from_torch(path)))
    raise ValueError(
        f"source must be a dictionary, or a file that ends in {SAFETENSORS} or "
        f"{', '.join(TORCH)}, got {str(path)!r}; read other files yourself and hand "
        "the dictionary over."
    )


def _weights(source: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Returns that part of a checkpoint which holds the weights, or all of it."""
    inner = [source[name] for name in WEIGHTS if name in source]
    return inner[0] if inner and isinstance(inner[0], Mapping) else source


def _flat(
    tree: Mapping[Any, Any], prefix: str = "", depth: int = 0
) -> dict[str, np.ndarray]:
    """Returns a nested dictionary as a flat one, with dots where it was nested."""
    if depth > DEEPEST:
        raise ValueError(
            f"source must have dictionaries that lie at most {DEEPEST} deep in each "
            "other, got deeper ones, or one that holds itself."
        )
    arrays: dict[str, np.ndarray] = {}
    for key, value in tree.items():
        # flax writes ("layer", "kernel") or "layer/kernel" where PyTorch writes dots.
        own = ".".join(map(str, key)) if isinstance(key, tuple) else str(key)
        name = f"{prefix}{own.replace('/', '.')}"
        inside = isinstance(value, Mapping)
        found = (
            _flat(value, f"{name}.", depth + 1)
            if inside
            else {name: _array(plain(name), value)}
        )
        for twice in found.keys() & arrays.keys():
            raise ValueError(
                f"source must have one array of each name, got two of {plain(twice)}, "
                "in which / and dictionaries stand for dots; leave one of them out."
            )
        arrays |= found
    return arrays


def _array(name: str, value: Any) -> np.ndarray:
    """Returns a tensor or array as NumPy's, in a dtype that holds the same numbers.

    Integers stay what they are: they may be quantised, or be the masks of GPT-2.
    """
    _refuse_repeated(name, value)
    try:
        array = np.asarray(real(name, value))
    except ValueError as error:
        raise ValueError(f"{error} Leave out what is no weight.") from error
    if array.dtype.kind in "fiub":
        return array
    return np.asarray(floating(name, array))


def _refuse_repeated(name: str, value: Any) -> None:
    """Refuses a tensor of PyTorch that has more entries than its file has numbers.

    A few bytes can stand for terabytes, whose entries are all one number.
    """
    if str(getattr(value, "layout", "")) != "torch.strided":
        return
    size, held = value.numel() * value.element_size(), value.untyped_storage().nbytes()
    if size > held:
        raise ValueError(
            f"{name} must hold a number for each of its entries, got a tensor of "
            f"{size:,} bytes of which {held:,} are stored; save a copy, tensor.clone()."
        )


def _from_torch(path: Path) -> Mapping[Any, Any]:
    """Returns what a checkpoint of PyTorch holds; no code in it is run."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{path} is a file of PyTorch, which is not installed; run `pip install "
            "torch`, or write the weights as a safetensors file where it is "
            "(safetensors.torch.save_file)."
        ) from error
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        said = (str(error).strip().splitlines() or ["no message"])[0]
        raise ValueError(
            f"{path} cannot be read as weights alone ({said}); save the model's "
            "state_dict() in its place."
        ) from error
    if not isinstance(held, Mapping):
        raise ValueError(
            f"{path} must hold a dictionary of weights, got {type(held).__name__}; "
            "save the model's state_dict() in its place."
        )
    return held
