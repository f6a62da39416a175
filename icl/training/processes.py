"""How does one training run spread over several processes, on one host or on many?

Each process calls `jax.distributed.initialize()` first, then `train` with the same
arguments. By default the run takes all devices of all processes, and then

    all         compare settings and keys, and stop if they differ
    process 0   reads the newest checkpoint and hands it to the others
    all         compute the same steps, each on its share of the batch
    process 0   writes the checkpoints, while the others wait
    all         save and stop if Ctrl-C was pressed at any of them
    all         return the same model

so that only process 0 needs the disk. Every process has all that the host looks at
(losses, the state that is saved), and so all decide alike. A single process is the
first, and none of this has an effect.

JAX watches over the processes: one that dies takes the others down, at once if it is
process 0 and after 100 s without a sign of life otherwise. On CPU, where processes talk
through gloo, they must arrive at the first step within 30 s of each other.
"""

import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Sharding

from icl import checks

PADDED = 1024  # bytes; messages have few sizes, because each size is compiled


class OtherProcessError(RuntimeError):
    """The error that process 0 failed in what it does for all, with the reason."""


def is_first() -> bool:
    """Whether this process reads, writes and speaks for all."""
    return jax.process_index() == 0


def agreed(value: Any) -> Any:
    """Returns, in every process, the value in process 0. All must call this.

    Args:
        value: JSON, which may hold NumPy's arrays; tuples come back as lists.
    """
    if jax.process_count() == 1:
        return value
    message = np.frombuffer(_packed(value) if is_first() else b"", np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.uint32(message.size)))
    padded = np.zeros(-(-size // PADDED) * PADDED, np.uint8)
    padded[: message.size] = message
    return _unpacked(multihost_utils.broadcast_one_to_all(padded)[:size].tobytes())


def by_first(action: Callable[[], Any]) -> Any:
    """Calls `action` in process 0 only, and returns in all what it returned there.

    All processes must call this. What it returns must be a value for `agreed`.

    Raises:
        Exception: the error that `action` raised, in process 0.
        OtherProcessError: in the other processes, if it raised one.
    """
    result = error = None
    if is_first():
        try:
            result = action()
        except Exception as caught:
            error = caught
    result, stopped = agreed((result, error and f"{type(error).__name__}: {error}"))
    if error is not None:
        raise error
    if stopped is not None:
        raise OtherProcessError(f"Process 0 stopped: {stopped}")
    return result


def any_of(flag: bool) -> bool:
    """Returns whether `flag` is true in some process. All must call this."""
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def check_alike(about: Mapping[str, Any]) -> None:
    """Refuses, in every process, values that are not the same in all.

    All processes must call this.

    Raises:
        ValueError: `about`, of JSON values, differs from that of process 0 somewhere.
    """
    apart = checks.differences(agreed(about), about)
    if any_of(bool(apart)):
        where = "; ".join(apart) or "this is process 0, and another differs from it"
        raise ValueError(f"All processes of a run must train the same, but: {where}.")


def on_host(tree: Any) -> Any:
    """Returns all of a pytree's arrays as NumPy's. All processes must call this."""

    def fetch(leaf: Any) -> np.ndarray:
        if isinstance(leaf, jax.Array) and not (
            leaf.is_fully_addressable or leaf.is_fully_replicated
        ):
            return multihost_utils.process_allgather(leaf, tiled=True)
        return np.asarray(leaf)

    return jax.tree.map(fetch, tree)


def place(tree: Any, sharding: Sharding) -> Any:
    """Puts the arrays of a pytree, which every process has whole, on devices."""

    def put(leaf: Any) -> jax.Array:
        array = np.asarray(leaf)
        return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)

    return jax.tree.map(put, tree)


def chosen(
    devices: int | Sequence[jax.Device] | None,
    what: str,
    size: int,
    most: int | None = None,
) -> tuple[jax.Device, ...]:
    """Returns the devices of a run: a number of each process, or those given.

    Args:
        devices: the devices as for `train`; None takes as many of each process as
            divide `size`.
        what: what is split over them, in words.
        size: the length of what is split.
        most: the largest number of each process, if `devices` is None.

    Raises:
        ValueError: a process has fewer devices; there are none, or one is given twice;
            some processes have none; or the size does not divide over them.
    """
    if devices is None:
        share = max(1, size // jax.process_count())
        there = jax.local_device_count()
        devices = most_that_divide(share, min(there, most or there))
    if isinstance(devices, Sequence):
        found = _of_every_process(devices)
    else:
        found = of_each(devices)
    check_divides(found, what, size)
    return found


def of_each(number: int) -> tuple[jax.Device, ...]:
    """Returns this number of devices of each process.

    Raises:
        ValueError: a process has fewer, or the number is below 1.
    """
    checks.positive_int("devices", number)
    own = _by_process()
    there = min(map(len, own.values()))
    if number > there:
        platform = jax.devices()[0].platform
        raise ValueError(
            f"{number} devices were asked for, but there {_are(there)} of platform "
            f"{platform!r} in a process; ask for at most that many, or on CPU set "
            "jax_num_cpu_devices before JAX starts."
        )
    return tuple(device for each in own.values() for device in each[:number])


def _of_every_process(devices: Sequence[jax.Device]) -> tuple[jax.Device, ...]:
    for device in devices:
        checks.of_kind("devices", device, jax.Device, "a number or devices of JAX")
    if not devices or len(set(devices)) < len(devices):
        raise ValueError(
            f"devices must be at least one device, each once, got {list(devices)}."
        )
    given, own = {device.process_index for device in devices}, _by_process()
    if given != own.keys():
        raise ValueError(
            f"devices must be of every process that takes part, 0 to {len(own) - 1}, "
            f"got some of {sorted(given)} only; take them from jax.devices()."
        )
    return tuple(devices)


def _by_process() -> dict[int, list[jax.Device]]:
    own: dict[int, list[jax.Device]] = {}
    for device in jax.devices():
        own.setdefault(device.process_index, []).append(device)
    return own


def _packed(value: Any) -> bytes:
    arrays: list[np.ndarray] = []

    def put_aside(array: np.ndarray) -> dict[str, int]:
        arrays.append(array)
        return {"array": len(arrays)}

    text, buffer = json.dumps(value, default=put_aside), io.BytesIO()
    np.savez(buffer, np.array(text), *arrays)
    return buffer.getvalue()


def _unpacked(message: bytes) -> Any:
    with np.load(io.BytesIO(message), allow_pickle=False) as parts:

        def put_back(found: dict[str, Any]) -> Any:
            aside = found.keys() == {"array"}
            return parts[f"arr_{found['array']}"] if aside else found

        return json.loads(parts["arr_0"].item(), object_hook=put_back)


def _are(number: int) -> str:
    return "is only 1" if number == 1 else f"are only {number}"


def check_divides(devices: Sequence[jax.Device], what: str, size: int) -> None:
    """Refuses a size that does not divide over the devices, and names one that does."""
    count = len(devices)
    if size % count:
        less = size - size % count
        sizes = f"{less} or {less + count}" if less else f"{count}"
        own = (
            jax.process_count()
        )  # a number of devices of each process is that many times as many in all
        fits = [n for n in range(own, count, own) if size % n == 0]
        fewer = f", or {size} on {fits[-1]}" if fits else ""
        cores = os.cpu_count() or 1
        virtual = devices[0].platform == "cpu" and count > cores
        there = f" This machine has {cores} cores." if virtual else ""
        raise ValueError(
            f"The {what} must divide over the devices, got {size} on {count}; {sizes} "
            f"would{fewer}.{there}"
        )


def most_that_divide(size: int, count: int) -> int:
    """Returns the largest number up to `count` that divides `size`."""
    return max(n for n in range(1, count + 1) if size % n == 0)
