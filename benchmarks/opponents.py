"""Other libraries that fit linear probes, as sides of `benchmarks.cells`.

    pip install --no-deps himalaya probekit    # probekit's own fits need torch, too

`himalaya` is the ridge library of the encoding-model field, with a backend in NumPy and
one in PyTorch. Its penalties are chosen for each column by cross-validation in five
folds, where scikit-learn's and ours leave prompts out one by one; it is called through
`probe_grid`, cell by cell, on the same prompts and with the same controls and scores.
It has no form for many prompts (two cells of 4,000 prompts and 256 features took 11 s
of one core, where ours took 0.13 s), so it is left out above `MOST_PROMPTS`.

`probekit` fits binary logistic regressions of many cells in one batch, in float32. Its
side is its fit to all cells, targets and controls at once, and the log-loss on the same
test prompts. It has no intervals, so `probe_grid` draws one resample beside it.

Neither is imported before it is asked for; a library that is missing has no sides.
"""

from importlib.util import find_spec
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from probes import probe_grid
from probes.grid.ridge_spec import ALPHAS
from probes.grid.splits import split

FOLDS = 5
MOST_PROMPTS = 1_000
CLIPPED = 1e-12  # the least probability whose logarithm is taken


class Himalaya(RegressorMixin, BaseEstimator):
    """himalaya's ridge regression, in the form that is the faster one for a shape.

    Args:
        backend: "numpy" or "torch".
    """

    def __init__(self, backend: str = "numpy"):
        self.backend = backend

    def fit(self, features: np.ndarray, targets: np.ndarray) -> "Himalaya":
        """Chooses a penalty for each column, and fits all prompts."""
        from himalaya.backend import set_backend
        from himalaya.kernel_ridge import KernelRidgeCV
        from himalaya.ridge import RidgeCV

        set_backend(self.backend)
        kind = KernelRidgeCV if features.shape[0] < features.shape[1] else RidgeCV
        self.probe_ = kind(alphas=np.array(ALPHAS), fit_intercept=True, cv=FOLDS)
        self.probe_.fit(features, targets)
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Returns its guesses, as a NumPy array."""
        return np.asarray(self.probe_.predict(features))


def himalaya_backends(prompts: int) -> list[str]:
    """Returns the backends that can run here, and end in time for so many prompts."""
    if find_spec("himalaya") is None or prompts > MOST_PROMPTS:
        return []
    return ["numpy", *(["torch"] if find_spec("torch") else [])]


def by_himalaya(
    hidden: Float[np.ndarray, "layers prompts tokens features"],
    targets: dict[str, np.ndarray],
    backend: str,
) -> xr.Dataset:
    """Returns the grid whose probes are himalaya's."""
    probe = make_pipeline(StandardScaler(), Himalaya(backend))
    return probe_grid(hidden, targets, probe=probe)


def has_probekit() -> bool:
    """Whether probekit's batched fits can run here."""
    return find_spec("probekit") is not None and find_spec("torch") is not None


def by_probekit(
    hidden: Float[np.ndarray, "layers prompts tokens features"],
    targets: dict[str, Int[np.ndarray, " prompts"]],
    *,
    max_iter: int,
    tol: float,
) -> Float[np.ndarray, "layers targets"]:
    """Returns the log-loss in bits of labels 0 and 1 at the first token.

    It is that of test prompts. Labels of other prompts are fitted in the same batch, as
    controls.
    """
    import torch
    from probekit.fitters.batch.logistic import fit_logistic_batch

    labels = np.stack(list(targets.values()))
    columns = np.concatenate([labels, np.roll(labels, 1, axis=1)])
    parts = split(
        np.arange(hidden.shape[1]),
        test_fraction=0.25,
        validation_fraction=0.0,
        resamples=1,
        seed=0,
        strata=labels[0].astype(str),
    )
    layers, count = len(hidden), len(columns)
    states = torch.as_tensor(hidden[:, :, 0]).repeat_interleave(count, dim=0)
    wanted = torch.as_tensor(np.tile(columns, (layers, 1)))
    probes = fit_logistic_batch(
        states[:, parts.train], wanted[:, parts.train], max_iter=max_iter, tol=tol
    )
    scores: Any = probes.predict_score(states[:, parts.test].numpy())
    scores = scores.reshape(layers, count, -1)[:, : len(labels)]
    truth = labels[:, parts.test]
    likely = 1 / (1 + np.exp(-np.where(truth == 1, scores, -scores)))
    return -np.log2(np.maximum(likely, CLIPPED)).mean(axis=-1)
