"""What any learner is asked is checked once, in front of what is compiled."""

import jax
import numpy as np
import pytest
from flax import nnx

from icl import LinearRegression, ModelConfig, Prompts, Transformer, inference
from icl.baselines import LeastSquares

TASK = LinearRegression(dim=2, length=3)
PROMPTS = TASK.sample(jax.random.key(0), batch=4)
QUERIES = np.zeros((4, 3, 5, 2))
NAN = PROMPTS._replace(ys=np.full((4, 3), np.nan))

pytestmark = pytest.mark.usefixtures("untyped")


@pytest.fixture(scope="module")
def model():
    return Transformer(ModelConfig(layers=1, width=4), TASK.codec, rngs=nnx.Rngs(0))


def test_a_compiled_model_refuses_what_the_model_itself_does(model):
    for use in (
        lambda batch: model(batch),
        lambda batch: inference.predictions(model, batch),
        lambda batch: inference.hidden_states(model, batch),
        lambda batch: inference.predictions_at(model, batch, QUERIES),
    ):
        with pytest.raises(ValueError, match=r"^ys must be finite, but 12 of its 12"):
            use(NAN)
    states = np.full((4, 5, 4), np.inf)
    with pytest.raises(ValueError, match=r"^hidden must be finite"):
        inference.resumed(model, states, 0)


def test_what_is_no_learner_is_refused():
    with pytest.raises(ValueError, match=r"got the class; write LeastSquares\(\)"):
        inference.predictions(LeastSquares, PROMPTS)
    with pytest.raises(ValueError, match=r"predictions of learner must be .* got None"):
        inference.predictions(lambda prompts: None, PROMPTS)
    with pytest.raises(ValueError, match="learner with a method predict_at, got "):
        inference.predictions_at(len, PROMPTS, QUERIES)


@pytest.mark.parametrize("batch", [None, {}, 3, "text", [np.zeros(2), np.zeros(3)]])
def test_what_is_no_batch_is_refused(batch):
    for use in (inference.slices, lambda batch: inference.first(batch, 2)):
        with pytest.raises(ValueError, match="must be a batch, arrays with the same"):
            use(batch)


def test_prompts_of_any_library_are_taken():
    """Nested lists are arrays too, and no tree whose leaves are sliced."""
    xs, ys = np.asarray(PROMPTS.xs), np.asarray(PROMPTS.ys)
    wanted = inference.predictions(LeastSquares(), PROMPTS)
    lists = Prompts(xs.tolist(), ys.tolist(), np.asarray(PROMPTS.weights).tolist())
    found = inference.predictions(LeastSquares(), lists)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(
        inference.true_labels(lists), inference.true_labels(PROMPTS)
    )
