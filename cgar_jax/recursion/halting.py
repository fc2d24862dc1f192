"""Deep supervision: the state carried between supervision steps, and the halting rule.

Each slot of the batch is at its own supervision step. A slot whose example has halted receives a
fresh example at the beginning of the next step (adaptive computation time, as in HRM and TRM).
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import lax

from cgar_jax._core.ranges import check_integer, check_number
from cgar_jax._core.registry import check_name
from cgar_jax.models import Outputs
from cgar_jax.recursion.deep_recursion import States
from cgar_jax.recursion.rows import where_rows

CRITERIA = ("head", "q_values", "random", "never")


@dataclasses.dataclass(frozen=True)
class HaltingRule:
    """Decides when an example leaves: by default, when its halting logit is positive.

    In training, an example may halt only after a minimum number of steps. At each step, with
    probability `exploration_probability`, this minimum is drawn anew from
    `{2, ..., max_supervision_steps}`; without exploration, it is 0. An example always halts at
    `max_supervision_steps`.

    Attributes:
      max_supervision_steps: largest number of supervision steps of an example, N_sup in the paper.
      exploration_probability: probability of drawing a minimum, in [0, 1].
      criterion: what makes an example halt earlier: `"head"` (its halting logit is positive),
        `"q_values"` (it is larger than the continue logit; HRM), `"random"` (chance, in training
        only; SE-RRM) or `"never"`.
      leave_probability: probability of leaving after each step, for `"random"`.

    Raises:
      ValueError: if a setting is out of range.

    Reference:
      Jolicoeur-Martineau, 2025, arXiv 2510.04871, following the released code, without the
      "continue" loss. Values: Wang et al., 2025, arXiv 2506.21734. Random: Freinschlag et al.,
      2026, arXiv 2603.02193.
    """

    max_supervision_steps: int = 16
    exploration_probability: float = 0.1
    criterion: Literal["head", "q_values", "random", "never"] = "head"
    leave_probability: float = 0.1

    def __post_init__(self):
        steps, probability = self.max_supervision_steps, self.exploration_probability
        check_integer("HaltingRule", "max_supervision_steps", steps, "[1, inf)")
        check_number("HaltingRule", "exploration_probability", probability, "[0, 1]")
        check_name("supervision.criterion", self.criterion, CRITERIA)
        check_number("HaltingRule", "leave_probability", self.leave_probability, "[0, 1]")

    def evidence(self, outputs: Outputs) -> jax.Array:
        """Returns the logits that are compared with 0, `[batch]`.

        Args:
          outputs: outputs of the heads.
        """
        if self.criterion == "q_values":
            return outputs.halt_logits - outputs.continue_logits
        return outputs.halt_logits

    def is_confident(self, evidence: Any) -> Any:
        """Returns whether each example would halt on its own, bool, shaped like `evidence`."""
        return (evidence > 0) & (self.criterion in ("head", "q_values"))

    def halts(self, evidence: Any, steps_taken: Any) -> Any:
        """Returns whether each example halts outside training, bool.

        Args:
          evidence: the `evidence` after the step, any shape.
          steps_taken: supervision steps so far, including this one; broadcasts against `evidence`.
        """
        return self.is_confident(evidence) | (steps_taken >= self.max_supervision_steps)

    def halts_in_training(
        self, evidence: jax.Array, steps_taken: jax.Array, key: jax.Array
    ) -> jax.Array:
        """Returns whether each example halts in training, bool `[batch]`.

        Args:
          evidence: the `evidence` after the step, `[batch]`.
          steps_taken: supervision steps so far, including this one, int `[batch]`.
          key: random key for the exploration.
        """
        batch = evidence.shape
        explore_key, minimum_key = jax.random.split(key)
        explores = jax.random.bernoulli(explore_key, self.exploration_probability, batch)
        # With N_sup = 1 the range would be empty, and the last step halts anyway.
        highest = max(self.max_supervision_steps, 2)
        minimum = jax.random.randint(minimum_key, batch, 2, highest + 1) * explores
        ends = steps_taken >= self.max_supervision_steps
        if self.criterion == "random":
            ends |= jax.random.bernoulli(explore_key, self.leave_probability, batch)
        return ends | (self.is_confident(evidence) & (steps_taken >= minimum))


class Carry(NamedTuple):
    """The state of deep supervision; the batch comes first in every leaf.

    Attributes:
      states: the states, detached, each `[batch, *state_shape]`.
      seeds: seed of whatever is drawn for the current example, uint32 `[batch]`.
      supervision_step: number of steps that the current example has taken, int32 `[batch]`.
      halted: whether the slot waits for a fresh example, bool `[batch]`.
      examples: the current examples, a pytree of arrays `[batch, ...]`.
    """

    states: States
    seeds: jax.Array
    supervision_step: jax.Array
    halted: jax.Array
    examples: Any

    def keys(self) -> jax.Array:
        """Returns the random key of each slot's example, `[batch]`."""
        return jax.vmap(jax.random.key)(self.seeds)


def initial_carry(fresh_examples: Any, empty_states: States) -> Carry:
    """Returns the carry before the first step: every slot is halted and waits for an example.

    Args:
      fresh_examples: pytree of arrays `[batch, ...]`; only shapes and dtypes matter.
      empty_states: states of any value, each `[batch, *state_shape]`.
    """
    examples = jax.tree.map(jnp.zeros_like, fresh_examples)
    batch = len(empty_states[0])
    return Carry(
        states=empty_states,
        seeds=jnp.zeros(batch, jnp.uint32),
        supervision_step=jnp.zeros(batch, jnp.int32),
        halted=jnp.ones(batch, bool),
        examples=examples,
    )


def draw_seeds(carry: Carry, key: jax.Array) -> Carry:
    """Gives each halted slot a new seed.

    Args:
      carry: the carry after the previous step.
      key: random key.
    """
    fresh = jax.random.bits(key, carry.seeds.shape, jnp.uint32)
    return carry._replace(seeds=where_rows(carry.halted, fresh, carry.seeds))


def replace_halted(carry: Carry, fresh_examples: Any, initial_states: States) -> Carry:
    """Gives each halted slot the fresh example at its position and resets its states and count.

    Args:
      carry: the carry after the previous step.
      fresh_examples: a whole batch like `carry.examples`; rows of slots that have not halted are
        ignored.
      initial_states: states with which an example begins; they broadcast against the carry's.

    Returns:
      A carry in which no slot is halted.
    """
    chex.assert_trees_all_equal_shapes_and_dtypes(carry.examples, fresh_examples)

    def select(fresh, current):
        return where_rows(carry.halted, fresh, current)

    return carry._replace(
        states=jax.tree.map(select, initial_states, carry.states),
        supervision_step=select(0, carry.supervision_step),
        halted=jnp.zeros_like(carry.halted),
        examples=jax.tree.map(select, fresh_examples, carry.examples),
    )


def advance(
    carry: Carry, states: States, outputs: Outputs, rule: HaltingRule, key: jax.Array
) -> Carry:
    """Completes a supervision step: stores the detached states, counts the step, applies the rule.

    Args:
      carry: the carry from `replace_halted`.
      states: the states after the step, each `[batch, *state_shape]`.
      outputs: outputs of the heads after the step.
      rule: the halting rule.
      key: random key for the exploration.

    Returns:
      The carry for the next `replace_halted`.
    """
    taken = carry.supervision_step + 1
    halted = rule.halts_in_training(rule.evidence(outputs), taken, key)
    return carry._replace(states=lax.stop_gradient(states), supervision_step=taken, halted=halted)
