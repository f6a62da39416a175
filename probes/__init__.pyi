from . import plot as plot
from . import torch as torch
from .codelength import Codelength as Codelength
from .codelength import evidence_codelength as evidence_codelength
from .codelength import label_codelength as label_codelength
from .codelength import online_codelength as online_codelength
from .controls import donors as donors
from .controls import random_function as random_function
from .controls import random_labels as random_labels
from .controls import selectivity as selectivity
from .grid import probe_grid as probe_grid
from .interventions import Eraser as Eraser
from .interventions import Movement as Movement
from .interventions import fit_eraser as fit_eraser
from .interventions import movement as movement
from .interventions import random_change as random_change
from .interventions import swap as swap
from .interventions import write as write
from .interventions import write_class as write_class
from .onsets import onset as onset
from .pooled import PooledClassifier as PooledClassifier
from .pooled import PooledProbe as PooledProbe
from .scores import behavioural_error as behavioural_error
from .scores import cosine as cosine
from .scores import mean_squared_error as mean_squared_error
from .training_steps import probe_by_step as probe_by_step

__all__ = [
    "Codelength",
    "Eraser",
    "Movement",
    "PooledClassifier",
    "PooledProbe",
    "behavioural_error",
    "cosine",
    "donors",
    "evidence_codelength",
    "fit_eraser",
    "label_codelength",
    "mean_squared_error",
    "movement",
    "online_codelength",
    "onset",
    "plot",
    "probe_by_step",
    "probe_grid",
    "random_change",
    "random_function",
    "random_labels",
    "selectivity",
    "swap",
    "torch",
    "write",
    "write_class",
]

__version__: str
