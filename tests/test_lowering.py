"""Every program that we compile can be lowered for GPUs and TPUs, without having one.

What runs there is StableHLO: an operation that only a CPU has (a routine of LAPACK, a
callback) is refused here.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export

from icl import (
    Curriculum,
    LinearRegression,
    ModelConfig,
    TrainConfig,
    Transformer,
    generation,
)
from icl.baselines import (
    DiscretePosterior,
    GaussianProcess,
    MixturePosterior,
    closed_form,
    direct,
    iterative,
    neighbors,
    sequential,
)
from icl.baselines import spectral as spectra
from icl.prompts import Prompts
from icl.tasks import Addition, Mixture, Pool, ReluNetwork
from icl.training.compiled import compile_program, program_key, scales_of
from probes.pooled import fitting, training
from probes.pooled.config import ProbeConfig
from probes.pooled.parameters import predict_layers

PLATFORMS = ("cuda", "tpu")
TASK = LinearRegression(dim=2, length=4)
MODEL = ModelConfig(layers=1, width=4)
XS, YS = jnp.zeros((3, 4, 2)), jnp.zeros((3, 4))


def lower(function, *arguments, **named):
    """Lowers a compiled function, and returns the text of what came out."""
    exported = export.export(function, platforms=PLATFORMS)(*arguments, **named)
    assert exported.platforms == PLATFORMS
    text = exported.mlir_module()
    assert "lapack" not in text
    return text


def test_what_only_a_cpu_has_is_refused():
    """The check can fail: LAPACK's Schur decomposition has no other home."""
    with pytest.raises(NotImplementedError, match="schur"):
        lower(jax.jit(jax.scipy.linalg.schur), jnp.eye(2))


CONFIG = TrainConfig(steps=4, batch=2, chunk=2, held_out=2, weight_decay=0.1)
GROWING = replace(CONFIG, optimizer="muon", curriculum=Curriculum(dims=1, pairs=2))
LINEAR = replace(MODEL, attention="linear", shared_layers=True, layers=2)


@pytest.mark.parametrize(
    ("task", "model", "config", "members"),
    [
        (TASK, MODEL, replace(CONFIG, precision="bfloat16"), None),
        (TASK, MODEL, CONFIG, 2),
        (TASK, MODEL, GROWING, None),
        (TASK, LINEAR, CONFIG, None),
        (TASK, replace(MODEL, body="lstm"), CONFIG, None),
        (Addition(1, examples=50), MODEL, CONFIG, None),
        (Pool(ReluNetwork(2, 4, hidden=3), size=3), MODEL, CONFIG, None),
    ],
    ids=["bfloat16", "ensemble", "growing", "linear", "lstm", "sums", "pool"],
)
def test_training(task, model, config, members):
    device = tuple(jax.devices()[:1])
    program = compile_program(program_key(task, model, config), device, members)
    key, scales = jax.random.key(0), scales_of(task, config)
    if members:
        key = jax.random.split(key, members)
        scales = jax.tree.map(lambda number: jnp.full(members, number), scales)
    state = program.abstract(key)
    lower(program.draw, key)
    lower(program.start, state.params)
    lower(program.evaluate, state.params, key, scales)
    text = lower(program.advance, state, key, scales, 0, 2)
    assert "stablehlo.while" in text


FORWARD = ("predict", "predict_at", "__call__", "resume", "patterns", "read_out")


@pytest.mark.parametrize("name", FORWARD)
def test_forward_passes(name):
    model = Transformer(MODEL, TASK.codec, rngs=nnx.Rngs(0))
    graphdef, params = nnx.split(model)
    prompts = Prompts(XS, YS)
    arguments = {
        "predict": (prompts,),
        "predict_at": (prompts, XS[:, :, None]),
        "__call__": (prompts,),
        "resume": (jnp.zeros((3, 7, 4)),),
        "patterns": (prompts,),
        "read_out": (jnp.zeros((3, 7, 4)),),
    }[name]
    layer = {"layer": 1} if name == "resume" else {}

    def run(params, *arguments):
        found = getattr(nnx.merge(graphdef, params), name)(*arguments, **layer)
        return jax.tree.leaves(found)

    lower(jax.jit(run), params, *arguments)


def spectral_programs():
    """The compiled functions of learners that need float64, with their arguments."""
    values = jnp.zeros((3, 4, 2), jnp.float64)
    basis = jnp.zeros((3, 4, 2, 2), jnp.float64)
    spectrum = spectra.Spectrum(values, basis, values, XS)
    return {
        "decompose": (spectra._decompose, XS, YS),
        "filter": (spectra._solve, spectrum, values),
        "ridge by its filter": (closed_form._shrink, values, 0.1),
        "ridge by its shortcut": (direct._ridge, XS, YS, 0.1),
        "averages": (direct._multiple, XS, YS, jnp.zeros(4, jnp.float64)),
        "gradient descent": (iterative._relax, values, 0.1, 4.0),
        "Newton": (iterative._relax_newton, values, 4.0),
        "Newton of Fu et al.": (iterative._relax_newton_frobenius, values, 4.0),
    }


def test_spectral_learners():
    with jax.enable_x64(True):
        for function, *arguments in spectral_programs().values():
            assert "f64" in lower(function, *arguments)


def test_the_other_learners():
    for weighting in ("uniform", "distance", "inverse"):
        lower(neighbors._predict, XS, YS, XS[:, :, None], 2, weighting)
    lower(sequential._sweep, XS, YS, 0.1, 0.0)


def test_learners_of_functions_and_mixtures():
    """They solve in float64, but for the sums over a pool."""
    tasks = (replace(TASK, noise_std=0.1), replace(TASK, noise_std=0.5))
    networks = Pool(ReluNetwork(2, 4, hidden=3), size=3)
    learners = {
        GaussianProcess(): "f64",
        MixturePosterior(Mixture(tasks)): "f64",
        DiscretePosterior(Pool(TASK, size=3), noise_std=0.1, smoothing=0.1): "f64",
        DiscretePosterior(networks, noise_std=0.1): "f32",
    }
    for learner, numbers in learners.items():
        predict = jax.jit(lambda prompts, learner=learner: learner(prompts).predictions)
        with jax.enable_x64(numbers == "f64"):
            assert numbers in lower(predict, Prompts(XS, YS))


def test_writing():
    task = Addition(1)
    model = Transformer(MODEL, task.codec, rngs=nnx.Rngs(0))
    graphdef, params = nnx.split(model)
    lines = task.test(3)._replace(latents=None)
    write = generation._compiled(graphdef, task.codec.start + 1)
    text = lower(write, params, lines, jnp.full(3, task.codec.start + 1))
    assert "stablehlo.while" in text


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("units", [None, 3])
def test_pooled_probes(units, labels):
    layers, probes, tokens, features, coordinates = 2, 2, 3, 4, 2
    first = fitting._initial(0, (tokens, features), coordinates, units)
    first = jax.tree.map(
        lambda array: np.broadcast_to(array, (layers, probes, *array.shape)), first
    )
    prompts = training.Prompts(
        jnp.zeros((layers, 6, tokens, features)), jnp.zeros((probes, 6, coordinates))
    )
    reads = np.ones((probes, tokens), bool)
    config = ProbeConfig(units=units)
    prior = jnp.zeros((probes, coordinates)) if labels else None
    fit = partial(training.fit_layers, prior=prior, batch_size=2)
    lower(jax.jit(fit), first, prompts, prompts, reads, jax.random.key(0), config)
    lower(predict_layers, first, prompts.hidden, reads)
