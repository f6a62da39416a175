"""How are the arrays of a pytree told apart? By names, such as "body.0.mlp.up.kernel".

Checkpoints keep arrays under these names, and parameters are set by them.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from icl.arrays import plain


def float64_is_on() -> bool:
    """Returns whether JAX draws and computes in float64 (`jax_enable_x64`)."""
    return jnp.result_type(float) == jnp.float64


def named(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Returns the arrays of a pytree by name, such as "body.0.mlp.up.kernel".

    The name leaves out what flax calls the array inside a variable ("value"). With a
    prefix, names begin with it and a dot.
    """
    arrays = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        name = name.removesuffix(".value")
        arrays[f"{prefix}.{name}" if prefix else name] = leaf
    return arrays


def unnamed(arrays: Mapping[str, Any], abstract: Any, prefix: str = "") -> Any:
    """Returns the pytree with `abstract`'s structure whose arrays have these names.

    Raises:
        ValueError: arrays are missing, left over, or of another shape.
    """
    expected = named(abstract, prefix)
    given = {
        name: array
        for name, array in arrays.items()
        if not prefix or name.startswith(f"{prefix}.")
    }
    wrong = misfits(given, {name: leaf.shape for name, leaf in expected.items()})
    if wrong:
        raise ValueError(f"{wrong}.")
    leaves = [jnp.asarray(arrays[name]) for name in expected]
    return jax.tree.unflatten(jax.tree.structure(abstract), leaves)


def misfits(arrays: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]]) -> str:
    """Returns which arrays are missing, left over or of another shape, in words.

    It returns "" if all fit. `expected` holds the shapes by name.
    """
    wrong = [f"{plain(name)} is missing" for name in expected if name not in arrays]
    wrong += [
        f"{plain(name)} is not expected" for name in arrays if name not in expected
    ]
    wrong += [
        f"{plain(name)} has shape {arrays[name].shape}, expected {shape}"
        for name, shape in expected.items()
        if name in arrays and arrays[name].shape != shape
    ]
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return f"{'; '.join(wrong[:3])}{more}"
