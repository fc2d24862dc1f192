"""Where arrays live: the device mesh, and how the state lies on it.

The batch is split over the mesh axis `data`, and so are the rows of a large table of puzzle
embeddings; parameters are on every device. One device is a mesh of one.
"""

from collections.abc import Mapping

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cgar_jax.training.state import TrainState

# Tables with fewer rows are small beside a model.
MANY_ROWS = 1024


def make_mesh(axes: Mapping[str, int], batch_size: int) -> Mesh:
    """A mesh over the first devices, and a check that the batch divides evenly over it.

    Args:
      axes: `{"data": number of devices}`, -1 for all there are.
      batch_size: examples per step.

    Raises:
      ValueError: an unknown axis, more devices than there are, or a batch that does not divide
      evenly
        (the message has the nearest sizes that do).
    """
    if set(axes) != {"data"}:
        raise ValueError(f"mesh has axes {sorted(axes)}; expected 'data' alone")
    available = jax.devices()
    num_devices = len(available) if axes["data"] == -1 else axes["data"]
    if not 1 <= num_devices <= len(available):
        raise ValueError(
            f"mesh.data is {axes['data']} but there are {len(available)} devices; "
            f"use 1 to {len(available)}, or -1 for all"
        )
    if batch_size < 1 or batch_size % num_devices:
        below = max(batch_size - batch_size % num_devices, num_devices)
        sizes = dict.fromkeys((below, below + num_devices))
        raise ValueError(
            f"batch size {batch_size} is not divisible by the {num_devices} devices of mesh axis "
            f"'data'; use {' or '.join(map(str, sizes))}"
        )
    devices = np.asarray(available[:num_devices])
    # Auto axes: the compiler spreads the shardings of inputs and outputs over what lies between.
    return Mesh(devices, ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Sharding of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
    """Sharding of an array whose first axis is split over the devices, such as the batch."""
    return NamedSharding(mesh, PartitionSpec("data"))


def state_shardings(mesh: Mesh, state: TrainState) -> TrainState:
    """A sharding for each leaf of a state (or of its shapes).

    The carry is split by batch; the puzzle table by rows, if they are many and divide evenly; all
    else is whole on every device.
    """
    whole = jax.tree.map(lambda _: replicated(mesh), state)
    rows = state.puzzle_table.shape[0]
    shares_rows = rows >= MANY_ROWS and rows % mesh.shape["data"] == 0
    return whole._replace(
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
