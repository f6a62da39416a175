"""What every engine of a grid is given."""

from typing import NamedTuple

from probes.grid.columns import Columns
from probes.grid.leave_out import LeftOut
from probes.grid.progress import Progress
from probes.grid.sources import Source
from probes.grid.splits import Split


class Problem(NamedTuple):
    """States and targets, and which prompts train and test.

    Attributes:
        source: the hidden states.
        columns: the targets, and the tokens that are probed.
        split: the prompts that fit, validate and test.
        batch: the largest number of prompts that are looked at together.
        progress: is told what is done.
        left_out: the training prompts that are left out, group by group, where that is
            how a penalty is chosen.
    """

    source: Source
    columns: Columns
    split: Split
    batch: int
    progress: Progress
    left_out: LeftOut | None = None
