"""A training step of a transformer on linear regression: ours, and GPT-2's in PyTorch.

Theirs is what the public scripts of this field do: `transformers.GPT2Model` behind a
linear read-in, `torch.optim.Adam` and a fresh batch every step. Nothing here imports a
framework before it is needed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from joblib import cpu_count

from benchmarks.measure import timed

if TYPE_CHECKING:
    from icl.sweeps.setting import Setting
    from icl.training.config import ProductPrecision

Steps = Callable[[int], None]
"""Makes that many steps and waits for them."""

TURN_SECONDS = 1.5
"""How long a turn is to be; a step, if that takes longer."""
MOST_STEPS = 100
"""A call: so many losses our program hands back at once."""


class Shape(NamedTuple):
    """What decides the cost of a step."""

    dim: int
    pairs: int
    layers: int
    width: int
    heads: int = 1
    batch: int = 64

    def __str__(self) -> str:
        heads = f"{self.heads} head{'s' if self.heads > 1 else ''}"
        return (
            f"d = {self.dim}, {self.pairs} pairs, {self.layers} x {self.width}, "
            f"{heads}, batch {self.batch}"
        )

    @classmethod
    def of(cls, setting: "Setting") -> "Shape":
        """That of a setting."""
        task, model = setting.task, setting.model
        sizes = (task.dim, task.length, model.layers, model.width, model.heads)
        return cls(*sizes, setting.train.batch)

    @property
    def setting(self) -> "Setting":
        """A setting of this shape, and of one step."""
        from icl import LinearRegression, ModelConfig, TrainConfig
        from icl.sweeps.setting import Setting

        return Setting(
            LinearRegression(self.dim, self.pairs),
            ModelConfig(self.layers, self.width, self.heads),
            TrainConfig(steps=1, batch=self.batch),
        )

    @property
    def flops(self) -> float:
        """Of the matrix products of one step; elementwise work is not counted."""
        return self.setting.cost


def seconds_per_step(run: Steps) -> Callable[[], float]:
    """A side: the mean over as many steps as a turn takes; compiled and warmed up."""
    run(1)
    run(1)
    count = round(TURN_SECONDS / timed(run, 1)())
    count = min(max(count, 1), MOST_STEPS)
    turn = timed(run, count)
    return lambda: turn() / count


def ours(
    shape: Shape,
    members: int | None = None,
    devices: int | None = None,
    precision: "ProductPrecision" = "default",
) -> Steps:
    """Steps of `icl.train`, or of `train_ensemble`; up to `MOST_STEPS` a call.

    They run on so many devices, or on those that a command takes by default.
    """
    from dataclasses import replace

    import jax
    import jax.numpy as jnp
    import numpy as np

    from icl.sweeps.runtime import set_up_runtime
    from icl.training.compiled import (
        compile_program,
        devices_of,
        program_key,
        scales_of,
    )

    set_up_runtime(Path("results"), devices=devices)
    task, model, config = shape.setting.task, shape.setting.model, shape.setting.train
    config = replace(config, precision=precision)
    key, scales = jax.random.key(0), scales_of(task, config)
    if members is not None:
        key = jax.random.split(key, members)
        scales = jax.tree.map(lambda number: jnp.full(members, number), scales)
    split = devices_of(devices, task.codec, config, members)
    program = compile_program(program_key(task, model, config), split, members)
    state: Any = program.init(key)

    def run(steps: int) -> None:
        nonlocal state
        state, losses, _ = program.advance(state, key, scales, 0, steps)
        np.asarray(losses)

    return run


def theirs(shape: Shape, way: str, precision: str = "tensorfloat32") -> Steps:
    """Steps of GPT-2: "eager" or "sdpa" attention, or "compile" (of sdpa).

    The precision is that of products on a GPU; bfloat16 is PyTorch's autocast.
    """
    import torch
    from transformers import GPT2Config, GPT2Model

    device = set_up_torch(precision)
    config = GPT2Config(
        n_embd=shape.width,
        n_layer=shape.layers,
        n_head=shape.heads,
        n_positions=2 * shape.pairs,
        vocab_size=1,
        bos_token_id=None,
        eos_token_id=None,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        attn_implementation="eager" if way == "eager" else "sdpa",
    )
    body = GPT2Model(config)
    read_in = torch.nn.Linear(shape.dim + 1, shape.width)
    head = torch.nn.Linear(shape.width, 1)
    parts = torch.nn.ModuleList([read_in, body, head]).to(device)
    adam = torch.optim.Adam(parts.parameters(), lr=1e-3)

    def loss_of(tokens: Any, ys: Any) -> Any:
        states = body(inputs_embeds=read_in(tokens)).last_hidden_state
        return ((head(states)[:, ::2, 0] - ys) ** 2).mean()

    if way == "compile":
        loss_of = torch.compile(loss_of)

    def step() -> None:
        batch, pairs, dim = shape.batch, shape.pairs, shape.dim
        xs = torch.randn(batch, pairs, dim, device=device)
        ys = torch.einsum("bld,bd->bl", xs, torch.randn(batch, dim, device=device))
        tokens = torch.zeros(batch, 2 * pairs, dim + 1, device=device)
        tokens[:, ::2, 1:], tokens[:, 1::2, 0] = xs, ys
        rounded = device == "cuda" and precision == "bfloat16"
        with torch.autocast(device, torch.bfloat16, enabled=rounded):
            loss = loss_of(tokens[:, :-1], ys)
        adam.zero_grad()
        loss.backward()
        adam.step()

    def run(steps: int) -> None:
        for _ in range(steps):
            step()
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def set_up_torch(precision: str = "tensorfloat32") -> str:
    """PyTorch on the same device and threads as JAX; returns the device."""
    import torch

    torch.set_num_threads(cpu_count())
    if torch.cuda.is_available():
        # TensorFloat-32 is "high" in PyTorch, and what JAX does by default.
        name = "highest" if precision == "float32" else "high"
        torch.set_float32_matmul_precision(name)
        return "cuda"
    return "cpu"
