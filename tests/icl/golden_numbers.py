"""Errors of learners and their standard errors, held against numbers of others."""

import numpy as np

from icl import inference


def risk(learner, prompts, truth, scale):
    """Mean squared errors by context, over `scale`, with their standard errors."""
    off = inference.predictions(learner, prompts).astype(float) - np.asarray(truth)
    return mean(np.square(off) / scale)


def mean(by_prompt):
    """The mean over the first axis, with its standard error."""
    by_prompt = np.asarray(by_prompt, float)
    return by_prompt.mean(axis=0), by_prompt.std(axis=0) / len(by_prompt) ** 0.5


def agree(found, errors, golden, own=0.0, share=0.02):
    """Whether numbers agree to three standard errors, and to a share of them."""
    golden = np.asarray(golden)
    allowed = 3 * np.sqrt(np.square(errors) + np.square(own)) + share * golden
    np.testing.assert_array_less(np.abs(found - golden), allowed)


def cubature(dim):
    """Points and weights that have the mean of every polynomial of degree 5.

    That is its mean under N(0, I). They are the origin, 2d points on the axes, and
    2d(d - 1) between two axes (Stroud 1971).
    """
    axes = np.eye(dim)
    i, j = np.triu_indices(dim, 1)
    between = np.concatenate([axes[i] + axes[j], axes[i] - axes[j]]) / 2**0.5
    points = np.concatenate([axes, -axes, between, -between]) * (dim + 2) ** 0.5
    weights = np.repeat([(4 - dim) / 2, 1.0], [2 * dim, 2 * len(between)])
    points = np.concatenate([np.zeros((1, dim)), points])
    return points, np.append(2 * (dim + 2), weights) / (dim + 2) ** 2
