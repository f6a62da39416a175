"""Sums of whole numbers: how they are written, which ones are drawn, and completion.

The task that trains on them is `icl.tasks.Addition`; other operations are written by
`operation_line`, and trained on by `icl.tasks.Operation`.
"""

from icl.arithmetic.columns import carries as carries
from icl.arithmetic.columns import cascades as cascades
from icl.arithmetic.columns import column_sums as column_sums
from icl.arithmetic.columns import digits_of as digits_of
from icl.arithmetic.operations import layouts_of as layouts_of
from icl.arithmetic.operations import operation_line as operation_line
from icl.arithmetic.operations import result_of as result_of
from icl.arithmetic.pairs import count_by_carries as count_by_carries
from icl.arithmetic.reading import answer_of as answer_of
from icl.arithmetic.reading import score as score
