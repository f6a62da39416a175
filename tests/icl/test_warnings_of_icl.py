import inspect

import pytest

from icl import cautions


def test_a_warning_points_at_the_first_line_outside_of_the_package():
    inside = {"__name__": "icl.inside", "cautions": cautions}
    exec("def deeper():\n    cautions.warn('beware', FutureWarning)", inside)
    exec("def door():\n    deeper()", inside)
    with pytest.warns(FutureWarning, match="beware") as caught:
        inside["door"]()
    line = inspect.currentframe().f_lineno - 1
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)
