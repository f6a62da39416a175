"""Emergence: is a jump in the model or in the metric?

Curves in, numbers with intervals out; nothing here knows a model.

- `Curve` is a score at each scale. `shape` returns its linearity and breakthroughness,
  `transition` where it rises, `onset` from where on it is above chance.
- `Errors`, `Hits`, `LogProbabilities` and `Choices` keep what came out at every scale,
  for every prompt and query. Each of their metrics returns a `Curve`, so that the same
  outcomes are scored again without running a model.
- `genuineness` tests a curve that seems to jump: does the jump move with the threshold,
  is it the product of its parts, is it there in the log loss, and for every seed?
- `icl.emergence.mirage` has jumps that only a metric makes, in closed form.
"""

from icl.emergence.curves import Curve as Curve
from icl.emergence.curves import log_spaced_means as log_spaced_means
from icl.emergence.genuine import genuineness as genuineness
from icl.emergence.genuine import product_test as product_test
from icl.emergence.genuine import seed_test as seed_test
from icl.emergence.genuine import threshold_test as threshold_test
from icl.emergence.outcomes import Errors as Errors
from icl.emergence.outcomes import Hits as Hits
from icl.emergence.probabilities import Choices as Choices
from icl.emergence.probabilities import LogProbabilities as LogProbabilities
from icl.emergence.shapes import null_quantiles as null_quantiles
from icl.emergence.shapes import shape as shape
from icl.emergence.shapes import shape_of as shape_of
from icl.emergence.transitions import onset as onset
from icl.emergence.transitions import transition as transition
