"""The recursion: latent recursion, deep recursion and one supervision step of a model.

The functions here are pure and take any network `f`. They do not depend on losses, halting or
curricula. Depth is static, so every depth is its own compiled program, and a shallow one really
costs less.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
from jax import lax
from jax import numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from cgar_jax._core.depth import Depth
from cgar_jax.models import Model, Outputs

Network = Callable[[jax.Array], jax.Array]
States = tuple[jax.Array, jax.Array]
"""The answer state `y` and the latent state `z`."""

STATES_BEFORE_GRADIENT = "states_before_gradient"
"""The name of the states before the last cycle, for policies of `jax.checkpoint`.

With a policy that saves only these states, the backward pass recomputes only the last cycle.
"""


class Question(NamedTuple):
    """A batch of questions for a model.

    Attributes:
      inputs: tokens, int `[batch, sequence_length]`.
      puzzle_rows: rows of the puzzle embedding, `[batch, puzzle_embedding_size]`.
    """

    inputs: jax.Array
    puzzle_rows: jax.Array


def latent_recursion(f: Network, x: jax.Array, states: States, n: int) -> States:
    """Updates the latent state `n` times, then the answer state once: one cycle.

    `z <- f(x + y + z)` n times, then `y <- f(y + z)`.

    Args:
      f: the network, from an array to one of the same shape and dtype.
      x: the embedded question.
      states: the answer state `y` and the latent state `z`, shaped like `x`.
      n: number of latent updates, a Python int.

    Returns:
      The new `(y, z)`.

    Reference:
      Jolicoeur-Martineau, 2025, arXiv 2510.04871.
    """
    y, z = states
    z, _ = lax.scan(lambda z, _: (f(x + y + z), None), z, length=n)
    return f(y + z), z


def deep_recursion(f: Network, x: jax.Array, states: States, depth: Depth) -> States:
    """Runs `depth.T` cycles, of which only the last one is differentiated.

    The gradient passes through all n + 1 network calls of the last cycle. The backward pass keeps
    the input of each of these calls and recomputes the rest, so memory grows with n, but neither
    with T nor with the number of operations inside `f`.

    Args:
      f: the network, from an array to one of the same shape and dtype. It may close over
        parameters that are being differentiated.
      x: the embedded question.
      states: the answer state `y` and the latent state `z`, with the shape and dtype of `x`.
      depth: static `Depth(n, T)`.

    Returns:
      The new `(y, z)`.

    Raises:
      AssertionError: if the shapes or dtypes of `x`, `y` and `z` differ.

    Reference:
      Jolicoeur-Martineau, 2025, arXiv 2510.04871.
    """
    chex.assert_equal_shape([x, *states])
    chex.assert_trees_all_equal_dtypes(x, *states)
    if depth.T > 1:
        states = _detached_cycles(f, x, states, depth)
        states = checkpoint_name(states, STATES_BEFORE_GRADIENT)
    return latent_recursion(jax.checkpoint(f), x, states, depth.n)


def _detached_cycles(f: Network, x: jax.Array, states: States, depth: Depth) -> States:
    """Runs all cycles but the last, without gradient."""
    # Stopping the gradient of the result would still trace derivatives through these cycles, so
    # the arrays that `f` closes over are lifted out and detached as well.
    pure_f, closed_over = jax.closure_convert(f, x)
    x, states, closed_over = lax.stop_gradient((x, states, closed_over))

    def cycle(states, _):
        return latent_recursion(lambda h: pure_f(h, *closed_over), x, states, depth.n), None

    return lax.scan(cycle, states, length=depth.T - 1)[0]


def supervision_step(
    model: Model, variables: dict[str, Any], question: Question, states: States, depth: Depth
) -> tuple[States, Outputs]:
    """Computes one supervision step: embeds the question, runs a deep recursion, reads the answer.

    Args:
      model: the model.
      variables: variables of the model, `{"params": ..., "constants": ...}`.
      question: the question of each example.
      states: the states before the step, each `[batch, *model.state_shape]`.
      depth: static `Depth(n, T)`.

    Returns:
      `(states, outputs)`: the states after the step, still attached to the gradient, and the
      outputs of the heads.
    """

    def call(method, *arguments):
        return model.apply(variables, *arguments, method=method)

    arrays = call("embed", *question), *states
    x, y, z = (jnp.moveaxis(array, 0, model.batch_axis) for array in arrays)
    y, z = deep_recursion(lambda h: call("network", h), x, (y, z), depth)
    y, z = (jnp.moveaxis(array, model.batch_axis, 0) for array in (y, z))
    return (y, z), call("heads", y)
