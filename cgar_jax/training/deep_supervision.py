"""Deep supervision: the outer loop with which TRM and HRM are trained.

Each optimizer step continues the deep recursion of the example in each slot from detached states,
until the halting rule replaces the example.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from cgar_jax import losses
from cgar_jax._core.depth import Depth
from cgar_jax.models import Model, Outputs, empty_states
from cgar_jax.recursion import (
    PLAIN,
    Carry,
    HaltingRule,
    Question,
    RecursionOptions,
    advance,
    correctness,
    draw,
    draw_seeds,
    initial_carry,
    keys_of_step,
    replace_halted,
    supervision_step,
)
from cgar_jax.training.step_metrics import finished_metrics, masked_sum
from cgar_jax.training.supervision import StepOutput


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


@dataclasses.dataclass(frozen=True)
class DeepSupervision:
    """Supervision after each deep recursion; fulfills `cgar_jax.training.supervision.Supervision`.

    Attributes:
      model: the model.
      halting_rule: rule that decides when an example leaves its slot.
      answer_loss: unreduced answer loss, see `example_losses`.
      halting_loss_weight: factor of the halting loss, see `example_losses`.
      options: options of the recursion.

    Reference:
      Jolicoeur-Martineau, 2025, arXiv 2510.04871, following the released code.
    """

    model: Model
    halting_rule: HaltingRule
    answer_loss: Callable[..., jax.Array]
    halting_loss_weight: float
    options: RecursionOptions = PLAIN

    loss_terms: ClassVar[tuple[str, ...]] = ("answer", "halt")

    def initial_slots(self, examples: Mapping[str, jax.Array]) -> Carry:  # noqa: D102
        batch = len(jax.tree.leaves(examples)[0])
        return initial_carry(examples, empty_states(self.model, batch))

    def refill(  # noqa: D102
        self, slots: Carry, fresh: Mapping[str, jax.Array], variables: Any, key: jax.Array
    ) -> Carry:
        slots = draw_seeds(slots, key)
        start = self.model.apply(variables, slots.keys(), method="initial_state")
        return replace_halted(slots, fresh, start)

    def forward(  # noqa: D102
        self, variables: Any, puzzle_rows: jax.Array, slots: Carry, depth: Depth
    ) -> StepOutput:
        labels = slots.examples["labels"]
        states, keys = slots.states, keys_of_step(slots.keys(), slots.supervision_step)
        losses_by_exit = []
        for exit_number, segment in enumerate(depth.segments):
            draws = draw(keys_of_step(keys, exit_number), self.model, self.options)
            question = Question(slots.examples["inputs"], puzzle_rows, draws)
            states, outputs = supervision_step(
                self.model,
                variables,
                question,
                lax.stop_gradient(states),
                segment,
                self.options,
            )
            losses_by_exit.append(
                example_losses(outputs, labels, self.answer_loss, self.halting_loss_weight)
            )
        several = len(losses_by_exit) > 1
        per_example = jax.tree.map(lambda *x: jnp.stack(x, 1) if several else x[0], *losses_by_exit)
        return StepOutput(states, outputs, correctness(outputs.logits, labels), per_example)

    def loss_steps(self, slots: Carry, depth: Depth) -> jax.Array:  # noqa: D102
        del depth
        return slots.supervision_step + 1

    def calls_with_gradient(self, depth: Depth) -> int:  # noqa: D102
        return self.options.calls_with_gradient(depth, self.model.num_states)

    def advance(self, slots: Carry, output: StepOutput, key: jax.Array) -> Carry:  # noqa: D102
        return advance(slots, output.states, output.outputs.halt_logits, self.halting_rule, key)

    def metrics(  # noqa: D102
        self, before: Carry, output: StepOutput, after: Carry
    ) -> dict[str, jax.Array]:
        del before
        right = output.right
        predicts_solved = self.halting_rule.is_confident(output.outputs.halt_logits)
        finished = after.halted & right.counts
        return {
            "halting_accuracy": masked_sum(finished, predicts_solved == right.exact),
            **finished_metrics(jnp.ones_like(after.halted), output, after),
        }
