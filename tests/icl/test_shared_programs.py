"""Fresh prompts and predictions come from programs that are compiled once."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from own_tasks import Sparse

from icl import LinearRegression, ModelConfig, Prompts, inference
from icl.model.building import build

LEVEL = {0: 1.0}  # a global that `Scaled.sample` reads
TASK = LinearRegression(dim=2, length=4)


@dataclass(frozen=True)
class Scaled(Sparse):
    """Draws labels on a scale that is no field."""

    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        return prompts._replace(ys=LEVEL[0] * prompts.ys)


def test_what_sample_reads_decides_which_program_draws(monkeypatch):
    before, _ = inference.sample(Scaled(), 5, seed=0)
    monkeypatch.setitem(LEVEL, 0, 3.0)
    after, _ = inference.sample(Scaled(), 5, seed=0)
    np.testing.assert_array_equal(after.ys, 3 * before.ys)


class Arrays(NamedTuple):
    """The same arrays as those of `Prompts`, under other names."""

    one: Any
    two: Any
    three: Any
    four: Any = None


@dataclass(frozen=True)
class Renamed(Sparse):
    """Draws what its parent draws, as another kind of batch."""

    def sample(self, key, *, batch):
        return Arrays(*super().sample(key, batch=batch))


def test_batches_of_the_same_arrays_keep_their_kind():
    kinds = [
        type(inference.sample(task, 5, seed=0, whole=True)[0])
        for task in (Sparse(), Renamed())
    ]
    assert kinds == [Prompts, Arrays]


def test_models_of_one_shape_share_their_programs():
    prompts, _ = inference.sample(TASK, 5, seed=0)
    config = ModelConfig(layers=1, width=4)
    models = [build(TASK.codec, config, jax.random.key(seed)) for seed in (0, 1)]
    before = inference._compiled.cache_info().misses
    for model in models:
        output = model(prompts)
        # float32, of a forward pass that is compiled as a whole.
        np.testing.assert_allclose(
            inference.predictions(model, prompts), output.predictions, atol=1e-6
        )
        np.testing.assert_allclose(
            inference.hidden_states(model, prompts), output.hidden, atol=1e-6
        )
        np.testing.assert_allclose(
            inference.resumed(model, np.asarray(output.hidden[1]), 1),
            output.predictions[:, -1],
            atol=1e-6,
        )
    assert inference._compiled.cache_info().misses == before + 3
