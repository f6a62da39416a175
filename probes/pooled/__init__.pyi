from .classifier import PooledClassifier as PooledClassifier
from .config import ProbeConfig as ProbeConfig
from .estimator import PooledProbe as PooledProbe
from .fitting import fit as fit
from .parameters import Probes as Probes
from .parameters import position_weights as position_weights
from .parameters import predict as predict
from .training import FitResult as FitResult

__all__ = [
    "FitResult",
    "PooledClassifier",
    "PooledProbe",
    "ProbeConfig",
    "Probes",
    "fit",
    "position_weights",
    "predict",
]
