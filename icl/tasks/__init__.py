"""Where data enters: distributions over prompts."""

from icl.tasks.base import Prompts as Prompts
from icl.tasks.base import check_prompts as check_prompts
from icl.tasks.linear import LinearRegression as LinearRegression
