"""What a figure of one's own is made of meets the same bad values as the libraries."""

import dataclasses
import importlib

import numpy as np
import pytest
import xarray as xr
from bad_values import cases_of, complaints

from experiments.engine.claims.intervals import resample
from experiments.engine.claims.judge import Judge
from experiments.engine.figures.evaluation import Evaluation

PER_PROMPT = xr.Dataset({"spd": (("prompt", "context"), np.ones((4, 3)))})
CLAIM = {"value": 0.1, "low": 0.0, "high": 0.2, "threshold": 1.0}
WORDS = ("id", "text", "source", "unit", "figure", "note", "interval_over", "empty")
WORDS += ("missing", "follows", "series", "longer_of")


def judge():
    means = resample(PER_PROMPT, ["prompt"], resamples=10)
    return Judge("paper", "fig1", "Fig. 1", resampled=means)


VALID = {
    **dict.fromkeys(WORDS, lambda: "words"),
    **{name: (lambda value=value: value) for name, value in CLAIM.items()},
    "relation": lambda: "<",
    "bar": lambda: "ours",
    "subject": lambda: "models",
    "longer": lambda: (0.1, 0.0, 0.2),
    "resampled": lambda: judge().resampled,
    "measured": lambda: 0.1,
    "over": lambda: [0, 1],
    **{f.name: (lambda f=f: f.default) for f in dataclasses.fields(Evaluation)},
    "minimum": lambda: 2,
    "name": lambda: "queried",
    "part": lambda: 2,
}

INSTANCES = {"Judge": judge, "Evaluation": lambda: Evaluation(prompts=4)}

LEAVE_OUT = {
    "sample": "icl.inference.sample is tried",
    **dict.fromkeys(("require_prompts", "require_part"), "called by our figures"),
    **dict.fromkeys(("check_queries", "linear_task"), "called by our figures"),
    **dict.fromkeys(("check_test_fraction", "check_unseen"), "called by our figures"),
    **dict.fromkeys(("format_number", "number"), "called by our code"),
    **dict.fromkeys(("save_claims", "load_claims"), "called by our code"),
}

MODULES = ("claims.claim", "claims.judge", "figures.evaluation")


def all_cases():
    modules = (importlib.import_module(f"experiments.engine.{m}") for m in MODULES)
    return [
        case
        for module in modules
        for case in cases_of(module, VALID, INSTANCES, LEAVE_OUT)
    ]


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_bad_values_end_in_one_sentence_that_names_the_argument(case, untyped):
    found, tried = complaints(case)
    assert tried and not found, f"{len(found)} of {tried}: {'; '.join(found[:5])}"
