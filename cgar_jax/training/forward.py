"""The forward pass of a training step over a mesh.

`Forward` runs each device's share of the slots on that device, in microbatches, and returns one
`StepOutput` for the whole batch. What a slot computes is decided by its form of supervision;
`cgar_jax.training.step` chooses the examples, weights the losses and updates the parameters.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from cgar_jax._core.depth import Depth
from cgar_jax.mesh import BATCH
from cgar_jax.recursion import STATES_BEFORE_GRADIENT
from cgar_jax.training.shardings import gather, parameter_specs
from cgar_jax.training.state import variables
from cgar_jax.training.supervision import Slots, StepOutput, Supervision


@dataclasses.dataclass(frozen=True)
class Forward:
    """Runs one supervision step of every slot and computes its losses.

    Attributes:
      supervision: the form of supervision, with the model.
      mesh: devices that share the batch.
      microbatches: number of parts in which each device processes its share of the batch, one
        after the other.
    """

    supervision: Supervision
    mesh: Mesh
    microbatches: int = 1

    def __call__(
        self,
        params: Any,
        constants: Any,
        puzzle_rows: jax.Array,
        slots: Slots,
        depth: Depth,
    ) -> StepOutput:
        """Runs the supervision step; devices communicate only to sum the gradients.

        Args:
          params: trained parameters, sharded according to `parameter_specs`.
          constants: untrained initial states of the model.
          puzzle_rows: puzzle embedding of each slot, `[batch, puzzle_embedding_size]`.
          slots: slots before the step.
          depth: depth of the recursion (static).
        """
        specs = parameter_specs(self.mesh, self.supervision.model.sharding_rules, params)

        @functools.partial(
            jax.shard_map,
            mesh=self.mesh,
            in_specs=(specs, PartitionSpec(), BATCH, BATCH),
            out_specs=BATCH,
        )
        def on_each_device(params, constants, puzzle_rows, slots):
            model_variables = variables(gather(params, specs), constants)

            def forward(part):
                return self.supervision.forward(model_variables, *part, depth)

            return in_parts(forward, (puzzle_rows, slots), self.microbatches)

        return on_each_device(params, constants, puzzle_rows, slots)


def in_parts(function: Callable[[Any], Any], slots: Any, parts: int) -> Any:
    """Applies a function to equal parts of the slots, one part after the other.

    The result is that of `function(slots)`. The backward pass recomputes each part from the states
    before its last cycle, so only the activations of one part are in memory at a time.

    Args:
      function: maps a pytree of arrays `[num, ...]` to another one, row by row.
      slots: pytree of arrays `[batch, ...]`.
      parts: number of parts; must divide `batch`.
    """
    if parts == 1:
        return function(slots)
    policy = jax.checkpoint_policies.save_only_these_names(STATES_BEFORE_GRADIENT)
    split = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), slots)
    joined = lax.map(jax.checkpoint(function, policy=policy), split)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), joined)
