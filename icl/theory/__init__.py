"""What must come out? Closed forms for linear learners, where no model is trained.

- `descent`: the risk of K steps of gradient descent and of GD++, for any rates, from
  the eigenvalues of X'X alone; and the best rates (von Oswald et al. 2023).
- `attention`: the risk of one trained layer of linear attention, for contexts of any
  length and inputs of any covariance (Zhang, Frei and Bartlett 2024); and the plateaus
  of its loss during training (Zhang, Singh, Latham and Saxe 2025).

A trained model is then held against a number, and not against another program.
"""

from icl.theory.attention import LossDrop as LossDrop
from icl.theory.attention import first_drop as first_drop
from icl.theory.attention import layer_risk as layer_risk
from icl.theory.attention import plateaus as plateaus
from icl.theory.attention import trained_layer as trained_layer
from icl.theory.descent import BestSteps as BestSteps
from icl.theory.descent import best_steps as best_steps
from icl.theory.descent import context_eigenvalues as context_eigenvalues
from icl.theory.descent import largest_rate as largest_rate
from icl.theory.descent import share_left as share_left
from icl.theory.descent import steps_risk as steps_risk
