"""Hypotheses: several latent states per example, side by side, of which the best one learns.

In training, each example has `K = model.num_hypotheses` latent states with starts of their own. All
of them are worked on, the loss is that of the best one, and its answer state becomes that of all;
each keeps its own latent state. Arrays of one example per *hypothesis* have `batch * K` rows, those
of an example side by side; `by_example` separates them.

Reference:
  Dillon, 2026, "Speed is Confidence", arXiv 2601.19085.
"""

from typing import Any

import jax
import jax.numpy as jnp

from cgar_jax.models import Model
from cgar_jax.recursion.deep_recursion import States


def by_hypothesis(examples: Any, num: int) -> Any:
    """Repeats each row of a pytree of arrays `[batch, ...]`, once for each hypothesis.

    Args:
      examples: pytree of arrays.
      num: K, number of hypotheses; 1 returns the examples as they are.
    """
    if num == 1:
        return examples
    return jax.tree.map(lambda x: jnp.repeat(x, num, axis=0), examples)


def as_rows(states: Any, num: int) -> Any:
    """Returns arrays `[batch, K, ...]` as `[batch * K, ...]`; as they are if K is 1."""
    if num == 1:
        return states
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), states)


def by_example(rows: Any, num: int) -> Any:
    """Returns arrays `[batch * K, ...]` as `[batch, K, ...]`; as they are if K is 1."""
    if num == 1:
        return rows
    return jax.tree.map(lambda x: x.reshape(-1, num, *x.shape[1:]), rows)


def keys_by_hypothesis(keys: jax.Array, num: int) -> jax.Array:
    """Returns a key for each hypothesis, `[batch * K]`; the given ones if K is 1.

    Args:
      keys: random key of each example, `[batch]`.
      num: K, number of hypotheses.
    """
    if num == 1:
        return keys
    return jax.vmap(jax.random.fold_in)(jnp.repeat(keys, num), jnp.tile(jnp.arange(num), len(keys)))


def initial_states(model: Model, variables: Any, keys: jax.Array) -> States:
    """Returns the states with which examples begin, by hypothesis if there are several.

    Args:
      model: the model.
      variables: its variables.
      keys: random key of each example, `[batch]`.

    Returns:
      What `model.initial_state` returns; with several hypotheses, `[batch, K, *state_shape]`.
    """
    num, batch = model.num_hypotheses, len(keys)
    if num == 1:
        return model.apply(variables, keys, method="initial_state")
    numbers = jnp.tile(jnp.arange(num), batch)
    rows = keys_by_hypothesis(keys, num)
    states = model.apply(variables, rows, numbers, method="initial_state")
    whole = (batch * num, *model.state_shape)
    return by_example(tuple(jnp.broadcast_to(state, whole) for state in states), num)


def best_of(values: Any, weights: jax.Array) -> Any:
    """Returns the values of the best hypothesis of each example.

    Args:
      values: pytree of arrays `[batch, K, ...]`.
      weights: numbers that are largest for the best hypothesis, such as those of
        `cgar_jax.weighting.winner_takes_all_weighting`; `[batch, K]`.

    Returns:
      Arrays `[batch, ...]`. The gradient of the other hypotheses is zero.
    """
    best = jnp.argmax(weights, axis=1)

    def pick(value):
        index = best.reshape(-1, *(1,) * (value.ndim - 1))
        return jnp.take_along_axis(value, index, axis=1)[:, 0]

    return jax.tree.map(pick, values)


def share_answer(states: States, weights: jax.Array) -> States:
    """Gives every hypothesis the answer state of the best one; each keeps its latent state.

    Args:
      states: the answer and the latent states, each `[batch, K, *state_shape]`.
      weights: numbers that are largest for the best hypothesis, `[batch, K]`.
    """
    y, z = states
    return jnp.broadcast_to(best_of(y, weights)[:, None], y.shape), z
