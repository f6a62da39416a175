"""Codecs, which say how a batch becomes tokens and where predictions are read."""

from icl.codecs.base import Codec as Codec
from icl.codecs.characters import Characters as Characters
from icl.codecs.characters import Lines as Lines
from icl.codecs.joint import JointPairs as JointPairs
from icl.codecs.pairs import Pairs as Pairs
