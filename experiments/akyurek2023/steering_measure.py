"""What does a model predict once the hidden states of its examples were edited?

A prompt is n examples and a new x, the last token. At one layer the states of all
tokens of the examples are edited together, as one vector of tokens * width features;
the state at x is left alone, and the model goes on from there. Every edited prompt has
another of them as donor. What is written are the donor's weights w', or the labels that
w' gives at the prompt's own inputs, which say the same by other means.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from icl import Prompts, Transformer, inference
from probes import probe_grid
from probes.controls import donors
from probes.interventions import fit_eraser, random_change, swap, write

QUANTITIES = ("weights", "labels")


def measure(model: Transformer, prompts: Prompts, edited: int, seed: int) -> xr.Dataset:
    """What a model predicts at the last x once the states before it were edited.

    Args:
        model: the transformer.
        prompts: the first `edited` are edited; probes are fitted to the others.
        edited: number of prompts to edit.
        seed: of the donors and the random directions.

    Returns:
        A Dataset with

        - `prediction` over (quantity, edit, layer, prompt), edits as in `edits`;
        - `swapped` over (layer, prompt): the prediction from the donor's states;
        - `size` over (quantity, edit, layer): root mean square of the change's norm, in
          units of the swap's;
        - `r2` over (quantity, layer): held-out R2 of the probe;
        - `r2_at_x` over (layer,): of one that reads the weights at the last x;
        - `r2_of_moments`: of one that reads them in X'y instead of hidden states;
        - `untouched`, `wanted`, `label` over (prompt,): the prediction without an
          edit, what the donor's weights say at the same x, and the truth.
    """
    hidden = inference.hidden_states(model, prompts)
    xs, ys, weights = (np.asarray(array, float) for array in prompts[:3])
    given = donors(np.arange(edited), seed)
    values = {"weights": weights, "labels": ys[:, :-1]}
    wanted = np.einsum("pid,pd->pi", xs[:edited], weights[given])
    written = {"weights": weights[given], "labels": wanted[:, :-1]}
    predicted, swapped, sizes, scores = [], [], [], []
    for layer, state in enumerate(hidden):
        examples = state[:, :-1].reshape(len(state), -1)
        here, fit = np.split(examples, [edited])
        targets = {name: value[edited:] for name, value in values.items()}
        found, r2 = edits(here, fit, targets, written, seed + layer)
        changed = np.stack([*found.values(), swap(here[:, None], given)[:, 0]])
        tokens = changed.reshape(-1, *state[0, :-1].shape)
        query = np.tile(state[:edited, -1:], (len(changed), 1, 1))
        outputs = inference.resumed(model, np.hstack([tokens, query]), layer)
        *after, last = outputs.reshape(len(changed), edited)
        change = (changed - here).astype(float)
        norms = np.sqrt((change**2).sum(axis=-1).mean(axis=-1))
        predicted.append(after)
        swapped.append(last)
        sizes.append(norms[:-1] / norms[-1])
        scores.append(r2)
    moments = np.einsum("pid,pi->pd", xs[:, :-1], ys[:, :-1])
    fitted = slice(edited, None)
    at_x = _readable(hidden[:, fitted, -1:], weights[fitted])
    of_moments = _readable(moments[None, fitted, None], weights[fitted])
    names = list(dict.fromkeys(edit for _, edit in found))
    shape = (len(hidden), len(QUANTITIES), len(names))
    by_edit = ("layer", "quantity", "edit")
    before = inference.predictions(model, prompts)[:edited, -1]
    return xr.Dataset(
        {
            "prediction": (
                (*by_edit, "prompt"),
                np.reshape(predicted, (*shape, edited)),
            ),
            "swapped": (("layer", "prompt"), np.stack(swapped)),
            "size": (by_edit, np.reshape(sizes, shape)),
            "r2": (("layer", "quantity"), scores),
            "r2_at_x": ("layer", at_x),
            "r2_of_moments": of_moments[0],
            "untouched": ("prompt", before),
            "wanted": ("prompt", wanted[:, -1]),
            "label": ("prompt", (weights[:edited] * xs[:edited, -1]).sum(axis=-1)),
        },
        coords={
            "layer": np.arange(len(hidden)),
            "quantity": list(QUANTITIES),
            "edit": names,
        },
    )


def _readable(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The R2 of linear probes of the weights; features are (layers, prompts, 1, k)."""
    grid = probe_grid(features, {"weights": weights}, control=False, resamples=1)
    return grid.r2.values[:, 0, 0]


def edits(
    states: np.ndarray,
    fit: np.ndarray,
    targets: Mapping[str, np.ndarray],
    values: Mapping[str, np.ndarray],
    seed: int,
) -> tuple[dict[tuple[str, str], np.ndarray], list[float]]:
    """Edited states by quantity and edit, and the R2 of each quantity's probe.

    Args:
        states: to be edited, (prompts, features).
        fit: states to which probes and erasers are fitted, (others, features).
        targets: what these hold, by quantity, (others, q).
        values: what to write, by quantity, (prompts, q).
        seed: of the probes' split and the random directions.
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
