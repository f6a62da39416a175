"""Valid arguments of what is about sums and lines of text, by name."""

import numpy as np
from flax import nnx

from icl import ModelConfig, Transformer
from icl.arithmetic.completion import addition_table, random_cells
from icl.targets import carry
from icl.tasks import Addition, ModularAddition, Operation

TASK = Addition(digits=1)
LINES = TASK.test(4)
CODEC = TASK.codec


def model():
    return Transformer(ModelConfig(layers=1, width=4), CODEC, rngs=nnx.Rngs(0))


def predictions():
    slots = (4, len(CODEC.slots), CODEC.entries)
    return np.random.default_rng(0).normal(size=slots)


VALUES = {
    **{f"Addition.{name}": lambda v=v: v for name, v in vars(TASK).items()},
    **{f"Operation.{name}": lambda v=v: v for name, v in vars(Operation()).items()},
    **{
        f"ModularAddition.{name}": lambda v=v: v
        for name, v in vars(ModularAddition(5)).items()
    },
    **{f"{name}.p": lambda: 5 for name in ("modular_phase", "modular_targets")},
    "operation": lambda: "subtraction",
    **{f"operation_line.{operand}": lambda: 17 for operand in "ab"},
    "result_of.text": lambda: "Target:\n.\n2\n",
    "digits": lambda: 2,
    "column": lambda: 1,
    "phase": lambda: None,
    "numbers": lambda: np.array([3, 17]),
    **{
        f"{name}.{operand}": lambda: np.array([3, 17])
        for name in ("carries", "cascades", "column_sums")
        for operand in "ab"
    },
    **dict.fromkeys(("answer_of.text", "score.text"), lambda: "Target:\n1 , .\n2\n"),
    "expected": lambda: "Target:\n1 , .\n2\n",
    "layout": lambda: "simplified",
    "prefix_ceilings.targets": lambda: [carry(0, 1)],
    "prefix_accuracies.labels": lambda: {"carry 0": np.array([0, 1, 1, 0])},
    "shares": lambda: np.ones(4),
    "lines": lambda: LINES,
    "generate.model": model,
    **{f"{name}.predictions": predictions for name in ("exact_match",)},
    "right_characters.predictions": predictions,
    **{f"{name}.codec": lambda: CODEC for name in ("exact_match", "right_characters")},
    "answers": lambda: LINES.answers,
    "table": lambda: addition_table(4),
    "shown": lambda: random_cells(4, 8),
    "rule": lambda: "additive",
    "n": lambda: 4,
    "m": lambda: 8,
    "trials": lambda: 2,
    "alphabet": lambda: "abc",
    "Characters.tokens": lambda: 4,
    "start": lambda: 1,
    "Characters.rows": lambda: 6,
    "Characters.labels": lambda: ("a", "b", "c", "d"),
    "Characters.ids.text": lambda: "1+1",
    "ids": lambda: np.array([1, 2]),
    **{
        f"Characters.{name}.batch": lambda: LINES
        for name in ("check", "encode", "losses", "positions")
    },
    "Characters.losses.predictions": predictions,
}

INSTANCES = {"Characters": lambda: CODEC}
PACKAGES = (
    "icl.arithmetic",
    "icl.arithmetic.completion",
    "icl.arithmetic.thresholds",
    "icl.codecs.matching",
    "icl.generation",
)
