"""What does a model predict once the hidden states of its examples have been edited?

A prompt consists of n examples and a new x, the last token. At one layer the states of
all tokens of the examples are edited together, as one vector of tokens * width
features; the state at x is left alone, and the model goes on from there. Every edited
prompt has another edited prompt as its donor. Two quantities are written: the donor's
weights w', or the labels that w' gives at the prompt's own inputs, which say the same
by other means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from icl import Prompts, Transformer, inference
from probes import probe_grid
from probes.controls import donors
from probes.interventions import fit_eraser, random_change, swap, write

QUANTITIES = ("weights", "labels")
"""What probes read in the states, and what is written there."""


@dataclass(frozen=True)
class Donation:
    """What every edited prompt takes from its donor.

    Attributes:
        donors: the index of each prompt's donor.
        held: what the prompts hold, by quantity, those for fitting included.
        written: what to write into the edited prompts, by quantity.
        wanted: the labels of the donor's weights at the prompt's own inputs, the last
            of them at the new x.
    """

    donors: np.ndarray
    held: Mapping[str, np.ndarray]
    written: Mapping[str, np.ndarray]
    wanted: np.ndarray


@dataclass(frozen=True)
class LayerEdits:
    """What came of all edits of one layer.

    Attributes:
        names: the quantity and the edit, for each of `predictions` and `sizes`.
        predictions: at the last x after each edit, (edits, prompts).
        swapped: the predictions from the donor's states, (prompts,).
        sizes: of each change, in units of the swap's.
        r2: of the probe of each quantity.
    """

    names: list[tuple[str, str]]
    predictions: np.ndarray
    swapped: np.ndarray
    sizes: np.ndarray
    r2: list[float]


def measure(model: Transformer, prompts: Prompts, edited: int, seed: int) -> xr.Dataset:
    """Measures what a model predicts at the last x after edits of earlier states.

    Args:
        model: the transformer.
        prompts: the prompts; the first `edited` of them are edited, and probes are
            fitted to the others.
        edited: the number of prompts to edit.
        seed: the seed of the donors and of the random directions.

    Returns:
        A Dataset with

        - `prediction` over (quantity, edit, layer, prompt): the prediction after each
          of the edits that `edits` makes;
        - `swapped` over (layer, prompt): the prediction from the donor's states;
        - `size` over (quantity, edit, layer): the root mean square of the norm of the
          change, in units of the swap's;
        - `r2` over (quantity, layer): the held-out R2 of the probe;
        - `r2_at_x` over (layer,): that of a probe that reads the weights at the last x;
        - `r2_of_moments`: that of a probe that reads the weights in X'y;
        - `untouched`, `wanted`, `label` over (prompt,): the prediction without an
          edit, what the donor's weights say at the same x, and the truth.
    """
    hidden = inference.hidden_states(model, prompts)
    xs, ys, weights = (np.asarray(array, float) for array in prompts[:3])
    donation = _donation(xs, ys, weights, edited, seed)
    layers = [
        _edit_layer(model, state, layer, donation, seed + layer)
        for layer, state in enumerate(hidden)
    ]
    moments = np.einsum("pid,pi->pd", xs[:, :-1], ys[:, :-1])
    fitted = slice(edited, None)
    before = inference.predictions(model, prompts)[:edited, -1]
    return _of_layers(layers).assign(
        r2_at_x=("layer", _r2(hidden[:, fitted, -1:], weights[fitted])),
        r2_of_moments=_r2(moments[None, fitted, None], weights[fitted])[0],
        untouched=("prompt", before),
        wanted=("prompt", donation.wanted[:, -1]),
        label=("prompt", (weights[:edited] * xs[:edited, -1]).sum(axis=-1)),
    )


def _donation(
    xs: np.ndarray, ys: np.ndarray, weights: np.ndarray, edited: int, seed: int
) -> Donation:
    """Draws a donor for every edited prompt, and returns what it gives."""
    given = donors(np.arange(edited), seed)
    wanted = np.einsum("pid,pd->pi", xs[:edited], weights[given])
    return Donation(
        donors=given,
        held={"weights": weights, "labels": ys[:, :-1]},
        written={"weights": weights[given], "labels": wanted[:, :-1]},
        wanted=wanted,
    )


def _edit_layer(
    model: Transformer, state: np.ndarray, layer: int, donation: Donation, seed: int
) -> LayerEdits:
    """Edits the states of a layer, (prompts, tokens, width), and goes on from each."""
    edited = len(donation.donors)
    examples = state[:, :-1].reshape(len(state), -1)
    here, fit = np.split(examples, [edited])
    targets = {name: value[edited:] for name, value in donation.held.items()}
    found, r2 = edits(here, fit, targets, donation.written, seed)
    changed = np.stack([*found.values(), swap(here[:, None], donation.donors)[:, 0]])
    tokens = changed.reshape(-1, *state[0, :-1].shape)
    query = np.tile(state[:edited, -1:], (len(changed), 1, 1))
    outputs = inference.resumed(model, np.hstack([tokens, query]), layer)
    outputs = outputs.reshape(len(changed), edited)
    change = (changed - here).astype(float)
    norms = np.sqrt((change**2).sum(axis=-1).mean(axis=-1))
    sizes = norms[:-1] / norms[-1]
    return LayerEdits(list(found), outputs[:-1], outputs[-1], sizes, r2)


def _of_layers(layers: Sequence[LayerEdits]) -> xr.Dataset:
    """Returns the edits of all layers with their dimensions."""
    names = list(dict.fromkeys(edit for _, edit in layers[0].names))
    shape = (len(layers), len(QUANTITIES), len(names))
    by_edit = ("layer", "quantity", "edit")
    predictions = np.reshape([layer.predictions for layer in layers], (*shape, -1))
    return xr.Dataset(
        {
            "prediction": ((*by_edit, "prompt"), predictions),
            "swapped": (("layer", "prompt"), [layer.swapped for layer in layers]),
            "size": (by_edit, np.reshape([layer.sizes for layer in layers], shape)),
            "r2": (("layer", "quantity"), [layer.r2 for layer in layers]),
        },
        coords={
            "layer": np.arange(len(layers)),
            "quantity": list(QUANTITIES),
            "edit": names,
        },
    )


def _r2(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the R2 of linear probes of the weights by layer.

    Args:
        features: what the probes read, (layers, prompts, 1, features).
        weights: what they predict, (prompts, d).
    """
    grid = probe_grid(features, {"weights": weights}, control=False, resamples=1)
    return grid.r2.values[:, 0, 0]


def edits(
    states: np.ndarray,
    fit: np.ndarray,
    targets: Mapping[str, np.ndarray],
    values: Mapping[str, np.ndarray],
    seed: int,
) -> tuple[dict[tuple[str, str], np.ndarray], list[float]]:
    """Returns edited states by quantity and edit, and the R2 of each quantity's probe.

    Args:
        states: the states to edit, (prompts, features).
        fit: the states to which probes and erasers are fitted, (others, features).
        targets: what the latter hold, by quantity, (others, q).
        values: what to write, by quantity, (prompts, q).
        seed: the seed of the probes' split and of the random directions.
    """
    grid = probe_grid(
        fit[None, :, None],
        targets,
        control=False,
        coefficients=True,
        resamples=1,
        seed=seed,
    ).isel(layer=0, token=0)
    covariance = np.cov(fit.T)

    def as_large(edited: np.ndarray) -> np.ndarray:
        """Returns the states after a random change as large as that of an edit."""
        change = edited - states
        return states + random_change(change, seed=seed, covariance=covariance)

    found = {}
    for name, target in targets.items():
        probe = grid.sel(target=name).isel(coordinate=slice(target.shape[1]))
        reads = (probe.coef.values, probe.intercept.values, values[name])
        written = write(states, *reads, covariance=covariance)
        erased = fit_eraser(fit, target)(states)
        found[name, "write"] = written
        found[name, "write, random"] = as_large(written)
        found[name, "write, Euclidean"] = write(states, *reads)
        found[name, "erase"] = erased
        found[name, "erase, random"] = as_large(erased)
    return found, [float(grid.r2.sel(target=name)) for name in targets]
