"""Every argument of every public function of `probes` meets the same bad values."""

import functools
import importlib
from importlib.util import find_spec

import numpy as np
import pytest
from bad_values import cases_of, complaints

from probes import Eraser, PooledClassifier, PooledProbe, fit_eraser, probe_grid
from probes import donors as other_prompts

RNG = np.random.default_rng(0)
STATES = RNG.normal(size=(12, 4))
HIDDEN = RNG.normal(size=(2, 12, 2, 3))
TARGET = RNG.normal(size=(12, 2))
READS = np.ones((1, 2), bool)


@functools.cache
def grid():
    return probe_grid(HIDDEN, {"w": TARGET}, resamples=10, keep_resamples=True)


@functools.cache
def eraser() -> Eraser:
    return fit_eraser(STATES, TARGET)


def fitted():
    return PooledProbe(2, "linear", max_iter=1).fit(STATES, TARGET)


@functools.cache
def pooled_fit():
    from probes.pooled import ProbeConfig, fit

    config, rows = ProbeConfig(max_iter=1), np.arange(12)
    return fit(HIDDEN, TARGET[None], READS, train=rows, validation=rows, config=config)


def pooled_config():
    from probes.pooled import ProbeConfig

    return ProbeConfig(max_iter=1)


def fitted_classifier():
    probe = PooledClassifier(2, "linear", max_iter=1)
    return probe.fit(STATES, np.arange(12) % 2)


VALID = {
    "seed": lambda: 0,
    "resamples": lambda: 10,
    "batch": lambda: 8,
    **dict.fromkeys(("truth", "guess", "target", "y"), lambda: TARGET),
    **dict.fromkeys(("features", "hidden", "inputs", "change", "X"), lambda: STATES),
    "covariance": lambda: np.eye(4),
    "behavioural_error.covariance": lambda: np.eye(2),
    **dict.fromkeys(("before", "after", "wanted"), lambda: TARGET),
    # write and swap
    "coef": lambda: np.eye(2, 4),
    "intercept": lambda: np.zeros(2),
    "values": lambda: np.zeros((12, 2)),
    "write_class.coef": lambda: np.eye(1, 4),
    "write_class.intercept": lambda: np.zeros(1),
    "write_class.labels": lambda: 1,
    "classes": lambda: [0, 1],
    "margin": lambda: 1.0,
    "swap.hidden": lambda: HIDDEN[0],
    "swap.tokens": lambda: [0],
    "donors": lambda: other_prompts(np.arange(12), 0),
    # probe_grid
    "probe_grid.hidden": lambda: HIDDEN,
    "checkpoints": lambda: [(1, HIDDEN), (2, HIDDEN)],
    "targets": lambda: {"w": TARGET},
    "groups": lambda: np.arange(12),
    "probe": lambda: None,
    "alphas": lambda: (0.1, 1.0, 10.0),
    "contexts": lambda: [0, 1],
    "tokens": lambda: ["x1", "y1"],
    "at": lambda: ["x1"],
    "ceilings": lambda: {"w": 0.5},
    "test_fraction": lambda: 0.25,
    "validation_fraction": lambda: 0.2,
    **dict.fromkeys(
        ("control", "coefficients", "keep_resamples", "functions"), lambda: False
    ),
    # others
    "first": lambda: 4,
    "growth": lambda: 2.0,
    "orders": lambda: 2,
    "grid": grid,
    "along": lambda: "layer",
    "line": lambda: "embedding",
    "share": lambda: 0.5,
    "outputs": lambda: 2,
    "length_scale": lambda: 0.35,
    "selectivity.task": lambda: np.array([0.9, 0.4]),
    "selectivity.control": lambda: np.array([0.5, 0.5]),
    "score": lambda: "r2",
    "valid": lambda: np.ones((12, 2), bool),
    "sample_weight": lambda: np.ones(12),
    "progress": lambda: None,
    "labels": lambda: np.arange(12) % 2,
    "random_labels.inputs": lambda: np.arange(12) // 2,
    "Eraser.__call__.hidden": lambda: STATES,
    "PooledClassifier.fit.y": lambda: np.arange(12) % 2,
    # probes.pooled
    "fit.hidden": lambda: HIDDEN,
    "fit.targets": lambda: TARGET[None],
    **dict.fromkeys(("train", "validation"), lambda: np.arange(12)),
    "config": pooled_config,
    "layers_at_once": lambda: 1,
    "labelled": lambda: False,
    "probes": lambda: pooled_fit().probes,
    "predict.hidden": lambda: HIDDEN,
    "reads": lambda: READS,
    # probes.plot
    "ax": lambda: None,
    "curves.token": lambda: None,
    "curves.layer": lambda: None,
    **dict.fromkeys(("curves.target", "heatmap.target"), lambda: "w"),
    # probes.torch
    "model": lambda: module(),
    **dict.fromkeys(
        ("states.inputs", "resume.inputs", "check_edits.inputs"), lambda: STREAM
    ),
    "blocks": lambda: "blocks",
    "edited": lambda: STREAM,
    "layer": lambda: 1,
    "read": lambda: None,
    "file": lambda: None,
}
STREAM = np.float32(RNG.normal(size=(4, 2, 3)))


@functools.cache
def module():
    """Returns a PyTorch model of two blocks, which reads its stream as it is."""
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = torch.nn.ModuleList(torch.nn.Linear(3, 3) for _ in range(2))

        def forward(self, stream):
            for block in self.blocks:
                stream = block(stream)
            return stream

    return Model()


INSTANCES = {
    "Eraser": eraser,
    "PooledProbe": fitted,
    "PooledClassifier": fitted_classifier,
}

LEAVE_OUT = {
    "Eraser": "made by fit_eraser",
    "PooledProbe": "scikit-learn's estimators check their parameters in fit",
    "PooledClassifier": "scikit-learn's estimators check their parameters in fit",
    "config": "called by our code",
}


def all_cases():
    optional = {
        "probes.pooled": "jax",
        "probes.plot": "matplotlib",
        "probes.torch": "torch",
    }
    there = [name for name, library in optional.items() if find_spec(library)]
    return [
        case
        for name in ("probes", *there)
        for case in cases_of(importlib.import_module(name), VALID, INSTANCES, LEAVE_OUT)
    ]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_bad_values_end_in_one_sentence_that_names_the_argument(case, untyped):
    found, tried = complaints(case)
    assert tried and not found, f"{len(found)} of {tried}: {'; '.join(found[:5])}"
