"""The words that figures and claims of the paper use, each in a sentence."""

from collections.abc import Mapping

GLOSSARY: Mapping[str, str] = {
    "prompt": "A sequence x1, y1, x2, y2, ... of inputs of d numbers and their labels "
    "y = w·x, where w is drawn anew for every prompt.",
    "n": "The number of examples, each an input with its label, that come before the "
    "input whose label is predicted.",
    "d": "The number of coordinates of an input. Without noise, d examples determine "
    "the w of a prompt.",
    "ICL": "The trained transformer as a learner: what it predicts from the examples "
    "in its context (in-context learning).",
    "OLS": "Least squares. With fewer than d examples, it takes the w of the smallest "
    "norm that fits them.",
    "Ridge(0.1)": "Ridge regression with the penalty 0.1 |w|², which is not scaled by "
    "n.",
    "GD(0.01)": "One step of gradient descent on all examples, at the rate 0.01 and "
    "from w = 0.",
    "SGD(0.01)": "One pass of stochastic gradient descent over the examples, one by "
    "one, at the rate 0.01 and from w = 0.",
    "3-NN": "The average label of the 3 nearest examples, weighted by their distance "
    "or not.",
    "SPD": "Squared prediction difference: the mean over prompts of (prediction of "
    "one learner - prediction of another)² at a new input.",
    "MSPD": "The average of SPD over n < d.",
    "ILWD": "Implied linear weight difference: the mean over prompts of |w of one "
    "learner - w of another|². For a learner that has no w, one is fitted to its "
    "predictions at many new inputs.",
    "SPD / d and ILWD / d": "Both divided by d. Without noise, predicting 0 is then "
    "about 1 away from the truth.",
    "R²": "The share of variance that is explained on prompts that were not fitted: 1 "
    "is perfect, and 0 is no better than the average.",
    "ceiling": "The most that any reader of the same examples could explain.",
    "control": "The same measurement where there is nothing to find, such as for the "
    "weights of other prompts.",
}
