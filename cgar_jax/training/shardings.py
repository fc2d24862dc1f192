"""How the train state lies on the mesh, and how a step gathers it.

The carry is split by batch, and so are the rows of a large table of puzzle embeddings. Over `fsdp`
the wide matrices are split, with their moving average and what the optimizer keeps of them; a step
gathers them once, for all its network calls.
"""

import re
from typing import Any

import jax
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cgar_jax.mesh import AXES, over_batch, replicated
from cgar_jax.models import ShardingRules
from cgar_jax.training.state import TrainState

# Tables with fewer rows are small beside a model.
MANY_ROWS = 1024


def parameter_specs(mesh: Mesh, rules: ShardingRules, parameters: Any) -> Any:
    """How each array lies over `fsdp`, by the name at the end of its path.

    Args:
      mesh: mesh with an axis `fsdp`.
      rules: the model's sharding rules; matrices that no rule names, or that do not divide evenly,
        are whole on every device.
      parameters: a pytree whose paths end in the names of parameters: themselves, their average, or
        the state of an optimizer.
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


def state_shardings(mesh: Mesh, rules: ShardingRules, state: TrainState) -> TrainState:
    """A sharding for each leaf of a state (or of its shapes).

    The carry is split by batch; the puzzle table by rows, if they are many and divide evenly;
    parameters, their average and the optimizer by `parameter_specs`; all else is whole on every
    device.
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
    """Shapes, dtypes and shardings of a state, without its numbers."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        state_shardings(mesh, rules, shapes),
    )
