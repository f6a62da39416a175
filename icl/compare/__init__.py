"""Do two learners do the same, and which textbook learner is a model nearest to?

`nearest(model, prompts)` is the one to call on a model of your own: see `ranking`, and
`grids` for the learners that it chooses among. `path` finds the ridge alpha, or the
time of gradient flow, that a model behaves like. `distances` compares two learners by
context length, `similarity` is about layers as steps of an iteration, and
`icl.resampling` says how sure any of it is.
"""

from icl.compare.distances import Estimate as Estimate
from icl.compare.distances import ImpliedWeights as ImpliedWeights
from icl.compare.distances import accuracy as accuracy
from icl.compare.distances import implied_weight_difference as implied_weight_difference
from icl.compare.distances import implied_weights as implied_weights
from icl.compare.distances import linearity as linearity
from icl.compare.distances import (
    squared_prediction_difference as squared_prediction_difference,
)
from icl.compare.fitting import fitted_weights as fitted_weights
from icl.compare.grids import families as families
from icl.compare.members import family_distances as family_distances
from icl.compare.path import Effective as Effective
from icl.compare.path import effective as effective
from icl.compare.path import lowest as lowest
from icl.compare.ranking import Fit as Fit
from icl.compare.ranking import Margin as Margin
from icl.compare.ranking import Nearest as Nearest
from icl.compare.ranking import nearest as nearest
from icl.compare.ranking import rank as rank
from icl.compare.similarity import Match as Match
from icl.compare.similarity import Progress as Progress
from icl.compare.similarity import best_match as best_match
from icl.compare.similarity import error_similarity as error_similarity
from icl.compare.similarity import middle_layers as middle_layers
from icl.compare.similarity import progress as progress
from icl.compare.similarity import weight_similarity as weight_similarity
from icl.resampling import LEVEL as LEVEL
from icl.resampling import bootstrap as bootstrap
from icl.resampling import bootstrap_means as bootstrap_means
from icl.resampling import interval as interval
