"""The recursion: latent recursion, deep recursion, and one supervision step of a model.

Pure functions over any network `f`. They know nothing of losses, halting or curricula; depth is
static, so every depth is a compiled program of its own and a shallow one really costs less.
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from cgar_jax._core.depth import Depth

__all__ = ["Depth", "deep_recursion", "latent_recursion", "supervision_step"]

Network = Callable[[jax.Array], jax.Array]

# For policies of `jax.checkpoint`: with these kept, only the last cycle is run again.
STATES_BEFORE_GRADIENT = "states_before_gradient"


def latent_recursion(
    f: Network, x: jax.Array, y: jax.Array, z: jax.Array, n: int
) -> tuple[jax.Array, jax.Array]:
    """Thinks `n` times about the latent, then once about the answer.

    `z <- f(x + y + z)` n times, then `y <- f(y + z)`.

    Args:
      f: the network, from an array to one of the same shape and dtype.
      x: the embedded question.
      y: the answer state, of the same shape.
      z: the latent state, of the same shape.
      n: latent updates, a Python int.

    Returns:
      The new `(y, z)`.

    Source: Jolicoeur-Martineau 2025, arXiv 2510.04871.
    """
    z, _ = lax.scan(lambda z, _: (f(x + y + z), None), z, length=n)
    return f(y + z), z


def deep_recursion(
    f: Network, x: jax.Array, y: jax.Array, z: jax.Array, depth: Depth
) -> tuple[jax.Array, jax.Array]:
    """T latent recursions, of which only the last is differentiated (through all its n + 1 calls).

    The backward pass keeps the input of each network call and recomputes the rest, so that memory
    grows with n but not with T, nor with what is inside `f`.

    Args:
      f: the network, from an array to one of the same shape and dtype. It may close over
        parameters that are being differentiated.
      x: the embedded question.
      y: the answer state, of the same shape and dtype.
      z: the latent state, of the same shape and dtype.
      depth: `Depth(n, T)`, static.

    Returns:
      The new `(y, z)`, of the shapes and dtypes of the old.

    Raises:
      AssertionError: the shapes or dtypes of x, y and z differ.

    Source: Jolicoeur-Martineau 2025, arXiv 2510.04871.
    """
    chex.assert_equal_shape([x, y, z])
    chex.assert_trees_all_equal_dtypes(x, y, z)
    if depth.T > 1:
        y, z = _detached_cycles(f, x, y, z, depth)
        y, z = checkpoint_name((y, z), STATES_BEFORE_GRADIENT)
    return latent_recursion(jax.checkpoint(f), x, y, z, depth.n)


def _detached_cycles(f, x, y, z, depth):
    """All latent recursions but the last, without gradient."""
    # Stopping the gradient of the result alone would still trace derivatives through these cycles,
    # so what `f` closes over is lifted out and detached as well.
    pure_f, closed_over = jax.closure_convert(f, y)
    x, y, z, closed_over = lax.stop_gradient((x, y, z, closed_over))

    def cycle(states, _):
        return latent_recursion(lambda h: pure_f(h, *closed_over), x, *states, depth.n), None

    return lax.scan(cycle, (y, z), length=depth.T - 1)[0]


def supervision_step(
    model: Any,
    variables: dict,
    inputs: jax.Array,
    puzzle_rows: jax.Array,
    y: jax.Array,
    z: jax.Array,
    depth: Depth,
) -> tuple[jax.Array, jax.Array, Any]:
    """Refines an answer by one deep recursion and reads it: what one supervision step computes.

    Args:
      model: a flax module with methods `embed(inputs, puzzle_rows)`, `network(h)` and `heads(y)`,
        of which `network` has the batch at `model.batch_axis`, the others in front.
      variables: its variables; `puzzle_embedding` may be left out.
      inputs: int tokens `[batch, sequence_length]`.
      puzzle_rows: rows of the puzzle embedding, `[batch, puzzle_embedding_size]`.
      y, z: the states before, `[batch, length, hidden]`.
      depth: `Depth(n, T)`, static.

    Returns:
      `(y, z, outputs)`: the states after, still attached to the gradient, and the heads' outputs.
    """

    def part(method, *arguments):
        return model.apply(variables, *arguments, method=method)

    states = part("embed", inputs, puzzle_rows), y, z
    x, y, z = (jnp.moveaxis(state, 0, model.batch_axis) for state in states)
    y, z = deep_recursion(lambda h: part("network", h), x, y, z, depth)
    y, z = (jnp.moveaxis(state, model.batch_axis, 0) for state in (y, z))
    return y, z, part("heads", y)
