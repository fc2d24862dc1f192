"""The device mesh, and how host arrays get onto it.

It has two axes, `data` and `fsdp`. The batch is split over both; what else is split over which is
said in `training/shardings.py`. One device is a mesh of one.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

AXES = ("data", "fsdp")
BATCH = PartitionSpec(AXES)


def make_mesh(
    axes: Mapping[str, int],
    batch_size: int,
    microbatches: int = 1,
    num_devices: int | None = None,
) -> Mesh | AbstractMesh:
    """A mesh over the first devices, and a check that the batch divides evenly over it.

    Args:
      axes: number of devices by axis, `data` and `fsdp`; one of them may be -1, for all that the
        other leaves. An axis that is not given is 1.
      batch_size: examples per step.
      microbatches: parts that each device's share of the batch is cut into.
      num_devices: makes an abstract mesh over so many devices, which need not be there: programs
        can be lowered for it, but not run.

    Raises:
      ValueError: an unknown axis, axes that do not fit the devices, or a batch that does not divide
        evenly (the message has the nearest sizes that do).
    """
    if not set(axes) <= set(AXES):
        raise ValueError(f"mesh has axes {sorted(axes)}; expected 'data' and 'fsdp'")
    available = num_devices or jax.device_count()
    sizes = _sizes([axes.get(name, 1) for name in AXES], available)
    parts = math.prod(sizes) * microbatches
    if batch_size < 1 or batch_size % parts:
        below = max(batch_size - batch_size % parts, parts)
        nearest = dict.fromkeys((below, below + parts))
        cut = f" in {microbatches} microbatches each" if microbatches > 1 else ""
        raise ValueError(
            f"batch size {batch_size} is not divisible by the {math.prod(sizes)} devices of mesh "
            f"axes 'data' and 'fsdp'{cut}; use {' or '.join(map(str, nearest))}"
        )
    # Auto axes: the compiler spreads the shardings of inputs and outputs over what lies between.
    axis_types = (AxisType.Auto,) * len(AXES)
    if num_devices is not None:
        return AbstractMesh(sizes, AXES, axis_types=axis_types)
    devices = np.asarray(jax.devices()[: math.prod(sizes)]).reshape(sizes)
    return Mesh(devices, AXES, axis_types=axis_types)


def _sizes(asked: list[int], available: int) -> tuple[int, ...]:
    """Devices along each axis."""
    known = math.prod(size for size in asked if size != -1)
    sizes = tuple(available // known if size == -1 and known > 0 else size for size in asked)
    used = math.prod(sizes)
    # A process whose devices are not in the mesh would have nothing to do, and wait for ever.
    wanted = {available} if jax.process_count() > 1 else range(1, available + 1)
    if asked.count(-1) > 1 or min(sizes) < 1 or used not in wanted:
        shown = ", ".join(f"mesh.{name} is {size}" for name, size in zip(AXES, asked, strict=True))
        several = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
        raise ValueError(
            f"{shown}, but there are {available} devices{several}; their product must be "
            f"{'' if several else 'at most '}{available}, and one of them may be -1: all that the "
            "other leaves"
        )
    return sizes


def replicated(mesh: Mesh) -> NamedSharding:
    """Sharding of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
    """Sharding of an array whose first axis is split over all devices, such as the batch."""
    return NamedSharding(mesh, BATCH)


def place(arrays: Any, sharding: NamedSharding) -> Any:
    """Host arrays, the same in every process, on the devices; each process sends its part.

    Args:
      arrays: a pytree.
      sharding: of each of them.
    """

    def put(array):
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(put, arrays)
