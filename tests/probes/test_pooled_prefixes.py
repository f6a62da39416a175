import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from probes import PooledProbe, probe_grid


@pytest.fixture(scope="module")
def pooled():
    """Pooled probes of hidden states that hold `a` at token 1 and `b` at token 2."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(2, 600, 4, 6)).astype(np.float32)
    a, b = hidden[1, :, 1, :3], rng.normal(size=(600, 3, 2))
    b[:, 1:] = hidden[0, :, 2, None, :2]  # from the second context on
    groups = np.arange(600) // 2
    probe = PooledProbe(head="linear", learning_rate=0.03, random_state=0)
    return probe_grid(
        hidden,
        {"a": a, "b": b},
        probe=probe,
        contexts=[0, 1, 1, 2],
        tokens=["x1", "y1", "x2", "y2"],
        at=["y1", "x2", "y2"],
        groups=groups,
    )


def test_a_pooled_probe_reads_its_token_and_all_before_it(pooled):
    found = pooled.r2 > 0.95
    assert found.sel(layer=1, target="a").values.tolist() == [True] * 3
    assert found.sel(layer=0, target="b").values.tolist() == [False, True, True]
    assert found.sum() == 5
    assert abs(pooled.r2.where(~found)).max() < 0.1
    assert pooled.control_r2.max() < 0.05  # of 150 test groups


def test_position_weights_are_where_it_looks(pooled):
    weights = pooled.position_weights
    # Softmax in float32.
    np.testing.assert_allclose(weights.sum("position"), 1, rtol=1e-5)
    assert (weights.sel(layer=1, target="a", position="y1") > 0.9).all()
    assert (weights.sel(token="y1", position=["x2", "y2"]) == 0).all()
    assert (weights.sel(token="x2", position="y2") == 0).all()
    assert pooled.position.values.tolist() == ["x1", "y1", "x2", "y2"]


def test_pooled_probes_stop_by_group(pooled):
    """450 prompts in pairs train, a fifth of them decide when to stop."""
    assert pooled.attrs["n_train"] == 450 and pooled.attrs["n_validation"] == 90


def test_pooled_probes_that_max_iter_stopped_are_counted(pooled, rng):
    assert pooled.n_iter.dims == ("layer", "token", "target")
    assert 0 < pooled.n_iter.min() < pooled.n_iter.max() <= PooledProbe().max_iter
    hidden = rng.normal(size=(1, 200, 2, 4))
    with pytest.warns(ConvergenceWarning, match="2 of 2 probes .* max_iter=3"):
        grid = probe_grid(
            hidden, {"w": hidden[0, :, 0]}, probe=PooledProbe(head="linear", max_iter=3)
        )
    assert (grid.n_iter == 3).all()


def test_a_probe_of_one_token_reads_no_other(rng):
    """The target stands at token 0: later tokens know it only if they look back."""
    hidden = rng.normal(size=(1, 400, 3, 4))
    targets = {"t": hidden[0, :, 0, :2]}
    alone, prefix = (
        probe_grid(
            hidden,
            targets,
            probe=PooledProbe(
                head="linear", learning_rate=0.03, random_state=0, reads=reads
            ),
            control=False,
        ).sel(layer=0, target="t")
        for reads in ("token", "prefix")
    )
    assert alone.r2.sel(token=0) > 0.9 and (alone.r2.sel(token=[1, 2]) < 0.05).all()
    assert (prefix.r2 > 0.9).all()
    np.testing.assert_array_equal(alone.position_weights, np.eye(3))
