"""Shardings of the train state over the mesh, and the collective that gathers parameters in a step.

The slots of the carry are split over all devices, and so are the rows of a large puzzle table. The
wide matrices, their moving average and their optimizer state are split over `fsdp`; a step gathers
them once for all its network calls.
"""

import re
from typing import Any

import jax
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cgar_jax.mesh import AXES, over_batch, replicated
from cgar_jax.models import ShardingRules
from cgar_jax.training.state import TrainState

# Puzzle tables with fewer rows are replicated: they are small compared with a model.
MANY_ROWS = 1024


def parameter_specs(mesh: Mesh, rules: ShardingRules, parameters: Any) -> Any:
    """Returns the partition over `fsdp` of each array, chosen by the name at the end of its path.

    Args:
      mesh: mesh with an axis `fsdp`.
      rules: the model's sharding rules; matrices that no rule names, or that do not divide evenly,
        are replicated.
      parameters: pytree whose paths end in names of parameters: the parameters themselves, their
        average, or an optimizer state.
    """

    parts = mesh.shape["fsdp"]

    def spec(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        axis = next((axis for rule, axis in rules if re.search(rf"(^|/){rule}$", name)), None)
        if parts == 1 or axis is None or leaf.ndim != 2 or leaf.shape[axis] % parts:
            return PartitionSpec()
        return PartitionSpec("fsdp") if axis == 0 else PartitionSpec(None, "fsdp")

    return jax.tree_util.tree_map_with_path(spec, parameters)


def gather(arrays: Any, specs: Any) -> Any:
    """Gathers whole arrays from their parts on `fsdp`; to be called inside `jax.shard_map`.

    The gradient of each array is summed over the devices once, for all uses of the array, and
    scattered into parts again.

    Args:
      arrays: pytree of the parts that this device holds.
      specs: partition of each array, as from `parameter_specs`.
    """

    def whole(array, spec):
        # Without `pcast` the gradients would be summed at each use, in every network call.
        if "fsdp" not in spec:
            return lax.pcast(array, AXES, to="varying")
        # The cast comes before the gather, so that gradients are summed over `data` as parts.
        array = lax.pcast(array, ("data",), to="varying")
        return lax.all_gather(array, "fsdp", axis=tuple(spec).index("fsdp"), tiled=True)

    return jax.tree.map(whole, arrays, specs)


def state_shardings(mesh: Mesh, rules: ShardingRules, state: TrainState) -> TrainState:
    """Returns a sharding for each leaf of a state, or of its shapes.

    The carry is split by slot; the puzzle table by row, if it has many rows that divide evenly;
    parameters, their average and the optimizer state according to `parameter_specs`. Everything
    else is replicated.
    """

    def split(tree):
        specs = parameter_specs(mesh, rules, tree)
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


def abstract_state(mesh: Mesh, rules: ShardingRules, shapes: TrainState) -> TrainState:
    """Returns the shapes, dtypes and shardings of a state."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        state_shardings(mesh, rules, shapes),
    )
