"""Deep supervision: the outer loop with which TRM and HRM are trained.

Each optimizer step continues the deep recursion of the example in each slot from detached states,
until the halting rule replaces the example.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from cgar_jax import losses, weighting
from cgar_jax._core.depth import Depth
from cgar_jax.losses.binary import masked_binary_cross_entropy
from cgar_jax.models import Model, Outputs, empty_states
from cgar_jax.recursion import (
    PLAIN,
    Carry,
    HaltingRule,
    Question,
    RecursionOptions,
    States,
    advance,
    as_rows,
    best_of,
    by_example,
    by_hypothesis,
    correctness,
    draw,
    draw_seeds,
    initial_carry,
    initial_states,
    keys_by_hypothesis,
    keys_of_step,
    replace_halted,
    share_answer,
    supervision_step,
)
from cgar_jax.training.step_metrics import finished_metrics, masked_sum
from cgar_jax.training.supervision import StepOutput


def example_losses(
    outputs: Outputs,
    labels: jax.Array,
    answer_loss: Callable[..., jax.Array],
    halting_loss_weight: float,
    smoothing: float = 0.0,
) -> dict[str, jax.Array]:
    """Computes the two losses of a supervision step for each example.

    `answer` is the mean loss over the labeled cells. `halt` is `halting_loss_weight` times the
    halting loss, whose target is "every labeled cell is correct".

    Args:
      outputs: output of the model's heads.
      labels: target tokens, int `[batch, sequence_length]`; cells with `losses.IGNORE_LABEL` are
        ignored.
      answer_loss: unreduced loss, `(logits, labels, *, where, smoothing) -> [batch,
        sequence_length]`.
      halting_loss_weight: factor of the halting loss; 0.5 in the published code.
      smoothing: label smoothing of the answer loss, in [0, 1].

    Returns:
      `{"answer": [batch], "halt": [batch]}`, float32; zero for examples without a labeled cell.
    """
    where = losses.valid_labels(labels, num_classes=outputs.logits.shape[-1])
    right = lax.stop_gradient(correctness(outputs.logits, labels))
    cells = answer_loss(outputs.logits, labels, where=where, smoothing=smoothing)
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
      smoothing: label smoothing of the answer loss, see `example_losses`.
      options: options of the recursion.

    Reference:
      Jolicoeur-Martineau, 2025, arXiv 2510.04871, following the released code.
    """

    model: Model
    halting_rule: HaltingRule
    answer_loss: Callable[..., jax.Array]
    halting_loss_weight: float
    smoothing: float = 0.0
    options: RecursionOptions = PLAIN

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """The names of the loss terms: "answer", "halt" and, with Q-values, "continue"."""
        return ("answer", "halt", "continue") if self._has_q_values else ("answer", "halt")

    @property
    def _has_q_values(self) -> bool:
        return self.halting_rule.criterion == "q_values"

    def initial_slots(self, examples: Mapping[str, jax.Array]) -> Carry:  # noqa: D102
        batch = len(jax.tree.leaves(examples)[0])
        num = self.model.num_hypotheses
        return initial_carry(examples, by_example(empty_states(self.model, batch * num), num))

    def refill(  # noqa: D102
        self, slots: Carry, fresh: Mapping[str, jax.Array], variables: Any, key: jax.Array
    ) -> Carry:
        slots = draw_seeds(slots, key)
        return replace_halted(slots, fresh, initial_states(self.model, variables, slots.keys()))

    def forward(  # noqa: D102
        self, variables: Any, puzzle_rows: jax.Array, slots: Carry, depth: Depth
    ) -> StepOutput:
        states, keys = slots.states, keys_of_step(slots.keys(), slots.supervision_step)
        keys = keys_by_hypothesis(keys, self.model.num_hypotheses)
        outputs, losses_by_exit = None, []
        for number, segment in enumerate(depth.segments):
            draws = draw(keys_of_step(keys, number), self.model, self.options)
            begins = slots.supervision_step + number == 0
            question = Question(slots.examples["inputs"], puzzle_rows, draws, begins)
            joins = self.options.joins_exits
            before = slots._replace(states=states if joins else lax.stop_gradient(states))
            states, outputs, per_example = self.supervise(variables, question, before, segment)
            losses_by_exit.append(per_example)
        several = len(losses_by_exit) > 1
        per_example = jax.tree.map(lambda *x: jnp.stack(x, 1) if several else x[0], *losses_by_exit)
        right = correctness(outputs.logits, slots.examples["labels"])
        return StepOutput(states, outputs, right, per_example)

    def supervise(
        self, variables: Any, question: Question, slots: Carry, depth: Depth
    ) -> tuple[States, Outputs, dict[str, jax.Array]]:
        """Runs one deep recursion and computes its losses.

        Args:
          variables: variables of the model.
          question: the question of each slot, with the draws of each hypothesis.
          slots: slots from `refill`.
          depth: depth of the deep recursion (static).

        Returns:
          `(states, outputs, losses)`: the states after it, the outputs of the heads, and the losses
          by term, `[batch]`. With several hypotheses, outputs and losses are those of the best.
        """
        num = self.model.num_hypotheses
        if num == 1:
            return self._supervise_each(variables, question, slots, depth)
        asked = by_hypothesis(question._replace(draws=None), num)._replace(draws=question.draws)
        each = by_hypothesis(slots._replace(states=()), num)
        each = each._replace(states=as_rows(slots.states, num))
        found = by_example(self._supervise_each(variables, asked, each, depth), num)
        states, outputs, terms = found
        winner, answer = weighting.winner_takes_all_weighting(), terms["answer"]
        weights, _ = winner.update(jnp.ones_like(answer), winner.init(answer), answer)
        outputs, terms = best_of((outputs, terms), weights)
        return share_answer(states, weights), outputs, terms

    def _supervise_each(
        self, variables: Any, question: Question, slots: Carry, depth: Depth
    ) -> tuple[States, Outputs, dict[str, jax.Array]]:
        """Supervises each row, which is an example or one of its hypotheses."""
        step = functools.partial(supervision_step, self.model, depth=depth, options=self.options)
        states, outputs = step(variables, question, slots.states)
        labels = slots.examples["labels"]
        weight = self.halting_loss_weight
        terms = example_losses(outputs, labels, self.answer_loss, weight, self.smoothing)
        if self._has_q_values:
            rows = lax.stop_gradient(question.puzzle_rows)
            asked = question._replace(puzzle_rows=rows, begins=jnp.zeros_like(slots.halted))
            _, following = step(lax.stop_gradient(variables), asked, lax.stop_gradient(states))
            # After its last step, an example can only halt.
            is_last = slots.supervision_step + 1 >= self.halting_rule.max_supervision_steps
            best = jnp.maximum(following.halt_logits, following.continue_logits)
            value = jax.nn.sigmoid(jnp.where(is_last, following.halt_logits, best))
            loss = masked_binary_cross_entropy(
                "continue_loss",
                "value",
                outputs.continue_logits,
                value,
                where=correctness(outputs.logits, labels).counts,
            )
            terms["continue"] = weight * loss
        return states, outputs, terms

    def loss_steps(self, slots: Carry, depth: Depth) -> jax.Array:  # noqa: D102
        del depth
        return slots.supervision_step + 1

    def network_calls(self, depth: Depth) -> int:  # noqa: D102
        passes = self.model.num_hypotheses * (2 if self._has_q_values else 1)
        return depth.network_calls * passes

    def calls_with_gradient(self, depth: Depth) -> int:  # noqa: D102
        calls = self.options.calls_with_gradient(depth, self.model.num_states)
        return calls * self.model.num_hypotheses

    def advance(self, slots: Carry, output: StepOutput, key: jax.Array) -> Carry:  # noqa: D102
        return advance(slots, output.states, output.outputs, self.halting_rule, key)

    def metrics(  # noqa: D102
        self, before: Carry, output: StepOutput, after: Carry
    ) -> dict[str, jax.Array]:
        del before
        right = output.right
        evidence = self.halting_rule.evidence(output.outputs)
        predicts_solved = self.halting_rule.is_confident(evidence)
        finished = after.halted & right.counts
        return {
            "halting_accuracy": masked_sum(finished, predicts_solved == right.exact),
            **finished_metrics(jnp.ones_like(after.halted), output, after),
        }
