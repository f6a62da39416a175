"""Small checkpoints that several tests write, and what they compare."""

import jax
import numpy as np
from flax import nnx

from icl.pytrees import named
from icl.training.checkpoint import Stored

KEY = jax.random.key(0)


def stored(step, size=10):
    generator = np.random.default_rng(step)
    arrays = {
        "a": np.float32(generator.normal(size=size)),
        "b.c": generator.integers(0, 9, (2, 3)),
        "count": np.int32(step),
    }
    return Stored(step, {"made by": ["x", step, None, 0.1]}, arrays)


def assert_equal(one, other):
    assert one[:2] == other[:2]
    assert one.arrays.keys() == other.arrays.keys()
    for name in one.arrays:
        np.testing.assert_array_equal(one.arrays[name], other.arrays[name])
        assert one.arrays[name].dtype == other.arrays[name].dtype


def assert_same_model(one, other):
    a, b = (named(nnx.state(each.model)) for each in (one, other))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert one.history.identical(other.history)
