"""Sweeps of many models, each trained once and found again, also on a cluster.

axes = {"model.layers": (1, 2, 4), "train.learning_rate": (1e-3, 3e-3)}
settings = grid(base, axes)
train_all(settings, models)                 # trains what is missing
dataset = history(settings, models, axes)   # validation loss over the axes
chosen = best(dataset, ["learning_rate"])   # which rate was best, for each depth
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
