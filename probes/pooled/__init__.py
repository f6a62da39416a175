"""Pooled probes: each reads a target out of a learned average of tokens.

`PooledProbe` is one such probe behind scikit-learn's interface; `fit` trains many of
them in one program, and `predict` and `position_weights` say what they have learned.
Names are loaded when they are first used, because all but `PooledProbe` need JAX.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
