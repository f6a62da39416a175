"""The tasks, which are distributions over batches: here data enters."""

from icl.prompts import Prompts as Prompts
from icl.prompts import check_prompts as check_prompts
from icl.tasks.base import Task as Task
from icl.tasks.linear import LinearRegression as LinearRegression
from icl.tasks.registry import TASKS as TASKS
from icl.tasks.registry import register as register
