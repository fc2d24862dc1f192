"""The device mesh, and the transfer of host arrays to its devices.

The mesh has two axes, `data` and `fsdp`, and the batch is split over both. A single device is a
mesh of size one. The shardings of the train state are in `cgar_jax.training.shardings`.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from cgar_jax._core.ranges import check_integer

AXES = ("data", "fsdp")
BATCH = PartitionSpec(AXES)


def make_mesh(
    axes: Mapping[str, int],
    batch_size: int,
    microbatches: int = 1,
    num_devices: int | None = None,
) -> Mesh | AbstractMesh:
    """Makes a mesh over the first devices, and checks that the batch divides evenly over it.

    Args:
      axes: number of devices along `data` and `fsdp`; -1 means all remaining devices. A missing
        axis has size 1.
      batch_size: examples per step.
      microbatches: number of parts of each device's share of the batch, see `parts_of_share`.
      num_devices: number of devices of an abstract mesh. Programs can be lowered for such a mesh
        without the devices, but cannot run. None uses the devices of this machine.

    Raises:
      ValueError: if an axis is unknown, the axes do not fit the devices, or the batch does not
        divide evenly (the message suggests the nearest sizes that do).
    """
    if not set(axes) <= set(AXES):
        raise ValueError(
            f"the mesh has axes {sorted(axes)}, but the only axes are 'data' and 'fsdp'"
        )
    for name, size in axes.items():
        check_integer("mesh", name, size, "[-1, inf)")
    available = num_devices or jax.device_count()
    sizes = _sizes([axes.get(name, 1) for name in AXES], available)
    microbatches = parts_of_share(batch_size, microbatches, math.prod(sizes))
    parts = math.prod(sizes) * microbatches
    if batch_size < 1 or batch_size % parts:
        below = max(batch_size - batch_size % parts, parts)
        nearest = dict.fromkeys((below, below + parts))
        parts_of_each = f" times {microbatches} microbatches" if microbatches > 1 else ""
        raise ValueError(
            f"batch_size {batch_size} is not divisible by the {math.prod(sizes)} devices of mesh "
            f"axes 'data' and 'fsdp'{parts_of_each}; use {' or '.join(map(str, nearest))}"
        )
    # With Auto axes, the compiler infers the shardings of intermediate arrays.
    axis_types = (AxisType.Auto,) * len(AXES)
    if num_devices is not None:
        return AbstractMesh(sizes, AXES, axis_types=axis_types)
    devices = np.asarray(jax.devices()[: math.prod(sizes)]).reshape(sizes)
    return Mesh(devices, AXES, axis_types=axis_types)


def parts_of_share(batch_size: int, microbatches: int, num_devices: int) -> int:
    """Returns the number of parts of each device's share of the batch: one example each at least.

    Args:
      batch_size: examples per step.
      microbatches: wanted number of parts.
      num_devices: number of devices.
    """
    return min(microbatches, max(batch_size // num_devices, 1))


def _sizes(asked: list[int], available: int) -> tuple[int, ...]:
    """Returns the number of devices along each axis."""
    known = math.prod(size for size in asked if size != -1)
    sizes = tuple(available // known if size == -1 and known > 0 else size for size in asked)
    used = math.prod(sizes)
    # With several processes, all devices must be used: a process without one would wait forever.
    wanted = {available} if jax.process_count() > 1 else range(1, available + 1)
    if asked.count(-1) > 1 or min(sizes) < 1 or used not in wanted:
        shown = ", ".join(f"mesh.{name} is {size}" for name, size in zip(AXES, asked, strict=True))
        several = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
        raise ValueError(
            f"{shown}, but there are {available} devices{several}; their product must be "
            f"{'' if several else 'at most '}{available}, and one of them may be -1 (all remaining "
            "devices)"
        )
    return sizes


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array of which every device holds a copy."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array whose first axis is split over all devices (the batch)."""
    return NamedSharding(mesh, BATCH)


def place(arrays: Any, sharding: NamedSharding) -> Any:
    """Copies host arrays to the devices; each process sends the parts of its own devices.

    Args:
      arrays: pytree of host arrays, identical in every process.
      sharding: sharding of each array.
    """

    def put(array):
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(put, arrays)
