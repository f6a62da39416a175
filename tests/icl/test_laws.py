"""Laws of inputs and weights draw what they say, and the defaults are as ever."""

import json

import jax
import numpy as np
import pytest

from icl import LinearRegression, ModelConfig, TrainConfig
from icl.tasks.laws import Cap
from icl.training.description import changed, configs, describe

COUNT = 20_000
WIDE = ((2.0, 0.6, 0.0), (0.6, 1.0, -0.3), (0.0, -0.3, 0.5))
EVERYTHING = LinearRegression(
    dim=3,
    length=2,
    weight_std=0.5,
    inputs="student",
    covariance=WIDE,
    mean=(1.0, -0.5, 0.0),
    rotated=True,
    weight_law="laplace",
    weight_mean=(0.0, 2.0, 0.0),
    weight_covariance=WIDE,
)
CAPPED = LinearRegression(
    dim=3,
    length=2,
    mean=(1.0, 0.0, 0.5),
    weight_mean=(0.5, 0.5, 0.0),
    weight_covariance=WIDE,
    cap=60.0,
)


def drawn(task: LinearRegression):
    prompts = jax.jit(lambda key: task.sample(key, batch=COUNT))(jax.random.key(0))
    return tuple(np.asarray(part, float) for part in prompts[:3])


@pytest.fixture(scope="module", params=[EVERYTHING, CAPPED], ids=["all", "cap"])
def task_and_draws(request):
    return request.param, drawn(request.param)


def close(draws, wanted):
    """The mean over the first axis is within five standard errors of `wanted`."""
    error = draws.std(axis=0) / len(draws) ** 0.5
    assert (np.abs(draws.mean(axis=0) - wanted) <= 5 * error + 1e-6).all()


@pytest.mark.parametrize("task", [EVERYTHING, CAPPED], ids=["all", "cap"])
def test_tasks_of_other_laws_are_the_same_once_written_and_read(task):
    about = json.loads(json.dumps(describe(task, ModelConfig(), TrainConfig())))
    again, *_ = configs(about, [])
    assert again == task and hash(again) == hash(task)


def test_the_normaliser_is_the_mean_square_of_a_label(task_and_draws):
    task, (_, ys, _) = task_and_draws
    close(np.square(ys).mean(axis=1), task.normaliser)


def test_weights_have_the_stated_mean_and_covariance():
    weights = drawn(EVERYTHING)[2]
    close(weights, EVERYTHING.weight_mean)
    around = weights - np.asarray(EVERYTHING.weight_mean)
    close(around[:, :, None] * around[:, None, :], 0.25 * np.asarray(WIDE))
    plain = drawn(LinearRegression(dim=3, length=2, weight_law="laplace"))[2]
    assert (plain**4).mean() == pytest.approx(6.0, rel=0.15)  # 3 for a normal law


def test_inputs_have_the_stated_mean_and_covariance():
    xs = drawn(CAPPED)[0]
    close(xs[:, 0], CAPPED.mean)
    around = xs[:, 0] - np.asarray(CAPPED.mean)
    close(around[:, :, None] * around[:, None, :], np.eye(3))


def test_a_rotation_is_that_of_the_prompt_and_hides_the_direction():
    plane = ((2.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, 0.0))
    task = LinearRegression(dim=3, length=6, covariance=plane, rotated=True)
    xs = drawn(task)[0]
    sizes = np.linalg.svd(xs[:50], compute_uv=False)
    assert (sizes[:, 1] > 0.1).all() and (sizes[:, 2] < 1e-5).all()  # 2 dimensions
    both = np.linalg.svd(np.concatenate([xs[0], xs[1]]), compute_uv=False)
    assert both[2] > 0.1  # other ones in another prompt
    first = xs[:, 0]
    close(first[:, :, None] * first[:, None, :], 4 / 3 * np.eye(3))
    single = task.sample_inputs(jax.random.key(1), ())
    assert single.shape == (3,)


def test_a_cap_holds_the_points_near_the_first_axis_evenly():
    # In 3 dimensions the cosine is uniform on a cap, as Archimedes found.
    cap, least = Cap(3, 60.0), np.cos(np.radians(60.0))
    points = np.asarray(jax.jit(lambda k: cap.draw(k, COUNT))(jax.random.key(0)), float)
    np.testing.assert_allclose((points**2).sum(axis=1), 3.0, rtol=1e-5)
    cosines = points[:, 0] / 3**0.5
    assert cosines.min() >= least - 1e-6
    edges = least + (1 - least) * np.linspace(0.1, 0.9, 9)
    close(cosines[:, None] < edges, np.linspace(0.1, 0.9, 9))
    close(points, cap.mean)
    np.testing.assert_allclose(cap.mean, [3**0.5 * (1 + least) / 2, 0, 0], rtol=1e-6)
    close(points[:, :, None] * points[:, None, :], cap.moment)
    whole = Cap(20, 180.0)
    np.testing.assert_allclose(whole.moment, np.eye(20), atol=1e-6)
    np.testing.assert_allclose(whole.mean, 0, atol=1e-6)


def test_the_defaults_are_no_part_of_a_description():
    assert changed(LinearRegression(dim=3)) == {"kind": "LinearRegression", "dim": 3}
    plain = LinearRegression(dim=7, length=2, covariance=None, rotated=True)
    assert plain.normaliser == 7.0 and plain.standard_weights
    assert not EVERYTHING.standard_weights and not CAPPED.standard_weights


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cap": 200.0}, "cap must be an angle of at most 180 degrees, got 200"),
        ({"cap": 60.0, "weight_law": "laplace"}, "two laws of the weights"),
        ({"cap": 60.0, "dim": 1}, "at least 2 dimensions"),
        ({"mean": (1.0,)}, r"mean must have axes \(dim,\)"),
        ({"weight_law": "cauchy"}, "weight_law must be one of"),
        ({"weight_covariance": (1.0, -1.0, 1.0)}, "weight_covariance must be positive"),
        ({"rotated": 2}, "rotated must be"),
        # What is drawn with these would be infinite.
        ({"noise_std": 1e300}, r"noise_std must be at most 1e\+18 in size, .* 1e\+300"),
        ({"weight_std": 1e30}, r"weight_std must be at most 1e\+18 in size, .* 1e\+30"),
        ({"mean": -1e30}, r"mean must be at most 1e\+18 in size, .* got 1e\+30"),
        ({"covariance": (1, 1, 1e40)}, r"covariance must be at most 1e\+36 in size"),
    ],
)
def test_laws_that_make_no_sense_are_refused(changes, says, untyped):
    with pytest.raises(ValueError, match=says):
        LinearRegression(**({"dim": 3, "length": 4} | changes))
