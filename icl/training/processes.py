"""How does one training run spread over several processes, on one host or on many?

Each process calls `jax.distributed.initialize()` first, then `train` with the same
arguments. By default the run takes all devices of all processes, and then

    all         compare settings and keys, and stop if they differ
    process 0   reads the newest checkpoint and hands it to the others
    all         compute the same steps, each on its share of the batch
    process 0   writes the checkpoints, while the others wait
    all         save and stop if Ctrl-C was pressed at any of them
    all         return the same model

so that only process 0 needs the disk. What the host looks at (losses, the state that
is saved) is whole in every process, and so every process decides alike. With one
process, which is the first, all of this is nothing.

JAX watches over the processes: one that dies takes the others down, at once if it is
process 0 and after 100 s without a sign of life otherwise. On CPU, where processes talk
through gloo, they must arrive at the first step within 30 s of each other.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Sharding

from icl import checks

PADDED = 1024  # bytes; messages of few sizes, since each size is compiled


class OtherProcessError(RuntimeError):
    """Process 0 could not do what it does for all; the message says why."""


def is_first() -> bool:
    """Whether this process reads, writes and speaks for all."""
    return jax.process_index() == 0


def agreed(value: Any) -> Any:
    """What process 0 calls this with, in every process. All must call it.

    Args:
        value: JSON, with NumPy's arrays in it; tuples come back as lists.
    """
    if jax.process_count() == 1:
        return value
    message = np.frombuffer(_packed(value) if is_first() else b"", np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.uint32(message.size)))
    padded = np.zeros(-(-size // PADDED) * PADDED, np.uint8)
    padded[: message.size] = message
    return _unpacked(multihost_utils.broadcast_one_to_all(padded)[:size].tobytes())


def by_first(action: Callable[[], Any]) -> Any:
    """What `action` returns in process 0, where alone it is called. All must call this.

    What it returns must be as for `agreed`.

    Raises:
        Exception: what `action` raised, in process 0.
        OtherProcessError: in the others, if it raised.
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
    """Whether `flag` is true in some process. All must call this."""
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def check_alike(about: Mapping[str, Any]) -> None:
    """Refuses, in every process, what is not the same in all. All must call this.

    Raises:
        ValueError: `about`, of JSON values, differs from that of process 0 somewhere.
    """
    apart = checks.differences(agreed(about), about)
    if any_of(bool(apart)):
        where = "; ".join(apart) or "this is process 0, and another differs from it"
        raise ValueError(f"All processes of a run must train the same, but: {where}.")


def on_host(tree: Any) -> Any:
    """The arrays of a pytree, whole, as NumPy's. All must call this."""

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
    """The devices of a run: so many of each process, or those given.

    Args:
        devices: as for `train`; None takes the most of each process that divide `size`.
        what: is split over them, in words.
        size: its length.
        most: not more than so many of each process, if `devices` is None.

    Raises:
        ValueError: more than a process has; none, or one twice; of some processes and
            not of others; or the size does not divide over them.
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
    """So many devices of each process.

    Raises:
        ValueError: more than a process has, or none.
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
    """Refuses what cannot be split evenly over the devices, and says what can."""
    count = len(devices)
    if size % count:
        less = size - size % count
        sizes = f"{less} or {less + count}" if less else f"{count}"
        own = jax.process_count()  # a number of devices is that many times as many
        fits = [n for n in range(own, count, own) if size % n == 0]
        fewer = f", or {size} on {fits[-1]}" if fits else ""
        raise ValueError(
            f"The {what} must divide over the devices, got {size} on {count}; {sizes} "
            f"would{fewer}."
        )


def most_that_divide(size: int, count: int) -> int:
    """The largest number up to `count` that divides `size`."""
    return max(n for n in range(1, count + 1) if size % n == 0)
