"""What may a model hold in its head about a prompt, and how much of it can it know?

A target is a named function of prompts that a probe may look for in hidden states.
There are three kinds, of which different amounts can be known:

- `OfContext`: a function of the pairs so far, such as X'y, of shape (batch, length, q).
  Entry i is known after i complete pairs (`icl.token_contexts`). Whoever reads the
  context can compute it: the ceiling of R2 is 1.
- `OfLatents`: a function of whatever else made the labels, of shape (batch, q). What
  can be known of it depends on the task: its ceiling is NaN, not known.
- `OfWeights`: a function f of the true w, such as |w|, of shape (batch, q), the same at
  all tokens. Whoever reads the context knows w up to its posterior, so that no reader
  has a higher R2 than 1 - E[Var(f(w) | context)] / Var f(w), by the law of total
  variance.

Targets of lines of text are functions of their latents, such as the carries of a sum
(`sum_targets`); how much of them can be known at each character follows from all lines
that can occur (`prefix_ceilings`). `sum_labels` and `prefix_accuracies` are the same
for probes that are classifiers.

`target_values` and `target_ceilings` compute many at once, from one decomposition of
the prompts, and return NumPy arrays by name, which `probes.probe_grid` takes. `TARGETS`
lists those that are usually asked for; a target of your own is one line:

    OfWeights("largest", lambda weights: abs(weights).max(axis=-1, keepdims=True))

Everything is computed in float64 and rounded to the prompts' dtype at the end.

A target may be X'y itself (`scale="sum"`, Akyürek et al. 2023, section 5), or X'y / i
(`scale="mean"`, the default; 0 at i = 0). For a probe of one context length R2 is the
same, as the two differ by a constant factor. They differ where lengths meet, in a probe
of pooled tokens or a plot of squared errors: for x, w ~ N(0, I) the variance of a
coordinate is i (i + d + 1) for the sum, so that the longest contexts count for nearly
everything, and 1 + (d + 1) / i for the mean. The mean is also what an attention head
can form by itself, for its attention sums to 1.
"""

from icl.targets.kinds import OfContext as OfContext
from icl.targets.kinds import OfLatents as OfLatents
from icl.targets.kinds import OfWeights as OfWeights
from icl.targets.kinds import Target as Target
from icl.targets.named import TARGETS as TARGETS
from icl.targets.named import gram as gram
from icl.targets.named import learner_weights as learner_weights
from icl.targets.named import mean_label as mean_label
from icl.targets.named import moment as moment
from icl.targets.named import residual as residual
from icl.targets.named import true_weights as true_weights
from icl.targets.named import weight_norm as weight_norm
from icl.targets.prefixes import prefix_accuracies as prefix_accuracies
from icl.targets.prefixes import prefix_ceilings as prefix_ceilings
from icl.targets.sums import answer_digit as answer_digit
from icl.targets.sums import carry as carry
from icl.targets.sums import cascade as cascade
from icl.targets.sums import column_sum as column_sum
from icl.targets.sums import modular_phase as modular_phase
from icl.targets.sums import modular_targets as modular_targets
from icl.targets.sums import nine as nine
from icl.targets.sums import sum_labels as sum_labels
from icl.targets.sums import sum_targets as sum_targets
from icl.targets.values import target_ceilings as target_ceilings
from icl.targets.values import target_values as target_values
