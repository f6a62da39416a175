"""Curves are made of lists of numbers too, as users make them."""

import pytest


@pytest.fixture(autouse=True)
def as_users_run_it(untyped):
    """Without the test suite's type checks in front of ours."""
