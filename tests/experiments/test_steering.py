"""Edits of hidden states, on models of which it is known what they use."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from flax import nnx

from experiments.akyurek2023 import steering, steering_claims, steering_measure
from experiments.engine.figures.changes import changed
from icl import LinearRegression, Prompts, inference
from icl.codecs.pairs import encode
from icl.model.transformer import Output
from probes.interventions import movement

DIM, PAIRS = 2, 4
TASK = LinearRegression(dim=DIM, length=PAIRS + 1)
EDITED = 300


class Known(nnx.Module):
    """Holds w at the last example in layer 1, and w.x at x in layer 2.

    The latter from what stands in layer 1: the weights, or the labels once more.
    """

    def __init__(self, uses):
        self.uses = uses

    def __call__(self, prompts: Prompts) -> Output:
        hidden = jnp.pad(encode(prompts), ((0, 0), (0, 0), (0, DIM)))
        return self.resume(hidden, 0)

    def resume(self, hidden, layer) -> Output:
        states = [hidden]
        if layer < 1:
            w = least_squares(states[-1])
            states.append(states[-1].at[:, -2, DIM + 1 :].set(w))
        if layer < 2:
            last = states[-1]
            held = last[:, -2, DIM + 1 :]
            w = held if self.uses == "weights" else least_squares(last)
            said = jnp.sum(w * last[:, -1, 1 : DIM + 1], axis=-1)
            states.append(last.at[:, -1, 0].set(said))
        return Output(states[-1][:, ::2, 0], jnp.stack(states))


def least_squares(tokens):
    """The weights that fit the examples of a sequence."""
    xs, ys = tokens[:, :-1:2, 1 : DIM + 1], tokens[:, 1::2, 0]
    return jnp.einsum("pdi,pi->pd", jnp.linalg.pinv(xs), ys)


@pytest.fixture(scope="module")
def measured():
    prompts, _ = inference.sample(TASK, EDITED + 700, seed=0)
    return {
        uses: steering_measure.measure(Known(uses), prompts, EDITED, 0)
        .expand_dims(context=[PAIRS])
        .assign_attrs(
            dim=DIM, seed=np.int64(0), resamples=1_000
        )  # as attributes are read from disk
        for uses in ("weights", "labels")
    }


def means(part):
    return steering_claims.resampled(part).means


def regression(part, predictions):
    """What a user's own regression says: `probes.interventions.movement`."""
    before, after, wanted = (
        array.transpose("prompt", ...).values
        for array in xr.broadcast(part.untouched, predictions, part.wanted)
    )
    return movement(before, after, wanted)


@pytest.mark.parametrize("uses", steering_measure.QUANTITIES)
def test_the_donors_states_decide_until_they_were_read(measured, uses):
    """At layers 0 and 1 all comes from them, and in layer 2 nothing."""
    part = measured[uses].isel(context=0)
    swap = regression(part, part.swapped)
    # Float32 least squares of four examples, some of them nearly collinear.
    np.testing.assert_allclose(swap.toward, [1, 1, 0], atol=1e-3)
    np.testing.assert_allclose(swap.kept, [0, 0, 1], atol=1e-3)
    # The same numbers from means of products; the predictions are float32.
    by_means = steering_claims.swapped(means(part))
    np.testing.assert_allclose(by_means, swap.toward, atol=1e-5)
    for edit in part.edit.values:
        for quantity in part.quantity.values:
            last = part.prediction.sel(quantity=quantity, edit=edit, layer=2)
            # The same products in float32, compiled or not.
            np.testing.assert_allclose(last, part.untouched, atol=1e-5)


def test_probes_read_what_is_there(measured):
    part = measured["weights"].isel(context=0)
    # Ridge shrinks little where features determine the target.
    np.testing.assert_allclose(part.r2.sel(quantity="labels"), 1, atol=1e-3)
    np.testing.assert_allclose(part.r2.sel(quantity="weights")[1:], 1, atol=1e-3)
    # Weights are no linear function of the tokens, nor is w.x of w at random x.
    assert part.r2.sel(quantity="weights", layer=0) < 0.1
    assert (part.r2_at_x < 0.1).all()
    # Cov(w, X'y) = n I and Var(X'y) = n (n + d + 1) I; 175 prompts know R2 within 0.1.
    assert part.r2_of_moments == pytest.approx(PAIRS / (PAIRS + DIM + 1), abs=0.15)


@pytest.mark.parametrize("uses", steering_measure.QUANTITIES)
def test_predictions_follow_what_is_used(measured, uses):
    part = measured[uses].isel(context=0)
    moved = steering_claims.moved(means(part)).sel(edit="write")
    moves = {name: moved.sel(quantity=name) for name in steering_measure.QUANTITIES}
    for name, by_means in moves.items():
        after = part.prediction.sel(quantity=name, edit="write")
        # The same regression; predictions are float32.
        expected = regression(part, after).toward
        np.testing.assert_allclose(by_means, expected, atol=1e-5)
    follows = {"weights": [0, 1], "labels": [1, 0]}  # of each quantity in layer 1
    weights, labels = follows[uses]
    # Covariances between features, from 700 prompts, are off by about 1/26, and the
    # least change takes them for real.
    assert moves["labels"][0] == pytest.approx(1, abs=0.15)
    assert moves["weights"][1] == pytest.approx(1 - weights, abs=0.15)
    assert moves["labels"][1] == pytest.approx(1 - labels, abs=0.15)


@pytest.mark.parametrize("uses", steering_measure.QUANTITIES)
def test_erasing_what_is_used_leaves_nothing(measured, uses):
    part = measured[uses].isel(context=0)
    found = means(part)
    assert found.error_untouched < 1e-6  # float32
    # Whoever predicts 0 errs by E (w.x)^2 / d = 1; 300 prompts know it within 0.3.
    erased = found.error.sel(edit="erase")
    assert erased.sel(quantity="labels", layer=0) == pytest.approx(1, abs=0.3)
    assert erased.sel(quantity=uses, layer=1) == pytest.approx(1, abs=0.3)
    (other,) = set(steering_measure.QUANTITIES) - {uses}
    assert erased.sel(quantity=other, layer=1) < 0.2


def test_random_changes_are_as_large(measured):
    part = measured["weights"]
    for edit in ("write", "erase"):
        size, control = (part["size"].sel(edit=e) for e in (edit, f"{edit}, random"))
        np.testing.assert_allclose(size, control, rtol=1e-4)  # float32 states
    assert (part["size"].sel(quantity="weights", layer=1) > 0.1).all()


@pytest.mark.parametrize("uses", steering_measure.QUANTITIES)
def test_claims_tell_what_is_used(measured, uses):
    found = {claim.id: claim.verdict for claim in steering.claims(measured[uses])}
    of_weights = "holds" if uses == "weights" else "fails"
    assert found["steering.1"] == found["steering.3"] == of_weights
    # In layer 0. (Not steering.4: exact least squares from four examples suffers as
    # badly from random changes of x.)
    assert found["steering.2"] == "holds"
    assert uses == "weights" or found["steering.5"] == "holds"


def test_what_cannot_be_read_is_not_judged(measured):
    dataset = measured["weights"].assign(r2=0 * measured["weights"].r2)
    claims = steering.claims(dataset)
    assert {claim.verdict for claim in claims[:4]} == {"undecided"}
    assert all("In no layer" in claim.note for claim in claims[:4])
    steering.plot(dataset)


@pytest.mark.parametrize(
    ("change", "said"), [({"length": 2}, "above"), ({"fixed_weights": 1.0}, "None")]
)
def test_tasks_that_do_not_serve_are_refused(change, said):
    tiny = steering.PRESETS["tiny"]
    with pytest.raises(ValueError, match=said):
        changed(tiny, {f"task.{name}": value for name, value in change.items()})
