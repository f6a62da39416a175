import numpy as np
import pytest
import xarray as xr
from grid_cases import batches
from sklearn.linear_model import LinearRegression, LogisticRegression

from probes import onset, probe_by_step, probe_grid

STEPS, LEARNED = (0, 1, 10, 100, 1000), 100


@pytest.fixture
def run(rng):
    """States in which a target can be decoded from a known step on, at one cell."""
    w = rng.normal(size=(400, 2))
    states = {}
    for step in STEPS:
        hidden = rng.normal(size=(2, 400, 3, 6))
        hidden[1, :, 2, :2] += (step >= LEARNED) * 3 * w
        states[step] = hidden
    return states, {"w": w, "other": rng.normal(size=(400, 1))}


def test_a_target_becomes_decodable_at_a_known_step(run):
    states, targets = run
    grid = probe_by_step(states.items(), targets, keep_resamples=True)
    assert grid.step.values.tolist() == list(STEPS)
    learned = grid.r2.sel(target="w", layer=1, token=2)
    assert (learned > 0.8).values.tolist() == [step >= LEARNED for step in STEPS]
    assert grid.r2.sel(target="other").max() < 0.2
    found = onset(grid, along="step")
    cell = found.sel(target="w", layer=1, token=2)
    assert (cell.onset, cell.onset_low, cell.onset_high) == (3, 3, 3)
    assert grid.step[int(cell.onset)] == LEARNED
    assert (found.onset.sel(token=0) == np.inf).all()


def test_every_step_is_the_grid_of_that_step(run):
    states, targets = run
    settings = {"ceilings": {"w": 0.9}, "contexts": [0, 0, 1], "resamples": 50}
    settings |= {"coefficients": True, "keep_resamples": True, "seed": 3}
    grid = probe_by_step(states, targets, **settings)
    for step in (0, 100):
        alone = probe_grid(states[step], targets, **settings)
        xr.testing.assert_identical(grid.sel(step=step, drop=True), alone)
    assert "step" not in grid.ceiling.dims and "step" not in grid.split.dims
    assert grid.attrs == alone.attrs


def test_steps_may_come_in_any_order_and_form(run):
    states, targets = run
    wanted = probe_by_step(states, targets, resamples=20)
    backwards = ((np.int64(step), states[step]) for step in reversed(STEPS))
    xr.testing.assert_identical(probe_by_step(backwards, targets, resamples=20), wanted)
    streams = ((step, batches(states[step])) for step in STEPS)
    streamed = probe_by_step(streams, targets, resamples=20)
    last = probe_grid(batches(states[1000]), targets, resamples=20)
    xr.testing.assert_identical(streamed.sel(step=1000, drop=True), last)


def test_one_network_is_in_memory_at_a_time(run):
    states, targets = run
    log = []

    def checkpoints():
        for step in STEPS:
            log.append(("loaded", step))

            def rows(some, step=step):
                log.append(("read", step))
                return states[step][:, some]

            yield step, rows

    probe_by_step(checkpoints(), targets, resamples=20)
    order = [step for _, step in log]
    assert order == sorted(order)
    assert [step for what, step in log if what == "loaded"] == list(STEPS)


def test_other_probes_over_training(run):
    states, targets = run
    labels = (targets["w"][:, 0] > 0).astype(int)
    two = {step: states[step][1:, :, 2:] for step in (1, 1000)}
    grid = probe_by_step(
        two,
        {"sign": labels},
        probe=LogisticRegression(),
        groups=np.arange(400),
        resamples=20,
    )
    accuracy = grid.accuracy.squeeze()
    assert accuracy.sel(step=1) < 0.7 < 0.85 < accuracy.sel(step=1000)
    own = probe_by_step(two, targets, probe=LinearRegression(), resamples=20)
    assert own.r2.sel(step=1000, target="w").item() > 0.8


@pytest.mark.usefixtures("untyped")
def test_checkpoints_that_do_not_go_together(run):
    states, targets = run
    h = states[0]
    cases = [
        ([], "at least one step, got none"),
        ([(1, h), (1, h)], "step 1 occurs twice"),
        ([("one", h)], r"pairs \(step, hidden\) .* got \(str, ndarray\)"),
        ([(1.5, h)], r"got \(float, ndarray\)"),
        (h[None], r"got an array of shape \(2, 400, 3, 6\)"),
        ([3], "got 3"),
        ([(1, h), (2, h[:1])], "same layers, but step 1 has 2 and step 2 has 1"),
        ([(1, h), (2, h[:, :, :2])], "same tokens, but step 1 has 3 and step 2 has 2"),
        ([(1, h), (2, batches(h))], "steps 1 and 2 test other prompts"),
        ([(1, h), (7, h[:, :300])], "step 7: "),
        ([(7, np.full_like(h, np.nan))], "step 7: .*NaN"),
    ]
    for checkpoints, sentence in cases:
        with pytest.raises(ValueError, match=sentence):
            probe_by_step(checkpoints, targets, resamples=20)


def test_a_grid_without_steps_has_no_onset_along_them(run):
    states, targets = run
    grid = probe_grid(states[0], targets, keep_resamples=True, resamples=20)
    with pytest.raises(ValueError, match=r"along must be .* got 'step'"):
        onset(grid, along="step")
