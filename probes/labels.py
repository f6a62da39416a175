"""Labels of prompts as columns of numbers, so that whatever reads numbers reads them.

Labels are coded as the ridge classifier of scikit-learn codes them: two classes are one
column of -1 and 1, and more are a column for each, 1 where a prompt has that label and
-1 elsewhere.
"""

import numpy as np
from jaxtyping import Float, Int, Shaped

Codes = Int[np.ndarray, " _"]


def coded(
    labels: Shaped[np.ndarray, "prompts *slots"],
    classes: Shaped[np.ndarray, " classes"],
) -> Float[np.ndarray, "prompts *slots columns"]:
    """Returns labels as columns of -1 and 1; `classes` are sorted."""
    codes = np.searchsorted(classes, labels)
    if len(classes) == 2:
        return 2.0 * codes[..., None] - 1
    return 2.0 * (codes[..., None] == np.arange(len(classes))) - 1


def decoded(columns: Float[np.ndarray, "prompts columns"]) -> Codes:
    """Returns which class has the highest score, for columns as `coded` makes them."""
    if columns.shape[1] == 1:
        return (columns[:, 0] > 0).astype(int)
    return columns.argmax(axis=1)
