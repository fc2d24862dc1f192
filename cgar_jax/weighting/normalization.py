"""Putting weights back on a common scale."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.masking import masked_mean, valid_entries


def unit_mean_weighting(axis_name: str | None = None) -> optax.GradientTransformationExtraArgs:
    """Rescale the weights of each loss term to mean 1 over the entries that count.

    ``w / mean(w)``: what a chain before it does to the overall size of the loss is undone; how it
    ranks the examples stays.

    Extra arguments of ``update``:
      where: bool, the losses' shape or ``[batch]``; False gets weight 0 and is not in the mean.

    Args:
      axis_name: the mesh axis to take the mean over, too; for `jax.shard_map`, not for `jax.jit`.

    Returns:
      A transformation without state. Weights that are all zero, or all masked, come out as zeros.

    Raises:
      ValueError: at the first update (trace time), a ``where`` of another shape.
    """

    def update(
        weights: chex.ArrayTree,
        state: optax.EmptyState,
        losses: chex.ArrayTree | None = None,
        *,
        where: chex.Array | None = None,
        **extra_args: Any,
    ) -> tuple[chex.ArrayTree, optax.EmptyState]:
        del losses, extra_args

        def rescale(weight: jax.Array) -> jax.Array:
            valid = valid_entries(where, weight.shape)
            mean = masked_mean(weight, valid, axis_name=axis_name)
            rescaled = weight.astype(jnp.float32) / jnp.where(mean > 0, mean, 1)
            return jnp.where(valid, rescaled, 0).astype(weight.dtype)

        return jax.tree.map(rescale, weights), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
