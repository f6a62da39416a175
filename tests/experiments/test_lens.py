"""The lens on layers whose read-outs are known."""

import jax
import numpy as np
import pytest
from flax import nnx

from experiments.fu2024 import lens, lens_claims
from icl import LinearRegression, ModelConfig, Pairs, Transformer, inference
from icl.baselines import GradientDescent, Newton, optimal_rate

TASK = LinearRegression(dim=3, length=7)


@pytest.fixture(scope="module")
def contexts():
    return inference.sample(TASK, 300, seed=0)[0]


def lens_of(learners, prompts, noise=0.0):
    """The lens on layers whose read-outs are these learners' predictions."""
    layers = np.stack([learner(prompts).predictions for learner in learners])
    layers = layers + noise * np.random.default_rng(0).standard_normal(layers.shape)
    return lens.measure(np.stack([layers, layers]), prompts).assign_attrs(resamples=200)


DESCENTS = [
    GradientDescent(k, lens.RATES[1] * optimal_rate(6, dim=3))
    for k in (0, 3, 12, 96, 1024)
]
NEWTONS = [Newton(k) for k in (0, 2, 5, 9, 13)]


@pytest.mark.parametrize("learners", [DESCENTS, NEWTONS])
def test_the_lens_finds_where_each_layer_is(contexts, learners):
    dataset = lens_of(learners, contexts)
    means = dataset.drop_vars("chosen_rate").mean("prompt")
    right, wrong = lens.FAMILIES if learners is DESCENTS else lens.FAMILIES[::-1]
    for head in lens.HEADS:
        found = lens_claims.best_k(means, right).sel(head=head)
        assert found.values.tolist() == [learner.steps for learner in learners]
    # The same float32 predictions on both sides.
    assert not lens_claims.nearest(means, right).any()
    assert (lens_claims.nearest(means, wrong)[:, 1:] > 0).all()


def test_the_lens_finds_the_rate(contexts):
    dataset = lens_of(DESCENTS, contexts)
    assert dataset.chosen_rate.item() == f"{DESCENTS[0].rate:.3g}"
    assert (dataset.unexplained == 0).values.tolist() == [False, True, False, False]


def test_the_lens_finds_a_rate_for_each_context(contexts):
    """Gradient descent by a loop, with the largest rate at which nothing overshoots."""
    xs, ys = (np.asarray(array, float) for array in (contexts.xs, contexts.ys))
    predicted = np.zeros((4, *ys.shape))
    for i in range(1, ys.shape[1]):
        x, y, w = xs[:, :i], ys[:, :i, None], np.zeros((*xs[:, 0].shape, 1))
        rate = 0.5 / np.linalg.norm(x, ord=2, axis=(1, 2))[:, None, None] ** 2
        for step in range(65):
            if step in (1, 4, 16, 64):
                predicted[int(np.log2(step)) // 2, :, i] = (xs[:, i] * w[..., 0]).sum(1)
            w = w - 2 * rate * x.swapaxes(1, 2) @ (x @ w - y)
    dataset = lens.measure(np.stack([predicted, predicted]), contexts)
    means = dataset.drop_vars("chosen_rate").mean("prompt")
    assert dataset.chosen_rate.item() == "1 / (2 λmax)"
    assert lens_claims.best_k(means, "GD").values.tolist() == [[1, 4, 16, 64]] * 2
    # Predictions of learners are rounded to float32; labels are of size 1 to 10.
    assert lens_claims.nearest(means, "GD").max() < 1e-11


@pytest.mark.parametrize("learners", [DESCENTS, NEWTONS])
def test_claims_of_the_lens_tell_newton_from_gradient_descent(contexts, learners):
    found = lens.claims(lens_of(learners, contexts, noise=0.01))
    verdicts = {claim.id: claim.verdict for claim in found}
    assert verdicts["lens.1"] == "holds"  # both are further along in deeper layers
    assert verdicts["lens.2"] == ("fails" if learners is DESCENTS else "holds")
    assert learners is DESCENTS or verdicts["lens.3"] == "holds"


def test_a_read_out_that_means_nothing_is_not_explained(contexts):
    noise = np.random.default_rng(0).standard_normal((2, 3, *contexts.ys.shape))
    means = lens.measure(noise, contexts).drop_vars("chosen_rate").mean("prompt")
    np.testing.assert_allclose(means.power, (noise[..., 1:] ** 2).mean((2, 3)))
    for family in lens.FAMILIES:
        # 300 prompts of 6 labels: chance correlates with a learner by less than 0.1.
        assert (lens_claims.unexplained(means, family) > 0.98).all()
    assert (lens_claims.best_k(means, "GD") <= 1).all()


def test_own_heads_find_what_is_there_and_final_heads_are_the_models(contexts):
    model = Transformer(
        ModelConfig(layers=1, width=8), Pairs(dim=3, length=7), rngs=nnx.Rngs(0)
    )
    # What the embedding at x_i says does not depend on labels, which may then be it.
    embedded = jax.numpy.asarray(inference.hidden_states(model, contexts)[0])
    prompts = contexts._replace(ys=2 * model.read_out(embedded) - 1)
    own, final = lens.read_outs(model, prompts, 100)
    assert own.shape == final.shape == (2, 100, 7)
    # Float32 states, and as much again for the fit.
    np.testing.assert_allclose(own[0], prompts.ys[:100], atol=1e-4)
    np.testing.assert_allclose(2 * final[0] - 1, prompts.ys[:100], atol=1e-5)
    predicted = inference.predictions(model, prompts)[:100]
    np.testing.assert_allclose(final[1], predicted, atol=1e-5)
