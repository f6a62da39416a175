"""Task vectors: found in a model that holds them, and what is planted is judged."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from bare import BARE
from flax import nnx
from planted import noisy, verdicts

from experiments.engine.figures.evaluation import Evaluation
from experiments.raventos2023 import vectors, vectors_measure
from experiments.raventos2023.pools_measure import Several
from icl import LinearRegression, Prompts
from icl.baselines import DiscretePosterior, PosteriorMean
from icl.codecs.pairs import encode
from icl.model.building import build
from icl.model.transformer import Output
from icl.tasks import Pool

DIM, FUNCTIONS = 6, 4
CONFIG = Several(
    LinearRegression(DIM, 4, noise_std=0.5),
    BARE,
    vectors.PRESETS["tiny"].train,
    sizes=(FUNCTIONS,),
    seeds=1,
    evaluation=Evaluation(prompts=300, resamples=100),
)
POOL = Pool(CONFIG.task, FUNCTIONS)


class Holding(nnx.Module):
    """Holds the w of a prompt at each label from the embedding on, beside its tokens.

    What it predicts at an x is the mean of these w, times x, and times a scale that the
    token of x holds.
    """

    def __call__(self, prompts: Prompts) -> Output:
        tokens = jnp.pad(encode(prompts), ((0, 0), (0, 0), (0, DIM)))
        hidden = tokens.at[:, 1::2, -DIM:].set(prompts.weights[:, None])
        return self.resume(jnp.stack([hidden, hidden]), 0)

    def resume(self, hidden, layer) -> Output:
        state = hidden if hidden.ndim == 3 else hidden[0]
        w = state[:, 1::2, -DIM:].mean(axis=1)
        said = jnp.einsum("pd,pid->pi", w, state[:, ::2, 1 : DIM + 1])
        return Output(said, hidden)


# --- On a model that is known --------------------------------------------------------


@pytest.fixture(scope="module")
def known():
    found = vectors_measure.edits(CONFIG, POOL, Holding())
    weights = vectors_measure.functions_of(CONFIG, POOL)["seen"]
    fresh, _ = CONFIG.evaluation.sample(CONFIG.task, whole=True)
    prompts = vectors_measure.asked(CONFIG, fresh, weights[np.arange(300) % FUNCTIONS])
    return found.assign_attrs(label=float(prompts.ys[:, -2].var()))


def test_vectors_are_found_where_they_are_held_and_followed(known):
    after = known.after.transpose("edit", "layer", "prompt")
    for layer in range(2):  # float32, sums of six products
        labels = after.sel(edit="labels", layer=layer)
        np.testing.assert_allclose(labels, known.wanted, atol=2e-5)
        # At the x itself stands no w, and inputs cancel with their mirror images.
        query = after.sel(edit="query", layer=layer)
        np.testing.assert_allclose(query, known.before, atol=2e-5)
    assert float(np.square(known.wanted - known.before).mean()) > 1


def test_states_lie_between_vectors_of_functions_that_the_model_holds(known):
    assert known.whole.isel(layer=0).isnull().all()
    share = (known.inside.mean("prompt") / known.whole.mean("prompt")).isel(layer=1)
    # All that differs between states is w, which lies there, and the label, which does
    # not: it cancels with that of the mirror image.
    label = known.attrs["label"]
    expected = 1 - label / float(known.whole.isel(layer=1).sel(source="seen").mean())
    np.testing.assert_allclose(
        float(share.sel(vectors="seen", source="seen")), expected, 1e-4
    )
    # Three directions of six hold half of what is random in all of them.
    for vectors_of, source in (("seen", "new"), ("new", "seen")):
        assert float(share.sel(vectors=vectors_of, source=source)) < 0.7 * expected


def test_mirror_images_leave_nothing_of_the_inputs():
    weights = vectors_measure.functions_of(CONFIG, POOL)["seen"]
    found = vectors_measure.task_vectors(CONFIG, Holding(), weights)
    assert found.shape == (2, FUNCTIONS, 7, 1 + 2 * DIM)
    np.testing.assert_allclose(found[..., : DIM + 1], 0, atol=1e-6)
    held = found[1, :, 1::2, -DIM:]
    np.testing.assert_allclose(
        held, np.broadcast_to(weights[:, None], held.shape), 1e-6
    )


def test_directions_between_vectors_are_orthonormal_and_no_more_than_there_are():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(5, 2)) @ rng.normal(size=(2, 9)) + rng.normal(size=9)
    directions = vectors_measure.span(plane)
    assert directions.shape == (2, 9)
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-12)
    centred = plane - plane.mean(axis=0)
    np.testing.assert_allclose(centred @ directions.T @ directions, centred, atol=1e-12)


@pytest.mark.parametrize("name", ["posterior", "ridge"])
def test_a_learner_is_not_apart_from_itself_where_labels_say_nothing(name):
    learner = {"posterior": DiscretePosterior(POOL), "ridge": PosteriorMean(0.5)}[name]
    found = vectors_measure.random_labels(CONFIG, POOL, learner).apart.mean("prompt")
    assert float(found.sel(learner=name)) < 1e-9
    others = found.drop_sel(learner=name)
    assert float(others.min()) > 0.1
    free = vectors_measure.random_labels(CONFIG, CONFIG.task, learner)
    assert free.apart.sel(learner="posterior").isnull().all()


# --- What is judged ------------------------------------------------------------------

COORDS = {"seed": range(2), "size": [2.0, 4.0, 16.0, np.inf]}


def planted(moves=0.8, query=0.8, unlimited=0.0, inside=0.9, new=0.5, other=0.4, r=0.2):
    """Predictions that move so far at layer 1, and shares of the variance."""
    rng = np.random.default_rng(0)
    wanted, before = rng.normal(size=(2, 400))
    by = {"labels": moves, "query": query}
    coords = {**COORDS, "edit": list(by), "layer": range(3)}
    far = xr.DataArray(
        np.zeros([len(each) for each in coords.values()]), coords, tuple(coords)
    )
    for edit, size in by.items():
        far.loc[{"edit": edit, "layer": 1}] = size
    far.loc[{"size": np.inf, "layer": 1}] = unlimited
    wanted, before = (xr.DataArray(each, dims="prompt") for each in (wanted, before))
    after = far * wanted + (1 - far) * before
    names = {"vectors": ["seen", "new"], "source": ["seen", "new"]}
    shares = xr.DataArray([[inside, new], [other, 0.5]], names, tuple(names))
    ones = xr.DataArray(np.ones((2, 4)), COORDS, tuple(COORDS))
    ones = ones.expand_dims(layer=range(3)).where(far.layer > 0)
    whole = noisy(ones.expand_dims(source=names["source"]), 400)
    apart = xr.DataArray([r, 1.0, 2.0], {"learner": list(vectors_measure.LEARNERS)})
    return xr.Dataset(
        {
            "after": after,
            "before": before,
            "wanted": wanted,
            "whole": whole,
            "inside": shares * noisy(ones, 400),
            "apart": noisy(apart * ones.isel(layer=1, drop=True), 400),
        },
        attrs={"dim": 4, "resamples": 100},
    )


def test_a_model_with_task_vectors_fulfils_every_claim():
    found = verdicts(vectors, planted())
    assert set(found.values()) == {"holds"}
    assert list(found) == ["T1a", "T1b", "T1c", "T2", "T3a", "T3b", "T3c", "T4"]


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({"moves": 0.3}, {"T1a", "T1b"}),
        ({"query": 0.3}, {"T1c"}),
        ({"unlimited": 0.3}, {"T2"}),
        ({"inside": 0.7}, {"T3a"}),
        ({"new": 0.95}, {"T3b"}),
        ({"other": 0.95}, {"T3c"}),
        ({"r": 1.5}, {"T4"}),
    ],
)
def test_another_model_fails_where_it_differs(changes, ids):
    found = verdicts(vectors, planted(**changes))
    assert {id for id, verdict in found.items() if verdict != "holds"} == ids


def test_a_run_without_small_pools_judges_none_of_them():
    found = vectors.claims(planted().sel(size=[2.0, np.inf]))
    undecided = {claim.id for claim in found if "no pool" in str(claim.note)}
    assert len(undecided) == 7 and "raventos2023.T2" not in undecided


# --- From models to the picture ------------------------------------------------------


def test_models_go_through_to_the_picture():
    config = replace(CONFIG, task=LinearRegression(2, 4, noise_std=0.5))

    def models(setting):
        key = jax.random.key(0)
        return SimpleNamespace(model=build(setting.task.codec, BARE, key))

    dataset = vectors_measure.measure(config, models)
    assert dataset.after.shape == (1, 2, 2, 2, 300)
    vectors.plot(dataset)
    assert len(vectors.claims(dataset)) == 8


def test_a_pool_of_one_function_has_no_other_to_write():
    with pytest.raises(ValueError, match="sizes must be 2 or more, because a pool of"):
        replace(CONFIG, sizes=(1, 4))
