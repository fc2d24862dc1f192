"""The one reduction: unreduced losses and a weighting become a scalar to differentiate."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.masking import masked_mean, valid_entries


class WeightStatistics(NamedTuple):
    """How the weights of one loss term are spread, over the entries that count; float32 scalars.

    Attributes:
      mean: their mean.
      min: the smallest.
      max: the largest.
      effective_sample_size: ``sum(w)^2 / sum(w^2)``, from 1 (one entry has all the weight) to the
        number of entries (all weigh the same).
    All are 0 where no entry counts.
    """

    mean: jax.Array
    min: jax.Array
    max: jax.Array
    effective_sample_size: jax.Array


def weighted_mean(
    weighting: optax.GradientTransformation,
    losses: chex.ArrayTree,
    state: optax.OptState,
    *,
    where: chex.Array | None = None,
    **extra_args: Any,
) -> tuple[jax.Array, tuple[optax.OptState, chex.ArrayTree]]:
    """Weigh the losses, starting from ones, and reduce them to one scalar.

    ``sum over terms of sum(w * loss) / max(number of valid entries, 1)``.

    Made to be what a loss function returns under ``jax.value_and_grad(loss_fn, has_aux=True)``.

    Args:
      weighting: any optax transformation, as in `cgar_jax.weighting`.
      losses: unreduced, ``[batch]`` or ``[batch, steps]``, or a pytree of such, one leaf per term.
      state: ``weighting.init(losses)``, or what the last call returned.
      where: bool, ``[batch]`` or the shape of the losses; False counts nowhere: what the loss is
        there, NaN included, reaches neither the value nor the gradient.
      **extra_args: handed to the weighting, for example ``supervision_step=...``.

    Returns:
      The scalar, float32, and ``(state, info)``: the new state, and a `WeightStatistics` for each
      loss term, in the structure of ``losses``.

    Raises:
      ValueError: the axes of ``where`` are not the leading ones of the losses; what the weighting
        raises.
    """
    valid = jax.tree.map(lambda loss: valid_entries(where, loss.shape), losses)
    losses = jax.tree.map(
        lambda loss, valid: jnp.where(valid, loss, 0).astype(jnp.float32), losses, valid
    )
    weights, state = optax.with_extra_args_support(weighting).update(
        jax.tree.map(jnp.ones_like, losses), state, losses, where=where, **extra_args
    )
    means = jax.tree.map(
        lambda weight, loss, valid: masked_mean(weight * loss, valid), weights, losses, valid
    )
    info = jax.tree.map(_statistics, weights, valid)
    return jax.tree.reduce(jnp.add, means), (state, info)


def _statistics(weights: jax.Array, valid: jax.Array) -> WeightStatistics:
    weights = jnp.where(valid, weights, 0)
    some = valid.any()
    total, total_of_squares = weights.sum(), jnp.square(weights).sum()
    return WeightStatistics(
        mean=masked_mean(weights, valid),
        min=jnp.where(some, weights.min(initial=jnp.inf, where=valid), 0),
        max=jnp.where(some, weights.max(initial=-jnp.inf, where=valid), 0),
        effective_sample_size=jnp.square(total)
        / jnp.where(total_of_squares > 0, total_of_squares, 1),
    )
