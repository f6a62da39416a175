"""How does a model come to be from a config, with parameters or with shapes alone?"""

import functools
from typing import Any

import jax
from flax import nnx

from icl.model.config import ModelConfig
from icl.model.transformer import Transformer
from icl.tasks.linear import LinearRegression


def build(task: LinearRegression, config: ModelConfig, key: Any) -> Transformer:
    """A model for a task, its parameters drawn from `key`."""
    return Transformer(config, dim=task.dim, length=task.length, rngs=nnx.Rngs(key))


def abstract_model(task: LinearRegression, config: ModelConfig) -> Transformer:
    """A model with shapes and dtypes in place of parameters; nothing is computed."""
    return nnx.eval_shape(lambda: build(task, config, jax.random.key(0)))


@functools.cache
def blueprint(task: LinearRegression, config: ModelConfig) -> tuple[Any, Any]:
    """The two parts that `nnx.merge` takes: graph definition, and abstract parameters.

    Tracing what initialises a model takes half a second, so it is done once.
    """
    return nnx.split(abstract_model(task, config))


def abstract_params(task: LinearRegression, config: ModelConfig) -> Any:
    """Shapes and dtypes of a model's parameters, as the pytree that holds them."""
    return blueprint(task, config)[1]
