"""Where arrays live: the device mesh, how the state lies on it, and how it is gathered to compute.

The mesh has two axes. The batch is split over both, and so are the rows of a large table of puzzle
embeddings. Over `fsdp` the wide matrices are split as well, with their moving average and what the
optimizer keeps of them; a step gathers them once, for all its network calls. One device is a mesh
of one.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from cgar_jax.training.state import TrainState

AXES = ("data", "fsdp")
BATCH = PartitionSpec(AXES)

# Which axis of a matrix is split over `fsdp`, by its name: the wide one, so that it divides evenly.
# What no rule names, or does not divide, is whole on every device.
SPLIT_AXIS = (
    (r"(gate_up|qkv|token_embedding|position_embedding)$", 1),
    (r"(down|output|output_head)$", 0),
)

# Tables with fewer rows are small beside a model.
MANY_ROWS = 1024


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


def place(array: Any, sharding: NamedSharding) -> jax.Array:
    """A host array, the same in every process, on the devices; each process sends its part."""
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def parameter_specs(mesh: Mesh, parameters: Any) -> Any:
    """How each array lies over `fsdp`, by the name at the end of its path.

    Args:
      mesh: with an axis `fsdp`.
      parameters: a pytree whose paths end in the names of parameters: themselves, their average, or
        the state of an optimizer.
    """

    parts = mesh.shape["fsdp"]

    def spec(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        axis = next((axis for rule, axis in SPLIT_AXIS if re.search(rf"(^|/){rule}", name)), None)
        if parts == 1 or axis is None or leaf.ndim != 2 or leaf.shape[axis] % parts:
            return PartitionSpec()
        return PartitionSpec("fsdp") if axis == 0 else PartitionSpec(None, "fsdp")

    return jax.tree_util.tree_map_with_path(spec, parameters)


def gather(arrays: Any, specs: Any) -> Any:
    """Whole arrays from the parts that lie over `fsdp`, inside `jax.shard_map`.

    Their gradients come back as parts, summed over the devices: once, for all uses of the arrays.
    """

    def whole(array, spec):
        # Without `pcast` the sums would be where the array is used: at each network call.
        if "fsdp" not in spec:
            return lax.pcast(array, AXES, to="varying")
        # Before parts are joined: gradients are summed over `data` when they are parts again.
        array = lax.pcast(array, ("data",), to="varying")
        return lax.all_gather(array, "fsdp", axis=tuple(spec).index("fsdp"), tiled=True)

    return jax.tree.map(whole, arrays, specs)


def state_shardings(mesh: Mesh, state: TrainState) -> TrainState:
    """A sharding for each leaf of a state (or of its shapes).

    The carry is split by batch; the puzzle table by rows, if they are many and divide evenly;
    parameters, their average and the optimizer by `parameter_specs`; all else is whole on every
    device.
    """

    def split(tree):
        specs = parameter_specs(mesh, tree)
        return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)

    rows = state.puzzle_table.shape[0]
    shares_rows = rows >= MANY_ROWS and rows % mesh.size == 0
    return jax.tree.map(lambda _: replicated(mesh), state)._replace(
        params=split(state.params),
        ema_params=split(state.ema_params),
        optimizer_state=split(state.optimizer_state),
        carry=jax.tree.map(lambda _: over_batch(mesh), state.carry),
        puzzle_table=over_batch(mesh) if shares_rows else replicated(mesh),
    )


def abstract_state(mesh: Mesh, shapes: TrainState) -> TrainState:
    """Shapes, dtypes and shardings of a state, without its numbers."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        state_shardings(mesh, shapes),
    )
