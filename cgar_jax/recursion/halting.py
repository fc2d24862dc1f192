"""Deep supervision: what a batch carries from one supervision step to the next, and when it stops.

Each slot of the batch is at its own supervision step. A slot whose example halted takes a fresh one
at the beginning of the next step (adaptive computation time, as in HRM and TRM).
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import lax


class Carry(NamedTuple):
    """The state of deep supervision; every leaf has the batch in front."""

    y: jax.Array  # [batch, length, hidden], the answer state, detached
    z: jax.Array  # [batch, length, hidden], the latent state, detached
    supervision_step: jax.Array  # [batch] int32, steps the current example has had
    halted: jax.Array  # [batch] bool, the slot wants a fresh example
    examples: Any  # pytree of [batch, ...], the current examples


def initial_carry(fresh_examples: Any, state_shape: tuple[int, ...], dtype: Any) -> Carry:
    """A carry before the first step: every slot halted, so that all examples are replaced.

    Args:
      fresh_examples: pytree of `[batch, ...]`, for shapes and dtypes only.
      state_shape: shape of one example's state, `(length, hidden)`.
      dtype: dtype of the states.
    """
    examples = jax.tree.map(jnp.zeros_like, fresh_examples)
    batch = jax.tree.leaves(examples)[0].shape[0]
    # Two arrays, not one twice: a donated buffer may be given away only once.
    y, z = jnp.zeros((2, batch, *state_shape), dtype)
    return Carry(y, z, jnp.zeros(batch, jnp.int32), jnp.ones(batch, bool), examples)


def replace_halted(
    carry: Carry, fresh_examples: Any, initial_y: jax.Array, initial_z: jax.Array
) -> Carry:
    """Gives each halted slot the fresh example of the same position, states reset, step count zero.

    Args:
      carry: after the step before.
      fresh_examples: a whole batch, like `carry.examples`; rows of slots still at work are not
        used.
      initial_y: the answer state with which an example begins, `[hidden]`.
      initial_z: the latent state with which it begins, `[hidden]`.

    Returns:
      A carry in which no slot is halted.
    """
    chex.assert_trees_all_equal_shapes_and_dtypes(carry.examples, fresh_examples)

    def select(fresh, current):
        return jnp.where(_like(carry.halted, current), fresh, current)

    return Carry(
        y=select(initial_y, carry.y),
        z=select(initial_z, carry.z),
        supervision_step=select(0, carry.supervision_step),
        halted=jnp.zeros_like(carry.halted),
        examples=jax.tree.map(select, fresh_examples, carry.examples),
    )


def advance(
    carry: Carry,
    y: jax.Array,
    z: jax.Array,
    halt_logits: jax.Array,
    *,
    max_supervision_steps: int,
    key: jax.Array,
    exploration_probability: float = 0.1,
) -> Carry:
    """Closes a supervision step: stores the detached states, counts the step, decides who halts.

    A slot halts when it has had `max_supervision_steps`, or when its halting logit is positive and
    it has had its minimum number of steps. That minimum is none, or with `exploration_probability`
    drawn anew at each step from {2, ..., max_supervision_steps}.

    Args:
      carry: from `replace_halted`.
      y, z: the states after the step, `[batch, length, hidden]`.
      halt_logits: `[batch]`.
      max_supervision_steps: N_sup. With 1, every slot halts at once.
      key: random key for the exploration.
      exploration_probability: in [0, 1].

    Source: Jolicoeur-Martineau 2025, arXiv 2510.04871, and its released code (halting without the
    "continue" loss).
    """
    batch = halt_logits.shape
    taken = carry.supervision_step + 1
    explore_key, minimum_key = jax.random.split(key)
    explores = jax.random.bernoulli(explore_key, exploration_probability, batch)
    # With N_sup = 1 there is nothing to draw from, and the last step halts all the same.
    highest = max(max_supervision_steps, 2)
    minimum = jax.random.randint(minimum_key, batch, 2, highest + 1) * explores
    halted = (taken >= max_supervision_steps) | ((halt_logits > 0) & (taken >= minimum))
    y, z = lax.stop_gradient((y, z))
    return carry._replace(y=y, z=z, supervision_step=taken, halted=halted)


def _like(flags: jax.Array, x: jax.Array) -> jax.Array:
    """`flags` `[batch]` with as many trailing axes of size one as `x` has after its batch."""
    return flags.reshape(flags.shape + (1,) * (x.ndim - 1))
