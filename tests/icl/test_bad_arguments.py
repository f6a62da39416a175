"""Every argument of every public function of `icl` meets the same bad values."""

import functools
import importlib
import tempfile
from dataclasses import replace
from pathlib import Path

import arithmetic_values
import jax
import numpy as np
import pytest
import xarray as xr
from bad_values import Reached, cases_of, complaints
from flax import nnx
from published_weights import raventos_weights
from sklearn.linear_model import Ridge as RidgeOfScikit

from icl import (
    Curriculum,
    LinearRegression,
    ModelConfig,
    TrainConfig,
    Trained,
    Transformer,
    testing,
)
from icl import losses as loss_functions
from icl.baselines import (
    DiscretePosterior,
    GaussianProcess,
    GradientDescent,
    Lasso,
    LeastSquares,
    MixturePosterior,
    NearestNeighbors,
    OnSquares,
    PosteriorMean,
    Ridge,
    ScikitLearner,
    WithIntercept,
)
from icl.compare import implied_weights
from icl.constructed import Precision, linear_gradient_descent
from icl.constructed.algorithms import sgd_step
from icl.emergence import Choices, Curve, Errors, Hits, LogProbabilities
from icl.model.building import arrays_of
from icl.skills import CHINCHILLA, SkillGraph
from icl.sweeps import Models, Setting, grid
from icl.targets import moment, true_weights
from icl.tasks import JointTokens, Mixture, Pool, PromptPool, SparseLinear, shifts
from icl.training import ensemble, run
from icl.training.trained import assemble

RNG = np.random.default_rng(0)
TASK = LinearRegression(dim=2, length=3)
MODEL = ModelConfig(layers=1, width=4)
CONFIG = TrainConfig(steps=1, batch=4, held_out=4, chunk=1)
PROMPTS = TASK.sample(jax.random.key(0), batch=4)
SETTING = Setting(TASK, MODEL, CONFIG)
AXES = {"seed": (0, 1)}
FAMILIES = {"OLS": [LeastSquares()], "ridge": [Ridge(0.1), Ridge(1.0)]}
PATH = [Ridge(0.1), Ridge(0.3), Ridge(1.0)]
PREDICTIONS = RNG.normal(size=(4, 3))
GRAPH = SkillGraph.sample(40, 3, 5)
QUERIES = RNG.normal(size=(4, 3, 8, 2))
SCALE = np.array([1.0, 2.0, 4.0, 8.0])
OUTCOMES = RNG.normal(size=(4, 3, 2))
LOGS = np.log(np.full((4, 3, 2, 5), 0.2))


@functools.cache
def model():
    return Transformer(MODEL, TASK.codec, rngs=nnx.Rngs(0))


@functools.cache
def trained():
    return Trained.from_model(model(), TASK)


@functools.cache
def exported():
    return trained().export(new_path() / "model.safetensors")


@functools.cache
def constructed():
    return sgd_step(2, 0.1, length=3)


@functools.cache
def linear_model():
    return linear_gradient_descent(1, 2, 0.1, dtype="float32")


@functools.cache
def scratch():
    return tempfile.TemporaryDirectory()


def new_path():
    return Path(tempfile.mkdtemp(dir=scratch().name))


def runs():
    losses = (("layers", "rate"), [[0.3, 0.2], [0.1, 0.4]])
    return xr.Dataset({"validation_loss": losses}, {"rate": [0.1, 0.2]})


def draws(*shape):
    return np.random.default_rng(1).normal(size=(20, *shape))


def values_of(fields):
    """Makes arguments of the same names out of the defaults of a config."""
    return {name: (lambda value=value: value) for name, value in fields.items()}


VALID = {
    # sizes and numbers
    **dict.fromkeys(("dim", "pairs", "context", "count", "k"), lambda: 2),
    **dict.fromkeys(("length", "batch"), lambda: 3),
    "steps": lambda: 1,
    "seed": lambda: 0,
    "draws": lambda: draws(4),
    "target_ceilings.draws": lambda: 4,
    "resamples": lambda: 10,
    **dict.fromkeys(("rate", "alpha", "gamma", "time", "width", "tail"), lambda: 0.1),
    "allocate.sizes": lambda: {"y": 1, "x": 2},
    "noise_std": lambda: 0.0,
    "weight_std": lambda: 1.0,
    "GradientDescent.steps": lambda: 2,
    "divide_by": lambda: 2.0,
    "fitted_weights.count": lambda: 8,
    "bound": lambda: 0.5,
    # choices and flags
    "dtype": lambda: "float32",
    "statistic": lambda: "mean",
    "norm": lambda: "spectral",
    "weighting": lambda: "uniform",
    "scale": lambda: "mean",
    "kind": lambda: "max",
    **dict.fromkeys(("intercept", "above", "history", "whole"), lambda: True),
    # tasks, models, runs
    "task": lambda: TASK,
    "kinds": lambda: LinearRegression,
    "register.kind": lambda: LinearRegression,
    "key": lambda: jax.random.key(0),
    "keys": lambda: jax.random.split(jax.random.key(0), 2),
    "shape": lambda: (2, 3),
    "xs": lambda: PROMPTS.xs,
    "model": model,
    "predict_query.model": linear_model,
    "config": lambda: MODEL,
    "codec": lambda: TASK.codec,
    "rngs": lambda: nnx.Rngs(0),
    "arrays": lambda: arrays_of(model()),
    "loss": lambda: loss_functions.squared_error,
    "inputs": lambda: "normal",
    "covariance": lambda: np.eye(2),
    **dict.fromkeys(
        ("fixed_weights", "LinearRegression.mean", "weight_mean"), lambda: np.ones(2)
    ),
    "rotated": lambda: True,
    "weight_law": lambda: "normal",
    "weight_covariance": lambda: np.eye(2),
    "cap": lambda: 60.0,
    "smoothing": lambda: 0.1,
    "MixturePosterior.task": lambda: TASK,
    "model_config": lambda: MODEL,
    "train_config": lambda: CONFIG,
    **dict.fromkeys(
        ("directory", "directories", "callback", "devices", "init", "optimizer"),
        lambda: None,
    ),
    "noise_law": lambda: "normal",
    "FunctionClass.key": lambda: jax.random.key(0),
    "functions": lambda: {"weights": np.ones((4, 2))},
    **dict.fromkeys(("ReluNetwork.hidden", "depth"), lambda: 2),
    "flipped": lambda: 0.1,
    "size": lambda: 4,
    **dict.fromkeys(
        ("Pool.probabilities", "DiscretePosterior.noise_std"), lambda: None
    ),
    "Mixture.probabilities": lambda: None,
    "Mixture.tasks": lambda: (TASK, TASK),
    "pool": lambda: Pool(replace(TASK, noise_std=0.5), 4),
    "kernel": lambda: "linear",
    "constant": lambda: 1.0,
    "regressor": RidgeOfScikit,
    "least_pairs": lambda: 1,
    "Pool.members.index": lambda: np.arange(2),
    "Shifted.errors.predictions": lambda: PREDICTIONS,
    "factor": lambda: 2.0,
    "rescaled": lambda: True,
    "shifted": lambda: shifts.standard(PROMPTS, jax.random.key(0)),
    "learning_rates": lambda: [1e-3, 1e-3],
    "trained": trained,
    "path": exported,
    "save.path": new_path,
    "Trained.export.path": lambda: new_path() / "model.safetensors",
    "tasks": lambda: [LinearRegression],
    "name": lambda: "d8",
    "source": raventos_weights,
    "heads": lambda: 2,
    "ModelConfig.linear_attention.layers": lambda: 2,
    "ModelConfig.paper.changes": lambda: {"layers": 2, "width": 4},
    "TrainConfig.paper.changes": lambda: {"steps": 3, "batch": 4},
    **{f"ModelConfig.{n}": v for n, v in values_of(vars(MODEL)).items()},
    **{f"TrainConfig.{n}": v for n, v in values_of(vars(CONFIG)).items()},
    **{f"Curriculum.{n}": v for n, v in values_of(vars(Curriculum())).items()},
    # prompts and what learners say of them
    **dict.fromkeys(("prompts", "Transformer.batch"), lambda: PROMPTS),
    "Transformer.__call__.batch": lambda: PROMPTS,
    "Transformer.predict.batch": lambda: PROMPTS,
    "Transformer.patterns.batch": lambda: PROMPTS,
    **{f"Pairs.{name}.batch": lambda: PROMPTS for name in ("check", "encode")},
    "Pairs.losses.batch": lambda: PROMPTS,
    "Pairs.losses.predictions": lambda: PREDICTIONS,
    "Pairs.loss.predictions": lambda: PREDICTIONS,
    "cross_entropy.predictions": lambda: RNG.normal(size=(4, 3, 5)),
    "squared_error.predictions": lambda: PREDICTIONS,
    "accuracy.predictions": lambda: PREDICTIONS,
    "accuracy.labels": lambda: np.sign(PREDICTIONS),
    "logistic.predictions": lambda: PREDICTIONS,
    "logistic.targets": lambda: np.sign(PREDICTIONS),
    "cross_entropy.targets": lambda: np.zeros((4, 3), int),
    **dict.fromkeys(
        ("squared_error.targets", "Pairs.loss.targets"), lambda: PREDICTIONS
    ),
    **{f"JointPairs.{name}.batch": lambda: PROMPTS for name in ("check", "encode")},
    "JointPairs.losses.batch": lambda: PROMPTS,
    "JointPairs.losses.predictions": lambda: PREDICTIONS[:, :1],
    **{f"JointPairs.loss.{n}": lambda: PREDICTIONS for n in ("predictions", "targets")},
    **{
        f"{name}.mask.tokens": lambda: 3
        for name in ("Pairs", "JointPairs", "Characters")
    },
    **{f"{name}.batch": lambda: PROMPTS for name in ("predictions", "hidden_states")},
    "predictions.learner": model,
    "queries": lambda: QUERIES,
    "learner": lambda: LeastSquares(),
    "learners": lambda: [LeastSquares(), Ridge(0.1)],
    "families": lambda: FAMILIES,
    "effective.path": lambda: PATH,
    "effective.values": lambda: [0.1, 0.3, 1.0],
    "contexts": lambda: [1],
    "predictions": lambda: RNG.normal(size=(4, 3, 8)),
    **dict.fromkeys(("a", "b"), lambda: PREDICTIONS),
    "implied_weight_difference.a": lambda: RNG.normal(size=(4, 3, 2)),
    "implied_weight_difference.b": lambda: RNG.normal(size=(4, 3, 2)),
    "error_similarity.labels": lambda: PREDICTIONS + 1,
    "weight_similarity.a": lambda: RNG.normal(size=(4, 3, 2)),
    "weight_similarity.b": lambda: RNG.normal(size=(4, 3, 2)),
    "similarity": lambda: RNG.random((5, 4)),
    "best_match.steps": lambda: np.arange(4),
    "progress.steps": lambda: np.arange(5.0),
    "middle_layers.layers": lambda: 5,
    "patterns": lambda: RNG.random((4, 5, 5)),
    "alike": lambda: np.broadcast_to(np.eye(5, k=-3, dtype=bool), (4, 5, 5)),
    "at": lambda: np.array([1, 2]),
    "repeated.tokens": lambda: np.ones((4, 5), int),
    "uniform.tokens": lambda: 5,
    "fit": lambda: implied_weights(QUERIES, QUERIES.sum(-1)),
    "lowest.x": lambda: np.array([0.0, 1.0, 2.0]),
    "curves": lambda: np.array([1.0, 0.0, 1.0]),
    "per_prompt": lambda: PREDICTIONS,
    "values": lambda: np.arange(4.0),
    "resampled": lambda: draws(4),
    "nested_extreme_interval.values": lambda: np.zeros((2, 3)),
    "nested_extreme_interval.draws": lambda: draws(2, 3),
    "OfWeights.function": lambda: np.square,
    "OfContext.name": lambda: "own",
    "OfLatents.name": lambda: "own",
    "OfWeights.name": lambda: "own",
    "function": lambda: lambda *parts: parts[0],
    "targets": lambda: [true_weights(), moment()],
    # states
    "hidden": lambda: RNG.normal(size=(4, 5, 4)),
    "step": lambda: 0,
    "layer": lambda: 0,
    "mask": lambda: np.tri(5, dtype=bool),
    "sequence": lambda: RNG.normal(size=(4, 5, 3)),
    "positions": lambda: np.arange(5),
    # constructed transformers
    "precision": lambda: Precision(),
    "weights": lambda: np.zeros(2),
    "program": lambda: constructed().program,
    "Program.name": lambda: "own",
    "rows": lambda: constructed().program.rows,
    "Program.steps": lambda: constructed().program.steps,
    "Precision.dtype": lambda: "float64",
    "multiplier": lambda: None,
    "pad": lambda: None,
    "pads": lambda: "symmetric",
    # skills
    "graph": lambda: GRAPH,
    "success": lambda: np.arange(40) % 2 == 0,
    "edges": lambda: GRAPH.edges,
    "labels": lambda: [["a"], ["a", "b"]],
    "pieces": lambda: 10,
    "law": lambda: np.ones(2),
    "present": lambda: np.ones((40, 3), bool),
    "SkillGraph.edge_weights.weights": lambda: np.ones(40),
    "SkillGraph.measure": lambda: np.ones(40),
    "SkillGraph.names": lambda: ["a", "b", "c", "d", "e"],
    **dict.fromkeys(("skills", "tuples", "size", "least", "best_of"), lambda: 2),
    "SkillGraph.skills": lambda: 5,
    "rounds": lambda: 1,
    **dict.fromkeys(("theta", "q", "p", "level", "competent"), lambda: 0.2),
    **dict.fromkeys(("p_skill", "p_topic", "excess", "before", "after"), lambda: 0.2),
    "novelty.rate": lambda: 0.2,
    "beta": lambda: 1.5,
    "pieces_per_skill": lambda: 10,
    **dict.fromkeys(("texts", "corpus", "exponent"), lambda: 2.0),
    "alphas": lambda: np.array([0.1, 0.5]),
    "proneness": lambda: np.ones(5),
    **dict.fromkeys(("chosen", "known"), lambda: np.arange(5) < 2),
    "form": lambda: "L1",
    "ScalingLaw.source": lambda: "",
    **dict.fromkeys(("parameters_scale", "tokens_scale"), lambda: 1.0),
    **dict.fromkeys(("parameters_exponent", "tokens_exponent"), lambda: 1.0),
    **dict.fromkeys(("parameters", "tokens"), lambda: 10.0),
    "skill_points": lambda: np.array([0, 2]),
    "other_points": lambda: np.array([3, 1]),
    "verdicts": lambda: np.ones((2, 2, 5), bool),
    "scores": lambda: {2: 0.5},
    "share": lambda: np.array([0.5, 1.0]),
    "wilson_interval.count": lambda: np.array([10.0, 20.0]),
    # closed forms
    "eigenvalues": lambda: np.array([[0.5, 1.0], [0.2, 2.0]]),
    **{
        f"{name}.eigenvalues": lambda: np.ones(2) for name in ("plateaus", "first_drop")
    },
    **dict.fromkeys(("rates", "gammas"), lambda: np.array([0.1, 0.2])),
    **dict.fromkeys(("plus_plus", "shared"), lambda: True),
    "layer_risk.layer": lambda: np.eye(2),
    "query_covariance": lambda: np.eye(2),
    # curves and outcomes
    "curve": lambda: Curve(SCALE, RNG.random((4, 6))),
    **{
        f"{name}.scale": lambda: SCALE
        for name in (
            *("Curve", "Errors", "Hits", "Choices", "LogProbabilities"),
            *("Errors.from_predictions", "Choices.from_predictions"),
            "Choices.from_probabilities",
        )
    },
    "Errors.from_predictions.predictions": lambda: OUTCOMES,
    "Choices.from_predictions.predictions": lambda: OUTCOMES,
    "Errors.from_predictions.labels": lambda: OUTCOMES[0],
    "candidates": lambda: RNG.normal(size=(3, 2, 5)),
    "probabilities": lambda: np.exp(LOGS),
    "seed_test.scale": lambda: SCALE,
    "Curve.scores": lambda: RNG.random((4, 6)),
    "seed_test.scores": lambda: RNG.random((8, 4)),
    "seeds": lambda: RNG.random((8, 4)),
    "errors": lambda: Errors(SCALE, OUTCOMES),
    "Errors.errors": lambda: OUTCOMES,
    "hits": lambda: Hits(SCALE, OUTCOMES > 0),
    "Hits.hits": lambda: OUTCOMES > 0,
    "log_probabilities": lambda: LOGS,
    "right": lambda: 0,
    "LogProbabilities.values": lambda: LOGS[..., 0],
    "log_score": lambda: Curve(SCALE, SCALE),
    "average": lambda: SCALE,
    "series": lambda: np.arange(9.0),
    **dict.fromkeys(("points", "items", "options"), lambda: 4),
    **dict.fromkeys(("chance", "margin", "low"), lambda: 0.5),
    "null_quantiles.level": lambda: 0.5,
    "log_spaced_means.share": lambda: 0.5,
    **dict.fromkeys(("floor", "spread", "epsilon"), lambda: 0.1),
    "high": lambda: 1.0,
    "variance": lambda: 2.0,
    **dict.fromkeys(("higher_is_better", "logarithm", "finite"), lambda: True),
    "metric": lambda: "hit",
    "thresholds": lambda: [0.1, 0.01],
    "Errors.all_of.queries": lambda: 2,
    "Hits.all_of.queries": lambda: 2,
    "across": lambda: "queries",
    **{
        f"{name}.parameters": lambda: np.array([1e7, 1e8, 1e9])
        for name in ("cross_entropy", "token_accuracy", "sample_choices")
    },
    **dict.fromkeys(("exact_match.tokens", "edit_distance.tokens"), lambda: 4),
    "critical": lambda: 1e8,
    "cross_entropy.exponent": lambda: -0.3,
    "token_accuracy.exponent": lambda: -0.3,
    "quanta_loss.exponent": lambda: 0.4,
    "accuracy": lambda: np.array([0.1, 0.9]),
    "learnt": lambda: np.array([1, 10]),
    "quanta": lambda: 100,
    # sweeps
    "results": lambda: None,
    "jobs": lambda: 1,
    "together": lambda: 1,
    "base": lambda: SETTING,
    "axes": lambda: AXES,
    "setting": lambda: SETTING,
    "settings": lambda: grid(SETTING, AXES),
    "models": lambda: finished(),
    "load": lambda: trained,
    "Setting.model": lambda: MODEL,
    "Setting.train": lambda: CONFIG,
    "dataset": runs,
    "over": lambda: ["rate"],
    "by": lambda: "validation_loss",
    # sums and lines of text
    **arithmetic_values.VALUES,
}


@functools.cache
def finished():
    """Returns a store in which all models are known already."""
    models = Models()
    for setting in grid(SETTING, AXES):
        models.put(setting, trained_again)
    return models


@functools.cache
def trained_again():
    """Returns a model that says of itself that it was trained for a step."""
    zeros = {"loss": np.zeros(1), "gradient_norm": np.zeros(1)}
    zeros |= {"held_out_loss": np.zeros((1, 3)), "evaluated": np.ones(1, int)}
    return assemble((TASK, MODEL, CONFIG), nnx.state(model()), zeros, 1)


INSTANCES = {
    "LeastSquares": LeastSquares,
    "NearestNeighbors": NearestNeighbors,
    "GradientDescent": lambda: GradientDescent(1, 0.1),
    "OnePassSGD": lambda: importlib.import_module("icl.baselines").OnePassSGD(0.1),
    "LinearRegression": lambda: TASK,
    "Transformer": model,
    "Trained": trained,
    "Models": finished,
    "Pairs": lambda: TASK.codec,
    "JointPairs": lambda: JointTokens(TASK).codec,
    "JointTokens": lambda: JointTokens(TASK),
    "PosteriorMean": lambda: PosteriorMean(0.1),
    "GaussianProcess": lambda: GaussianProcess("linear", 0.1),
    "Lasso": lambda: Lasso(0.1),
    "WithIntercept": lambda: WithIntercept(LeastSquares()),
    "OnSquares": lambda: OnSquares(LeastSquares()),
    "ScikitLearner": lambda: ScikitLearner(RidgeOfScikit()),
    "DiscretePosterior": lambda: DiscretePosterior(Pool(TASK, 4), 0.5),
    "MixturePosterior": lambda: MixturePosterior(TASK),
    "Pool": lambda: Pool(TASK, 4),
    "PromptPool": lambda: PromptPool(TASK, 4),
    "Mixture": lambda: Mixture((TASK, TASK)),
    "SparseLinear": lambda: SparseLinear(2, 3, 1),
    "Shifted": lambda: shifts.standard(PROMPTS, jax.random.key(0)),
    "Curriculum": Curriculum.garg,
    "Constructed": constructed,
    "Program": lambda: constructed().program,
    "SkillGraph": lambda: GRAPH,
    "ScalingLaw": lambda: CHINCHILLA,
    "Curve": lambda: Curve(SCALE, RNG.random((4, 6))),
    "Errors": lambda: Errors(SCALE, OUTCOMES),
    "Hits": lambda: Hits(SCALE, OUTCOMES > 0),
    "LogProbabilities": lambda: LogProbabilities(SCALE, LOGS[..., 0]),
    "Choices": lambda: Choices(SCALE, LOGS),
    **arithmetic_values.INSTANCES,
}

LEAVE_OUT = {
    **dict.fromkeys(
        ("Trained", "Constructed", "Nearest", "Outcome"), "made by our functions"
    ),
    **dict.fromkeys(("Aff", "Div", "Mov", "Mul", "Scale"), "checked by Program"),
    **dict.fromkeys(
        ("filter", "shortcut", "multipliers", "mask_inputs", "slot_weights"),
        "called by our code",
    ),
    **dict.fromkeys(("functions", "values", "labels"), "called by FunctionClass"),
}

PACKAGES = (
    "icl",
    "icl.attention",
    "icl.baselines",
    "icl.compare",
    "icl.codecs",
    "icl.constructed",
    "icl.inference",
    "icl.losses",
    "icl.emergence",
    "icl.emergence.mirage",
    "icl.pretrained",
    "icl.resampling",
    "icl.skills",
    "icl.sweeps",
    "icl.targets",
    "icl.tasks",
    "icl.tasks.shifts",
    "icl.testing",
    "icl.theory",
    *arithmetic_values.PACKAGES,
)


def all_cases():
    packages = map(importlib.import_module, PACKAGES)
    by_name = {
        case.name: case
        for package in packages
        for case in cases_of(package, VALID, INSTANCES, LEAVE_OUT)
    }
    return list(by_name.values())


def reached(*_, **__):
    raise Reached


@pytest.fixture
def nothing_runs(monkeypatch, untyped, tmp_path):
    """Stops where arguments have been checked, and a task would be traced."""
    for module in (run, ensemble):
        monkeypatch.setattr(module, "check_draws", reached)
    monkeypatch.setattr(testing, "_check_sampling", reached)
    monkeypatch.chdir(tmp_path)  # where text is a path


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_bad_values_end_in_one_sentence_that_names_the_argument(case, nothing_runs):
    found, tried = complaints(case)
    assert tried and not found, f"{len(found)} of {tried}: {'; '.join(found[:5])}"
