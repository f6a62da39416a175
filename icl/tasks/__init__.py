"""The tasks, which are distributions over batches: here data enters."""

from icl.prompts import Prompts as Prompts
from icl.prompts import check_prompts as check_prompts
from icl.tasks.addition import Addition as Addition
from icl.tasks.base import Task as Task
from icl.tasks.function_class import FunctionClass as FunctionClass
from icl.tasks.functions import DecisionTree as DecisionTree
from icl.tasks.functions import LinearClassification as LinearClassification
from icl.tasks.functions import Quadratic as Quadratic
from icl.tasks.functions import ReluNetwork as ReluNetwork
from icl.tasks.functions import SparseLinear as SparseLinear
from icl.tasks.joint import JointTokens as JointTokens
from icl.tasks.linear import LinearRegression as LinearRegression
from icl.tasks.modular import ModularAddition as ModularAddition
from icl.tasks.operation import Operation as Operation
from icl.tasks.pools import Mixture as Mixture
from icl.tasks.pools import Pool as Pool
from icl.tasks.pools import PromptPool as PromptPool
from icl.tasks.registry import TASKS as TASKS
from icl.tasks.registry import register as register
