"""Reads quantities out of hidden states: arrays in, labelled scores out.

The package knows arrays, not transformers: the hidden states may come from any model.
Names are loaded when they are first used; the stub beside this file lists the public
ones.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
