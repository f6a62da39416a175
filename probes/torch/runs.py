"""Runs of a PyTorch model with hooks on its blocks, one batch of prompts at a time.

`Runs.record` takes the residual stream out, and `Runs.read` puts another one in and
returns what the model makes of it. Hooks are removed and modes restored whatever
happens.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float32

from probes import checks
from probes.arrays import is_jax, native, real
from probes.torch.hooks import (
    Visits,
    prompt_count,
    rows_of,
    stream_argument,
    stream_output,
    with_argument,
    with_output,
)
from probes.torch.modules import EMPTY, blocks_of, check_loaded, import_torch


class Runs:
    """A model, its blocks by name, and its inputs, ready to be run with hooks."""

    def __init__(self, model: Any, inputs: Any, blocks: Any):
        torch = import_torch()
        if not isinstance(model, torch.nn.Module):
            raise ValueError(
                f"model must be a torch.nn.Module, got a {type(model).__name__}."
            )
        check_loaded(model)
        self.model, self.blocks = model, blocks_of(model, blocks)
        self.by_name = isinstance(inputs, Mapping)
        several = inputs if isinstance(inputs, Mapping | tuple) else (inputs,)
        named = dict(inputs if isinstance(several, Mapping) else enumerate(several))
        like = next(iter(model.parameters()), None)
        self.dtype = getattr(like, "dtype", None)
        held = (each.device for each in model.parameters() if not each.is_meta)
        self.device = next(held, None)
        self.inputs = {name: _tensor(each, self.dtype) for name, each in named.items()}
        for each in self.inputs.values():
            _refuse_empty("inputs", each)
        self.prompts = prompt_count(self.inputs, _has_prompts)

    def record(self, rows: slice) -> list[np.ndarray]:
        """Returns the stream before each block, and behind the last."""
        visits, found = Visits(list(self.blocks)), []

        def entering(place: int) -> Callable[..., None]:
            def hook(_: Any, args: Any, kwargs: Any) -> None:
                visits.enter(place)
                which = stream_argument(args, kwargs, _is_stream)
                found.append(_float32(kwargs[which] if which in kwargs else args[0]))

            return hook

        def leaving(_module: Any, _args: Any, output: Any) -> None:
            found.append(_float32(stream_output(output, _is_stream)))

        modules = list(self.blocks.values())
        with ExitStack() as hooks:
            for place, module in enumerate(modules):
                handle = module.register_forward_pre_hook(
                    entering(place), with_kwargs=True
                )
                hooks.callback(handle.remove)
            hooks.callback(modules[-1].register_forward_hook(leaving).remove)
            self._run(rows)
        visits.finish()
        return found

    def read(
        self,
        rows: slice,
        read: Callable[[Any], Any] | None,
        *,
        layer: int | None = None,
        stream: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns what is read of the outputs, perhaps with another stream."""
        if layer is None or stream is None:
            return _read(self._run(rows), read, rows.stop - rows.start)
        name = list(self.blocks)[min(layer, len(self.blocks) - 1)]
        visits = Visits([name])

        def entering(_: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
            visits.enter(0)
            which = stream_argument(args, kwargs, _is_stream)
            old = kwargs[which] if which in kwargs else args[0]
            return with_argument(args, kwargs, which, _replacement(stream, old))

        def leaving(_module: Any, _args: Any, output: Any) -> Any:
            visits.enter(0)
            old = stream_output(output, _is_stream)
            return with_output(output, _replacement(stream, old))

        block = self.blocks[name]
        with ExitStack() as hooks:
            if layer < len(self.blocks):
                handle = block.register_forward_pre_hook(entering, with_kwargs=True)
            else:
                handle = block.register_forward_hook(leaving)
            hooks.callback(handle.remove)
            output = self._run(rows)
        visits.finish()
        return _read(output, read, rows.stop - rows.start)

    def _run(self, rows: slice) -> Any:
        """Calls the model on some prompts, in eval mode and without gradients."""
        some = rows_of(self.inputs, rows, _has_prompts)
        if self.device is not None:
            some = {n: _moved(each, self.device) for n, each in some.items()}
        with _evaluating(self.model), import_torch().no_grad():
            try:
                if self.by_name:
                    return self.model(**some)
                return self.model(*some.values())
            except RuntimeError as error:
                self._explain(some, error)
                raise

    def _explain(self, inputs: dict[Any, Any], error: RuntimeError) -> None:
        """Says so if the model failed on inputs of another precision than its own."""
        tensors = [each for each in inputs.values() if _has_prompts(each)]
        others = {each.dtype for each in tensors if each.is_floating_point()}
        others -= {self.dtype}
        if others and "dtype" in str(error):
            raise ValueError(
                f"the model fails on inputs of {others.pop()}, while its parameters "
                f"are {self.dtype}; give inputs.to({self.dtype})."
            ) from error


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Puts a model in eval mode, and each of its modules back into its own mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _is_stream(value: Any) -> bool:
    """Returns whether this may be a residual stream: (prompts, tokens, features).

    Raises:
        ValueError: it is a nested tensor, in which prompts have different lengths.
    """
    if not isinstance(value, import_torch().Tensor):
        return False
    if value.is_nested:
        raise ValueError(
            "the residual stream is a nested tensor, in which prompts have different "
            "lengths; PyTorch's TransformerEncoder makes one where it is given a mask, "
            "unless it is built with enable_nested_tensor=False."
        )
    return value.ndim == 3 and value.is_floating_point()


def _has_prompts(value: Any) -> bool:
    """Returns whether this is a tensor with a first axis."""
    return isinstance(value, import_torch().Tensor) and value.ndim > 0


def _tensor(value: Any, dtype: Any) -> Any:
    """Returns an array, or a list of numbers, as a tensor; anything else as it is.

    Floating-point numbers get the model's own dtype.
    """
    if not (isinstance(value, np.ndarray | list) or is_jax(value)):
        return value
    array = _native(real("inputs", value))
    if dtype is None or not dtype.is_floating_point or array.dtype.kind != "f":
        return import_torch().tensor(array)
    _refuse_too_large("inputs", array, dtype)
    return import_torch().tensor(array, dtype=dtype)


def _native(array: np.ndarray) -> np.ndarray:
    """Returns an array in a dtype and an order that PyTorch reads."""
    return np.asarray(native(array), order="C")


def _refuse_too_large(name: str, array: np.ndarray, dtype: Any) -> None:
    """Refuses finite numbers that a floating-point dtype of PyTorch does not hold."""
    sizes = np.abs(array)
    largest = float(sizes.max(where=np.isfinite(sizes), initial=0))
    if largest > import_torch().finfo(dtype).max:
        raise ValueError(
            f"{name} must hold numbers that {dtype}, in which the model computes, "
            f"holds, got some up to {largest:.3g}."
        )


def _moved(value: Any, device: Any) -> Any:
    """Returns a tensor on a device; anything else as it is."""
    return value.to(device) if isinstance(value, import_torch().Tensor) else value


def _replacement(stream: np.ndarray, old: Any) -> Any:
    """Returns what replaces a stream: on its device, in its dtype."""
    if stream.shape != tuple(old.shape):
        raise ValueError(
            "edited must have the (tokens, features) of the stream, "
            f"{tuple(old.shape[1:])}, got {stream.shape[1:]}."
        )
    array = _native(stream)
    _refuse_too_large("edited", array, old.dtype)
    return import_torch().tensor(array, dtype=old.dtype, device=old.device)


def _refuse_empty(name: str, value: Any) -> None:
    """Refuses a tensor that has a shape and no numbers."""
    if getattr(value, "is_meta", False):
        shape = tuple(value.shape)
        raise ValueError(f"{name} must hold numbers, got shape {shape} {EMPTY}.")


def _float32(tensor: Any) -> Float32[np.ndarray, "..."]:
    """Returns a copy of a tensor, which the model may overwrite, as float32."""
    torch = import_torch()
    _refuse_empty("what the model computes", tensor)
    if tensor.is_complex():
        raise ValueError(
            "what the model computes must be real numbers, got complex ones; give "
            "read=, such as lambda output: output.real."
        )
    found = tensor.detach().to("cpu", torch.float32, copy=True)
    if tensor.dtype == torch.float64 and (tensor.isfinite() & ~found.isfinite()).any():
        raise ValueError(
            "what the model computes must be numbers that float32 holds, got some up "
            f"to {float(tensor[tensor.isfinite()].abs().max()):.3g}."
        )
    return found.numpy()


def _read(output: Any, read: Callable[[Any], Any] | None, prompts: int) -> np.ndarray:
    """Returns what is wanted of the outputs for some prompts.

    Raises:
        ValueError: it is no tensor with one row for each prompt.
    """
    wanted = _main(output) if read is None else _applied(read, output)
    if not _has_prompts(wanted) or len(wanted) != prompts:
        got = getattr(wanted, "shape", type(wanted).__name__)
        raise ValueError(
            f"what is read must be a tensor with one row for each of the {prompts} "
            f"prompts of a batch, got {got} from a {type(output).__name__}; give "
            "read=, such as lambda output: output.logits."
        )
    return _float32(wanted)


def _applied(read: Callable[[Any], Any], output: Any) -> Any:
    """Returns what the user's function takes out of an output."""
    checks.of_kind("read", read, Callable, "a function of the model's output, or None")
    try:
        return read(output)
    except Exception as error:
        raise ValueError(
            f"read fails on the model's output, a {type(output).__name__}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _main(output: Any) -> Any:
    """Returns the main tensor of what a model returns."""
    for name in ("logits", "last_hidden_state"):
        if hasattr(output, name):
            return getattr(output, name)
    return output[0] if isinstance(output, tuple | list) and output else output
