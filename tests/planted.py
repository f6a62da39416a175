"""Data in which it is known what a figure must find, for the tests of its claims."""

from types import SimpleNamespace

import numpy as np
import xarray as xr


def noisy(means, count=40):
    """Returns values for so many prompts, with 1 % of noise and exactly these means."""
    noise = 1 + 0.01 * np.random.default_rng(0).normal(size=count)
    return means * xr.DataArray(noise / noise.mean(), dims="prompt")


def silent(_):
    """Returns, for any setting, a model that predicts 0."""
    return SimpleNamespace(model=lambda prompts: np.zeros(prompts.ys.shape))


def verdicts(figure, dataset):
    """Returns the verdict of each claim of a figure by its id in the paper."""
    return {
        claim.id.partition(".")[2]: claim.verdict for claim in figure.claims(dataset)
    }
