"""Sums of products are added to in place, by BLAS or, where it is not known, NumPy."""

import numpy as np
import pytest

from probes.grid import products


def test_blas_is_known_here():
    assert products._DSYRK is not None


@pytest.mark.parametrize("known", [True, False])
def test_adds_the_upper_triangle(known, monkeypatch):
    if not known:
        monkeypatch.setattr(products, "_DSYRK", None)
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(7, 5)), rng.normal(size=(700, 5))
    many = np.zeros((3, 5, 5))
    for rows in (first, second):
        products.add_products(rows, many[1])
    wanted = first.T @ first + second.T @ second
    np.testing.assert_allclose(many[1], np.triu(wanted), rtol=1e-13)
    products.mirror(many[1])
    np.testing.assert_allclose(many[1], wanted, rtol=1e-13)
    assert not many[0].any() and not many[2].any()
