"""A trained model that is explored, with the states that its probes are fitted to.

The prompts have a w of their own each, also for a model that saw the same w throughout
its training: such a model is a control, and shows here what it does not know.
"""

import dataclasses
import warnings
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float

from icl import (
    LinearRegression,
    Pairs,
    Prompts,
    Task,
    Trained,
    Transformer,
    inference,
    load,
    load_pretrained,
    token_contexts,
    token_names,
)
from icl.pretrained import available, configs
from icl.targets import moment, target_ceilings, target_values, true_weights
from probes import probe_grid, write

PROMPTS = 500
"""The number of prompts that probes are fitted to and tested on."""

SEED = 7
"""The seed of these prompts, which are none of those that the page shows."""


def shipped() -> list[str]:
    """Returns the names of the models in the package that read pairs (x, y)."""
    return [
        name for name, (task, *_) in configs().items() if isinstance(task.codec, Pairs)
    ]


def find(name: str) -> Trained:
    """Returns the model of a name that comes with the package, or of a folder or file.

    Raises:
        ValueError: the model does not read pairs (x, y).
        FileNotFoundError: there is no such model.
        CheckpointError: the folder or file cannot be read.
    """
    trained = load_pretrained(name) if name in available() else load(Path(name))
    if not isinstance(trained.task.codec, Pairs):
        raise ValueError(
            f"{name} must be a model of pairs (x, y), which can be drawn and moved, "
            f"and it reads the tokens of {type(trained.task).__name__}."
        )
    return trained


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model with the task whose prompts it is shown.

    Attributes:
        trained: the model as it was trained.
    """

    trained: Trained

    @property
    def model(self) -> Transformer:
        """The transformer."""
        return self.trained.model

    @cached_property
    def task(self) -> Task:
        """The task of its training, but with a w of its own for each prompt."""
        task = self.trained.task
        if isinstance(task, LinearRegression) and task.fixed_weights is not None:
            return dataclasses.replace(task, fixed_weights=None)
        return task

    @property
    def attends(self) -> bool:
        """Whether the body has attention, whose patterns can be shown."""
        return self.model.config.body == "attention"

    def draw(self, seed: int) -> Prompts:
        """Draws one prompt."""
        return inference.sample(self.task, 1, seed, whole=True)[0]

    @cached_property
    def background(self) -> tuple[Prompts, Float[np.ndarray, "layers batch tokens m"]]:
        """Prompts for probes, and the model's states on them."""
        prompts, _ = inference.sample(self.task, PROMPTS, SEED, whole=True)
        return prompts, inference.hidden_states(self.model, prompts)

    def lens(self, prompts: Prompts) -> Float[np.ndarray, "layers length"]:
        """Returns what each layer would predict in the first prompt, were it the last.

        Layer 0 is the embedding.
        """
        hidden = inference.hidden_states(self.model, prompts)
        return np.asarray(self.model.read_out(jnp.asarray(hidden)))[:, 0]

    def pattern(self, prompts: Prompts, layer: int, head: int) -> np.ndarray:
        """Returns how much each token looks at each, (tokens, tokens)."""
        return np.asarray(self.model.patterns(prompts))[layer, head, 0]

    @cached_property
    def probed(self) -> xr.Dataset:
        """The grid of what linear probes read, for every layer and token."""
        prompts, hidden = self.background
        length = prompts.ys.shape[1]
        targets, ceilings = _targets(self.task, prompts)
        with warnings.catch_warnings():  # X'y is 0 at x1, before the first pair
            warnings.filterwarnings("ignore", "Targets that do not vary")
            return probe_grid(
                hidden,
                targets,
                contexts=token_contexts(length),
                tokens=token_names(length),
                ceilings=ceilings,
                groups=np.arange(len(prompts.ys)),
                resamples=50,
                progress=False,
            )

    def edited(
        self, prompts: Prompts, *, layer: int, example: int, label: float
    ) -> Float[np.ndarray, " length"]:
        """Returns the predictions after another label was written into the states.

        A probe that reads the label of the example at the token of its y is fitted to
        other prompts; the state at that token is changed, as little as can be, so that
        the probe reads the new label; and the model goes on from there.

        Args:
            prompts: the first of them is edited; its labels stay as they are.
            layer: the layer whose states are edited, from 0, the embedding.
            example: the index of the pair.
            label: what the probe is to read.
        """
        others, hidden = self.background
        token = 2 * example + 1
        states = hidden[layer][:, token]
        cell = probe_grid(
            states[None, :, None],
            {"y": np.asarray(others.ys)[:, [example]]},
            groups=np.arange(len(states)),
            control=False,
            resamples=10,
            coefficients=True,
            progress=False,
        ).sel(layer=0, token=0, target="y")
        here = np.array(inference.hidden_states(self.model, prompts)[layer][:1])
        here[:, token] = write(
            here[:, token],
            cell.coef.values,
            cell.intercept.values,
            np.array([[label]]),
            covariance=np.cov(states.T),
        )
        with jax.default_matmul_precision("highest"):
            output = self.model.resume(jnp.asarray(here), layer)
        return np.asarray(output.predictions)[0]


def _targets(
    task: Task, prompts: Prompts
) -> tuple[dict[str, np.ndarray], Mapping[str, np.ndarray]]:
    """Returns what probes read, and how much of it can be known where that is known."""
    ys = np.asarray(prompts.ys)
    labels = np.repeat(ys, 2, axis=1)[:, :-1, None]  # each pair's at its two tokens
    if not isinstance(task, LinearRegression):
        return {"y of the same pair": labels}, {}
    named = [true_weights(), moment()]
    targets = {**target_values(named, prompts), "y of the same pair": labels}
    scales = {"noise_std": task.noise_std, "weight_std": task.weight_std}
    if task != LinearRegression(task.dim, task.length, **scales):
        return targets, {}  # other laws of x, w or the noise have other ceilings
    ceilings = target_ceilings(named, prompts, **scales)
    signal = task.dim * task.weight_std**2
    at_x = ceilings["w"] * signal / (signal + task.noise_std**2)
    both = np.stack([at_x, np.ones_like(at_x)], axis=1).ravel()[:-1]
    return targets, {**ceilings, "y of the same pair": both}
