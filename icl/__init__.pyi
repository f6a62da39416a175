from .codecs.base import Codec as Codec
from .codecs.pairs import Pairs as Pairs
from .codecs.pairs import encode as encode
from .codecs.pairs import token_contexts as token_contexts
from .codecs.pairs import token_count as token_count
from .codecs.pairs import token_names as token_names
from .model.building import model_from_arrays as model_from_arrays
from .model.config import ModelConfig as ModelConfig
from .model.importing import import_model as import_model
from .model.transformer import Output as Output
from .model.transformer import Transformer as Transformer
from .pretrained import load_pretrained as load_pretrained
from .prompts import Prompts as Prompts
from .tasks.base import Task as Task
from .tasks.linear import LinearRegression as LinearRegression
from .tasks.registry import register as register
from .training.checkpoint import CheckpointError as CheckpointError
from .training.config import TrainConfig as TrainConfig
from .training.curriculum import Curriculum as Curriculum
from .training.ensemble import train_ensemble as train_ensemble
from .training.run import NonFiniteLossError as NonFiniteLossError
from .training.run import train as train
from .training.trained import Trained as Trained
from .training.trained import load as load
from .training.trained import save as save

__version__: str
