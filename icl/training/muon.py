"""How are matrices updated so that all their directions move alike? By Muon.

It (Jordan et al. 2024) takes the momentum of a matrix, replaces its singular values by
numbers near 1 (five steps of a Newton-Schulz iteration, which needs only products) and
moves the matrix by that. Everything that is not a matrix of the body (embeddings,
positions, the read-out, biases and norms) is updated by Adam.

The iteration is optax's (`optax.contrib.scale_by_muon`). Here the matrices are put
together by their shape, so that a model of any depth needs a few batched products in
place of hundreds of small ones: at 12 layers of width 32 a step then takes 1.06 times
as long as with Adam. Queries, keys and values, which one product makes, are three
matrices here, for their sizes need not be alike; training ends a little better so.

Shapes: a group of matrices is (matrices, rows, columns) with rows <= columns.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float
from optax import contrib

from icl.pytrees import named

RMS = 0.2
"""The root mean square of a matrix's update before the learning rate, which is about
that of Adam's updates (Liu et al. 2025), so that both can share one learning rate."""

Groups = dict[str, Float[Array, "matrices rows columns"]]


class MuonState(NamedTuple):
    """The states of Muon, for the matrices, and of Adam, for the rest."""

    matrices: Any
    rest: Any


def scale_by_muon(
    momentum: float, others: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Returns Muon for the matrices of a transformer's body, and `others` for the rest.

    Its updates have a root mean square of `RMS`, and must still be multiplied by minus
    the learning rate.

    Args:
        momentum: the decay of the average of gradients, from 0 to below 1, as `b1` of
            Adam. Nesterov's form is used.
        others: the transformation of all arrays that are not matrices of the body.
    """
    rows_and_columns = contrib.MuonDimensionNumbers(1, 2)
    muon = contrib.scale_by_muon(
        beta=momentum,
        weight_dimension_numbers=lambda groups: jax.tree.map(
            lambda _: rows_and_columns, groups
        ),
    )

    def init(params: Any) -> MuonState:
        groups, rest = _grouped(params)
        return MuonState(muon.init(groups), others.init(rest))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, MuonState]:
        groups, rest = _grouped(updates)
        orthogonal, matrices = muon.update(groups, state.matrices)
        groups = {
            shape: group * (RMS * max(group.shape[1:]) ** 0.5)
            for shape, group in cast(Groups, orthogonal).items()
        }
        rest, moments = others.update(rest, state.rest)
        done = _together(groups, cast(Any, rest), updates)
        return done, MuonState(matrices, moments)

    return optax.GradientTransformation(init, update)


def _grouped(tree: Any) -> tuple[Groups, dict[str, Array]]:
    """Returns the matrices of the body by their shape, and all other arrays by name."""
    groups: dict[str, list[Array]] = {}
    rest = {}
    for name, array in named(tree).items():
        matrices = _matrices_in(name, array)
        if not matrices:
            rest[name] = array
        for matrix in matrices:
            groups.setdefault(str(matrix.shape), []).append(matrix)
    return {shape: jnp.stack(parts) for shape, parts in groups.items()}, rest


def _together(groups: Groups, rest: Mapping[str, Array], like: Any) -> Any:
    """Returns the tree, of the form of `like`, that `_grouped` would take apart."""
    left = {shape: iter(group) for shape, group in groups.items()}
    leaves = []
    for name, array in named(like).items():
        matrices = _matrices_in(name, array)
        found = [next(left[str(matrix.shape)]) for matrix in matrices]
        if found and found[0].shape[0] != array.shape[0]:
            found = [matrix.T for matrix in found]
        leaves.append(jnp.concatenate(found, axis=1) if found else rest[name])
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _matrices_in(name: str, array: Array) -> list[Array]:
    """Returns the matrices that an array of the body holds, with rows <= columns."""
    if not name.startswith("body.") or array.ndim != 2:
        return []
    parts = jnp.split(array, 3, axis=1) if ".qkv." in name else [array]
    return [part.T if part.shape[0] > part.shape[1] else part for part in parts]
