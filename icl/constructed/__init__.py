"""Transformers whose weights are written by hand, to run a known algorithm.

`sgd_steps(4, dim=8, rate=0.03)` is a transformer, in every respect like a trained one,
that predicts what four steps of SGD predict. docs/constructed.md shows how.
"""

from icl.constructed.algorithms import gradient_step as gradient_step
from icl.constructed.algorithms import ridge as ridge
from icl.constructed.algorithms import ridge_step as ridge_step
from icl.constructed.algorithms import sgd_step as sgd_step
from icl.constructed.algorithms import sgd_steps as sgd_steps
from icl.constructed.compiler import Constructed as Constructed
from icl.constructed.compiler import construct as construct
from icl.constructed.layers import Precision as Precision
from icl.constructed.linear_attention import (
    linear_gradient_descent as linear_gradient_descent,
)
from icl.constructed.linear_attention import optimal_step as optimal_step
from icl.constructed.linear_attention import predict_query as predict_query
from icl.constructed.program import Program as Program
from icl.constructed.program import allocate as allocate
from icl.constructed.steps import Aff as Aff
from icl.constructed.steps import Div as Div
from icl.constructed.steps import Mov as Mov
from icl.constructed.steps import Mul as Mul
from icl.constructed.steps import Scale as Scale
