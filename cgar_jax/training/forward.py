"""The forward pass of a training step: one supervision step and its losses, over a mesh.

`Forward` runs each device's share of the slots on that device, in microbatches, and returns one
`StepOutput` for the whole batch. `cgar_jax.training.step` chooses the examples, weights the losses
and updates the parameters.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from cgar_jax import losses
from cgar_jax.curricula import StageDepth
from cgar_jax.mesh import BATCH
from cgar_jax.models import Model, Outputs
from cgar_jax.recursion import (
    STATES_BEFORE_GRADIENT,
    Carry,
    Correctness,
    Question,
    correctness,
    supervision_step,
)
from cgar_jax.training.shardings import gather, parameter_specs
from cgar_jax.training.state import variables


def example_losses(
    outputs: Outputs,
    labels: jax.Array,
    answer_loss: Callable[..., jax.Array],
    halting_loss_weight: float,
) -> dict[str, jax.Array]:
    """Computes the two losses of a supervision step for each example.

    `answer` is the mean loss over the labeled cells. `halt` is `halting_loss_weight` times the
    halting loss, whose target is "every labeled cell is correct".

    Args:
      outputs: output of the model's heads.
      labels: target tokens, int `[batch, sequence_length]`; cells with `losses.IGNORE_LABEL` are
        ignored.
      answer_loss: unreduced loss, `(logits, labels, *, where) -> [batch, sequence_length]`.
      halting_loss_weight: factor of the halting loss; 0.5 in the published code.

    Returns:
      `{"answer": [batch], "halt": [batch]}`, float32; zero for examples without a labeled cell.
    """
    where = losses.valid_labels(labels, num_classes=outputs.logits.shape[-1])
    right = lax.stop_gradient(correctness(outputs.logits, labels))
    cells = answer_loss(outputs.logits, labels, where=where)
    halt = losses.halting_loss(outputs.halt_logits, right.exact, where=right.counts)
    return {
        "answer": losses.masked_mean(cells, where=where, axis=-1),
        "halt": halting_loss_weight * halt,
    }


class StepOutput(NamedTuple):
    """The result of one supervision step for each slot."""

    y: jax.Array  # answer state [batch, length, hidden]
    z: jax.Array  # latent state [batch, length, hidden]
    halt_logits: jax.Array  # [batch]
    right: Correctness  # fields of [batch]
    losses: dict[str, jax.Array]  # [batch], or [batch, exits] if the depth has several exits


@dataclasses.dataclass(frozen=True)
class Forward:
    """Runs one supervision step of every slot and computes its losses.

    Attributes:
      model: the model.
      answer_loss: unreduced answer loss, see `example_losses`.
      halting_loss_weight: factor of the halting loss, see `example_losses`.
      mesh: devices that share the batch.
      microbatches: number of parts in which each device processes its share of the batch, one
        after the other.
    """

    model: Model
    answer_loss: Callable[..., jax.Array]
    halting_loss_weight: float
    mesh: Mesh
    microbatches: int = 1

    def __call__(
        self,
        params: Any,
        constants: Any,
        puzzle_rows: jax.Array,
        carry: Carry,
        depth: StageDepth,
    ) -> StepOutput:
        """Runs the supervision step; devices communicate only to sum the gradients.

        Args:
          params: trained parameters, sharded according to `parameter_specs`.
          constants: untrained initial states of the model.
          puzzle_rows: puzzle embedding of each slot, `[batch, puzzle_embedding_size]`.
          carry: slots before the step.
          depth: depth of the recursion (static).
        """
        specs = parameter_specs(self.mesh, self.model.sharding_rules, params)

        @functools.partial(
            jax.shard_map,
            mesh=self.mesh,
            in_specs=(specs, PartitionSpec(), BATCH, BATCH),
            out_specs=BATCH,
        )
        def on_each_device(params, constants, puzzle_rows, carry):
            model_variables = variables(gather(params, specs), constants)
            step = functools.partial(self._step, model_variables, depth)
            return in_parts(step, (puzzle_rows, carry), self.microbatches)

        return on_each_device(params, constants, puzzle_rows, carry)

    def _step(self, model_variables, depth, slots) -> StepOutput:
        puzzle_rows, carry = slots
        labels = carry.examples["labels"]
        question = Question(carry.examples["inputs"], puzzle_rows)
        states = carry.y, carry.z
        losses_by_exit = []
        for segment in depth.segments:
            states, outputs = supervision_step(
                self.model, model_variables, question, lax.stop_gradient(states), segment
            )
            losses_by_exit.append(
                example_losses(outputs, labels, self.answer_loss, self.halting_loss_weight)
            )
        several = len(losses_by_exit) > 1
        per_example = jax.tree.map(lambda *x: jnp.stack(x, 1) if several else x[0], *losses_by_exit)
        right = correctness(outputs.logits, labels)
        return StepOutput(*states, outputs.halt_logits, right, per_example)


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
