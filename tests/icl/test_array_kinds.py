"""Arrays of other libraries, and of kinds that would silently be misread."""

import warnings

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pandas as pd
import pytest
from bare import BARE
from flax import nnx

from icl import LinearRegression, ModelConfig, Prompts, TrainConfig, load, train
from icl.arrays import real
from icl.baselines import Average, LeastSquares, Ridge, optimal_rate, solve
from icl.compare import squared_prediction_difference
from icl.sweeps import Setting
from icl.tasks import check_prompts

RNG = np.random.default_rng(0)
XS, YS = RNG.normal(size=(5, 4, 2)).astype("f4"), RNG.normal(size=(5, 4)).astype("f4")
SPOILS = {
    "masked": lambda array: np.ma.masked_array(array, array > 0),
    "complex": lambda array: array + 0j,
    "complex of JAX": lambda array: jnp.asarray(array + 0j),
    "text": lambda array: array.astype(str),
    "dates": lambda array: array.astype("datetime64[s]"),
    "times": lambda array: array.astype("timedelta64[s]"),
    "objects": lambda array: array.astype(object),
    "bytes": lambda array: array.astype(ml_dtypes.bfloat16).view("V2"),
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
@pytest.mark.parametrize("field", ["xs", "ys", "weights"])
def test_prompts_that_hold_no_real_numbers_are_refused(untyped, spoil, field):
    prompts = Prompts(XS, YS, XS[:, 0])
    bad = prompts._replace(**{field: spoil(getattr(prompts, field))})
    with pytest.raises(ValueError, match=f"^{field} must hold real numbers, got "):
        LeastSquares()(bad)


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_comparisons_refuse_them_too(untyped, spoil):
    with pytest.raises(ValueError, match=r"^b must hold real numbers, got an? "):
        squared_prediction_difference(YS, spoil(YS))


def test_arrays_of_other_libraries_are_as_good():
    wanted = LeastSquares()(Prompts(XS, YS)).weights
    given = {
        "lists": (XS.tolist(), YS.tolist()),
        "float64": (XS.astype(float), YS.astype(np.longdouble)),
        "big-endian": (XS.astype(">f4"), YS.astype(">f8")),
        "bfloat16": tuple(a.astype(ml_dtypes.bfloat16) for a in (XS, YS)),
        "pandas": (XS, pd.DataFrame(YS).convert_dtypes()),
        "lists of JAX": (list(jnp.asarray(XS)), list(jnp.asarray(YS))),
        "no mask": (np.ma.masked_array(XS, False), YS),
    }
    for name, (xs, ys) in given.items():
        found = LeastSquares()(Prompts(xs, ys)).weights
        if name == "bfloat16":
            floats = [np.asarray(a, np.float32) for a in (xs, ys)]
            wanted_here = LeastSquares()(Prompts(*floats)).weights
        else:
            wanted_here = wanted
        found, wanted_here = (np.asarray(a, float) for a in (found, wanted_here))
        np.testing.assert_allclose(found, wanted_here, 1e-6, 1e-6, name)


def test_large_integers_stay_what_they_are():
    """JAX alone would take 2^32 + 1 for 1."""
    large = np.full((1, 2, 1), 2**32 + 1)
    prompts = check_prompts(Prompts(large, large[..., 0]))
    np.testing.assert_allclose(prompts.xs, 2.0**32)
    latents = {"index": np.array([2**32 + 1])}
    with pytest.raises(ValueError, match=r"latents\['index'\] must hold integers that"):
        check_prompts(Prompts(np.ones((1, 2, 1)), np.ones((1, 2)), None, latents))


def test_traced_arrays_and_lists_of_them_stay_traced():
    @jax.jit
    def first(xs):
        return real("xs", [xs, xs])[0] + real("xs", xs)

    np.testing.assert_allclose(first(jnp.ones(3)), 2)
    assert real("xs", array := jnp.ones(3)) is array


# --- what else was silently wrong ---


@pytest.mark.parametrize("unit", [1e-7, 1e-8])
def test_a_coordinate_in_other_units_is_warned_of_once(unit):
    task = LinearRegression(dim=4, length=14)
    prompts = task.sample(jax.random.key(0), batch=10)
    xs = np.asarray(prompts.xs).copy()
    xs[..., 2] *= np.float32(unit)
    other_units = Prompts(xs, prompts.ys)
    for use in (LeastSquares(), lambda prompts: solve([LeastSquares()], prompts)):
        said = r"coordinate 2 of xs .* divide each coordi"
        with pytest.warns(UserWarning, match=said) as caught:
            use(other_units)
        assert {each.filename for each in caught} == {__file__}  # the user's own line
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LeastSquares()(prompts)
        Average()(other_units)  # takes no spectrum, and is right in any units


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((-1, 2), "context must be a number of pairs >= 0, got -1"),
        ((np.nan, 2), "context must be finite"),
        ((3, -7), "dim must be an integer >= 1"),
        ((3, 2, 1j), r"noise_std must be a finite number >= 0, got 1j"),
        ((3, 2, 0.0, 0), "weight_std must be a finite number > 0, got 0"),
    ],
)
def test_an_optimal_rate_exists_for_numbers_that_make_sense(untyped, arguments, said):
    with pytest.raises(ValueError, match=said):
        optimal_rate(*arguments)
    assert optimal_rate([0, 1], 2).tolist() == [1 / 6, 1 / 8]


@pytest.mark.parametrize("flag", ["final_norm", "scale_scores"])
@pytest.mark.parametrize("value", ["no", "False", 0, np.nan, None])
def test_flags_of_a_model_are_true_or_false(untyped, flag, value):
    with pytest.raises(ValueError, match=f"{flag} must be True or False, got"):
        ModelConfig(**{flag: value})
    assert getattr(ModelConfig(**{flag: np.True_}), flag) is True


@pytest.mark.parametrize("seed", [2**32, 2**32 + 7, 10**20, -1, True, 1.0, "1", None])
def test_seeds_are_those_that_jax_tells_apart(untyped, seed):
    with pytest.raises(ValueError, match="seed must be an integer"):
        Setting(LinearRegression(), ModelConfig(), TrainConfig(), seed)


def test_learners_are_hashed_by_numbers_of_pythons_own(untyped):
    """Of JAX's there is no hash, and learners are keys of dictionaries."""
    assert {Ridge(jnp.float32(0.5)), Ridge(np.float64(0.5)), Ridge(0.5)} == {Ridge(0.5)}


# --- float64 ---


def test_training_is_the_same_where_float64_is_on(tmp_path):
    """The same key would draw other numbers there."""
    task, model = LinearRegression(dim=2, length=3), BARE
    config = TrainConfig(steps=4, batch=4, held_out=4, chunk=1, checkpoint_every=2)
    key = jax.random.key(0)
    whole = train(task, model, config, key=key)

    def stop(step, _):
        if step == 2:
            raise KeyboardInterrupt

    with jax.enable_x64(True), pytest.raises(KeyboardInterrupt):
        train(task, model, config, key=key, directory=tmp_path, callback=stop)
    resumed = train(task, model, config, key=key, directory=tmp_path)
    with jax.enable_x64(True):
        other = train(task, model, config, key=key)
        loaded = load(tmp_path)
    for each in (resumed, other, loaded):
        np.testing.assert_array_equal(each.history.loss, whole.history.loss)
        for one, two in zip(*map(leaves, (each, whole)), strict=True):
            assert one.dtype == two.dtype == np.float32
            np.testing.assert_array_equal(one, two)


def leaves(trained):
    return jax.tree.leaves(nnx.state(trained.model))
