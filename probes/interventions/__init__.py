"""Edits of hidden states, and a measure of what they do to predictions.

Does the model use what a probe reads? That a quantity can be read out does not show
that anything downstream reads it. Here a hidden state is edited, the model resumes its
forward pass from there, and one looks at what became of its predictions. There are five
edits:

- `write`: the least change after which a linear probe reads given values.
- `write_class`: the least change after which a linear classifier reads given labels.
- `fit_eraser`: after this edit, no linear probe reads anything of a target, be it
  numbers or labels.
- `swap`: the state at some tokens comes from another prompt (activation patching).
- `random_change`: a change as large as an edit, in random directions. What it does to
  the predictions is the part of an effect that says nothing about the target.

and one measure, `movement`: how far predictions moved toward what was written.

Shapes: hidden (..., features), such as (prompts, tokens, features). Edits act on the
last axis, on every state by itself; to edit several tokens together, flatten them to
(prompts, tokens * features). NumPy arrays give NumPy arrays and JAX arrays give JAX
arrays, also under `jax.jit`, where everything but the states and the values to write
must be known beforehand; only `write_class` must know the states as well. Matrices are
prepared in float64 and applied in the dtype of the state (by `write_class`, in
float64): on accelerators that round products, apply them under
`jax.default_matmul_precision("highest")`.

When they mislead:

- An edit can leave the region in which states lie, and what the model does there may
  have nothing to do with what it does elsewhere. `covariance` keeps changes typical.
- The coefficients of a probe do not point at where the target is encoded: where
  features are correlated they also point at what has to be subtracted (Haufe et al.
  2014), and a change along them may move the reading and little that the model uses.
- Erasing is linear and local. A non-linear code stays, and so does a copy at another
  token, from which attention restores it. Erasing has been found less complete than
  writing (Canby et al. 2024); an error that stays low after it shows little.
- Predictions that follow what is written show that the direction *can* drive them, not
  that it does so in prompts that nobody edited.

Sources: Belrose et al. 2023, "LEACE: Perfect linear concept erasure in closed form";
Canby et al. 2024, "How reliable are causal probing interventions?"; Haufe et al. 2014,
"On the interpretation of weight vectors of linear models in multivariate neuroimaging".
"""

from probes.interventions.classes import write_class as write_class
from probes.interventions.edits import random_change as random_change
from probes.interventions.edits import swap as swap
from probes.interventions.edits import write as write
from probes.interventions.effects import Movement as Movement
from probes.interventions.effects import movement as movement
from probes.interventions.erasure import Eraser as Eraser
from probes.interventions.erasure import fit_eraser as fit_eraser
