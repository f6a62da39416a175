"""Textbook learners, each after every prefix of every prompt at once.

They are the ruler that a trained transformer is held against. A learner is a frozen
dataclass: `Ridge(0.1)(prompts)` is a `PrefixSolution(weights, predictions)`. `solve`
runs many of them on one decomposition. To add a linear learner, write its filter (see
`spectral`).
"""

from icl.baselines.base import Learner as Learner
from icl.baselines.base import PrefixSolution as PrefixSolution
from icl.baselines.closed_form import Average as Average
from icl.baselines.closed_form import LeastSquares as LeastSquares
from icl.baselines.closed_form import PosteriorMean as PosteriorMean
from icl.baselines.closed_form import Ridge as Ridge
from icl.baselines.iterative import GradientDescent as GradientDescent
from icl.baselines.iterative import GradientFlow as GradientFlow
from icl.baselines.iterative import Newton as Newton
from icl.baselines.iterative import optimal_rate as optimal_rate
from icl.baselines.kernels import GaussianProcess as GaussianProcess
from icl.baselines.mixture import MixturePosterior as MixturePosterior
from icl.baselines.neighbors import NearestNeighbors as NearestNeighbors
from icl.baselines.posterior import DiscretePosterior as DiscretePosterior
from icl.baselines.sequential import OnePassSGD as OnePassSGD
from icl.baselines.spectral import SpectralLearner as SpectralLearner
from icl.baselines.spectral import Spectrum as Spectrum
from icl.baselines.spectral import decompose as decompose
from icl.baselines.spectral import solve as solve
from icl.baselines.wrapped import Lasso as Lasso
from icl.baselines.wrapped import OnSquares as OnSquares
from icl.baselines.wrapped import ScikitLearner as ScikitLearner
from icl.baselines.wrapped import WithIntercept as WithIntercept
