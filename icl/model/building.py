"""How is a model made from a config, with parameters or with shapes alone?

Parameters have names (`icl.pytrees`), by which they are set here.
"""

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icl import checks
from icl.arrays import real, shown
from icl.codecs import Codec
from icl.model.config import ModelConfig
from icl.model.layers import layered
from icl.model.transformer import Transformer
from icl.pytrees import float64_is_on, misfits, named, unnamed


def build(codec: Codec, config: ModelConfig, key: Any) -> Transformer:
    """Returns a model that reads these tokens, with parameters drawn from `key`."""
    return Transformer(config, codec, rngs=nnx.Rngs(key))


def blueprint(codec: Codec, config: ModelConfig) -> tuple[Any, Any]:
    """Returns the two parts that `nnx.merge` takes, the parameters as shapes alone.

    The first is the graph definition. Nothing is computed. All layers are alike, so
    that one of them is traced, which takes a tenth of a second, and then repeated.
    """
    return _blueprint(codec, config, float64_is_on())


@functools.lru_cache(maxsize=64)
def _blueprint(codec: Codec, config: ModelConfig, float64: bool) -> tuple[Any, Any]:
    del float64  # which decides the dtypes of some parameters
    one = replace(config, layers=1)
    model = nnx.eval_shape(lambda: build(codec, one, jax.random.key(0)))
    (block,) = model.body
    model.body = nnx.List(layered(lambda: nnx.clone(block), config))
    model.config = config
    return nnx.split(model)


def abstract_params(codec: Codec, config: ModelConfig) -> Any:
    """Returns the shapes and dtypes of a model's parameters, as their pytree."""
    return blueprint(codec, config)[1]


def model_of(codec: Codec, config: ModelConfig, params: Any) -> Transformer:
    """Returns the model that has these parameters, on the default device."""
    graphdef, _ = blueprint(codec, config)
    # On the default device: a model that stayed on all of a run's devices would do
    # all its later work once on each of them.
    with jax.enable_x64(True):  # float64 parameters stay what they are
        return nnx.merge(graphdef, jax.tree.map(jnp.asarray, jax.device_get(params)))


def model_from_arrays(
    codec: Codec, config: ModelConfig, arrays: Mapping[str, Any], dtype: str = "float32"
) -> Transformer:
    """Returns a model whose parameters are these arrays, in this dtype.

    Args:
        codec: the codec of its tokens, such as `Pairs(dim, length)`.
        config: the shape and the variant.
        arrays: every parameter by name, such as "body.0.attention.qkv.kernel"; these
            are the names in a file that `Trained.export` writes. A kernel is (inputs,
            outputs).
        dtype: "float32" or "float64", in which the model is then to be called.

    Raises:
        ValueError: arrays are missing, left over, of another shape, or not finite in
            that dtype.

    Example:
        >>> from icl import Pairs
        >>> codec, config = Pairs(dim=1, length=3), ModelConfig(layers=1, width=2)
        >>> arrays = arrays_of(build(codec, config, jax.random.key(0)))
        >>> arrays["head.bias"] = np.array([0.5])
        >>> model = model_from_arrays(codec, config, arrays)
        >>> model.head.bias[...].tolist()
        [0.5]
    """
    checks.of_kind("codec", codec, Codec, "a codec, such as Pairs(dim, length)")
    checks.of_kind("config", config, ModelConfig, "a ModelConfig")
    checks.of_kind("arrays", arrays, Mapping, "a dictionary of arrays by name")
    checks.one_of("dtype", dtype, ("float32", "float64"))
    given = {}
    for name, array in arrays.items():
        label = f"arrays[{shown(name)}]"
        checks.all_finite(label, array)
        given[name] = checks.floats(label, np.asarray(real(label, array)), dtype)
    return _of_arrays(codec, config, given, dtype)


def _of_arrays(
    codec: Codec, config: ModelConfig, given: Mapping[str, np.ndarray], dtype: str
) -> Transformer:
    """Returns the model with these arrays, which a model that diverged may have had."""
    definition, abstract = blueprint(codec, config)
    wrong = misfits(given, {n: leaf.shape for n, leaf in named(abstract).items()})
    if wrong:
        shared = " (with shared_layers=True there is one layer, body.0)"
        more = shared if config.shared_layers and "body.1." in wrong else ""
        raise ValueError(
            f"arrays must be the parameters of the model, but {wrong}{more}."
        )
    with jax.enable_x64(dtype == "float64"):
        return nnx.merge(definition, unnamed(given, abstract))


def arrays_of(model: Transformer) -> dict[str, np.ndarray]:
    """Returns the parameters of a model by name, as `model_from_arrays` takes them."""
    return {name: np.array(array) for name, array in named(nnx.state(model)).items()}


def with_parameters(model: Transformer, arrays: Mapping[str, Any]) -> Transformer:
    """Returns the model with other arrays in place of some of its parameters.

    Args:
        model: the model, which is not changed.
        arrays: the new arrays by name, such as "body.0.attention.qkv.kernel"; all
            others stay.

    Raises:
        ValueError: no parameter has that name, or it has another shape, or the array
            holds no real numbers or some that float32 does not hold.
    """
    checks.of_kind("model", model, Transformer, "a transformer")
    checks.of_kind("arrays", arrays, Mapping, "a dictionary of arrays by name")
    graphdef, params = nnx.split(model)
    given = {
        name: checks.floats(f"arrays[{shown(name)}]", array)
        for name, array in arrays.items()
    }
    return nnx.merge(graphdef, unnamed(named(params) | given, params))


def looped(model: Transformer, loops: int) -> Transformer:
    """Returns a model of shared layers that applies its layer another number of times.

    Args:
        model: the model, which is not changed.
        loops: how often the layer is applied.

    Raises:
        ValueError: the layers of the model are not shared.

    Example:
        >>> from icl import Pairs
        >>> config = ModelConfig(layers=2, width=4, shared_layers=True)
        >>> model = build(Pairs(dim=1, length=3), config, jax.random.key(0))
        >>> len(looped(model, 5).body)
        5
    """
    checks.of_kind("model", model, Transformer, "a transformer")
    if not model.config.shared_layers:
        raise ValueError(
            "model must have shared layers, so that there is one to apply again, got "
            f"{model.config.layers} layers of their own; train it with "
            "ModelConfig(shared_layers=True), or construct it with as many layers."
        )
    config = replace(model.config, layers=loops)
    return _of_arrays(model.codec, config, arrays_of(model), str(model.dtype))


def reading(model: Transformer, codec: Codec) -> Transformer:
    """Returns a model without positions that reads sequences of another length.

    Args:
        model: the model, which is not changed.
        codec: the codec of the other sequences, such as `JointPairs(dim, length)`.

    Raises:
        ValueError: the model has positions, or the tokens have another width.
    """
    checks.of_kind("model", model, Transformer, "a transformer")
    checks.of_kind("codec", codec, Codec, "a codec, such as JointPairs(dim, length)")
    if model.positions is not None:
        raise ValueError(
            "model must have no positions, which longer sequences than in training "
            "would lack, got one with ends='learned'; cut the prompts."
        )
    return _of_arrays(codec, model.config, arrays_of(model), str(model.dtype))


def check_reads(model: Transformer, codec: Codec) -> None:
    """Refuses a codec whose tokens or outputs are not those of a model.

    Raises:
        ValueError: they are not; the message says where they differ.
    """
    apart = checks.differences(sizes(model.codec), sizes(codec))
    if apart:
        raise ValueError(
            "the model must read the tokens of the task (entries are dim + 1 for "
            "pairs, and count is 2 length - 1), but "
            f"{'; '.join(apart)}."
        )


def sizes(codec: Codec) -> dict[str, Any]:
    """Returns what a codec says of the shapes of a model's ends."""
    names = ("entries", "count", "places", "outputs", "discrete", "tied")
    return {name: getattr(codec, name) for name in names}
