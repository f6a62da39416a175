"""How sure is a number that was measured on prompts, and on models of several seeds?

`draws` resamples prompts, for the mean or the median of a number. `simultaneous` is for
what is said of many numbers at once: the largest, the smallest, the share that lies
below a line, the first that does. `seeds` joins prompts and models that differ in
their seed. What compares models, and the claims of the experiments, all use these.

An interval over prompts says what other prompts would give for *this* trained model. It
says nothing about a model that was trained with another seed: where the statement is
about models of a kind, train several and use `seed_interval`.
"""

from icl.resampling.draws import HEAVY as HEAVY
from icl.resampling.draws import LEVEL as LEVEL
from icl.resampling.draws import STATISTICS as STATISTICS
from icl.resampling.draws import TAIL as TAIL
from icl.resampling.draws import Statistic as Statistic
from icl.resampling.draws import bootstrap as bootstrap
from icl.resampling.draws import bootstrap_means as bootstrap_means
from icl.resampling.draws import heaviest_share as heaviest_share
from icl.resampling.draws import interval as interval
from icl.resampling.draws import studentized_interval as studentized_interval
from icl.resampling.seeds import seed_interval as seed_interval
from icl.resampling.simultaneous import Kind as Kind
from icl.resampling.simultaneous import contenders as contenders
from icl.resampling.simultaneous import extreme_interval as extreme_interval
from icl.resampling.simultaneous import largest_size_interval as largest_size_interval
from icl.resampling.simultaneous import (
    nested_extreme_interval as nested_extreme_interval,
)
from icl.resampling.simultaneous import share_interval as share_interval
from icl.resampling.simultaneous import simultaneous_band as simultaneous_band
