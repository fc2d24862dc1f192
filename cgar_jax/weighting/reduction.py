"""The reduction of unreduced losses and a weighting to one scalar that can be differentiated.

>>> import jax.numpy as jnp
>>> from cgar_jax import weighting
>>> focal, losses = weighting.focal_weighting(gamma=1.0), jnp.array([0.1, 2.0])
>>> loss, (state, info) = weighting.weighted_mean(focal, losses, focal.init(losses))
>>> print(f"{loss:.3f} {info.effective_sample_size:.3f}")
0.869 1.217

This file has the library's only reduction over the batch. Losses are computed in `cgar_jax.losses`.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.masking import masked_mean, valid_entries


class WeightStatistics(NamedTuple):
    """Statistics of the weights of one loss term over its valid entries; 0 if there are none.

    Attributes:
      mean: mean weight, float32 scalar.
      min: smallest weight, float32 scalar.
      max: largest weight, float32 scalar.
      effective_sample_size: `sum(w)^2 / sum(w^2)`, float32 scalar, from 1 (one entry has all the
        weight) to the number of valid entries (all weights are equal).
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
) -> tuple[jax.Array, tuple[optax.OptState, Any]]:
    """Computes the weighted mean of the losses, summed over the loss terms.

    The result is `sum over terms of sum(w * loss) / max(number of valid entries, 1)`, where the
    weights `w` are ones that the weighting has updated.

    The return value has the form that a loss function needs under
    `jax.value_and_grad(loss_fn, has_aux=True)`.

    Args:
      weighting: a weighting, or any other optax transformation of weights.
      losses: unreduced losses, float `[batch]` or `[batch, steps]`, or a pytree with one such array
        per loss term.
      state: state of the weighting: `weighting.init(losses)`, or the state that the previous call
        returned.
      where: mask, bool `[batch]` or the shape of the losses. Losses where it is False have no
        influence on the value or on the gradient, even if they are NaN.
      **extra_args: extra arguments of the weighting, for example `supervision_step`.

    Returns:
      The loss, a float32 scalar, and the pair `(state, info)`: the new state of the weighting, and
      a `WeightStatistics` for each loss term, in the tree structure of the losses.

    Raises:
      ValueError: if the axes of `where` are not the leading axes of the losses, or the weighting
        raises an error.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> hsw = weighting.hierarchical_supervision_weighting(decay=0.5, num_steps=2)
      >>> def loss_fn(params, state):
      ...     losses = jnp.square(params - jnp.array([[1.0, 2.0], [3.0, 4.0]]))  # [batch, steps]
      ...     return weighting.weighted_mean(hsw, losses, state)
      >>> state = hsw.init(jnp.zeros((2, 2)))
      >>> gradient_fn = jax.value_and_grad(loss_fn, has_aux=True)
      >>> (loss, (state, info)), gradient = gradient_fn(jnp.float32(0), state)
      >>> print(f"{loss:.2f} {gradient:.2f} {info.max:.2f}")
      3.33 -2.33 0.67
    """
    _check_no_accumulation(state)
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


def _check_no_accumulation(state: optax.OptState) -> None:
    def is_accumulator(node):
        return isinstance(node, optax.MultiStepsState)

    if any(map(is_accumulator, jax.tree.leaves(state, is_leaf=is_accumulator))):
        raise ValueError(
            "weighted_mean: the weighting contains optax.MultiSteps, but weights cannot be "
            "accumulated: they would be 0 in most updates; put the accumulation around the "
            "optimizer, optax.MultiSteps(optimizer, every_k_schedule), and pass the plain weighting"
        )


def _statistics(weights: jax.Array, valid: jax.Array) -> WeightStatistics:
    weights = jnp.where(valid, weights, 0)
    any_valid = valid.any()
    total, total_of_squares = weights.sum(), jnp.square(weights).sum()
    return WeightStatistics(
        mean=masked_mean(weights, valid),
        min=jnp.where(any_valid, weights.min(initial=jnp.inf, where=valid), 0),
        max=jnp.where(any_valid, weights.max(initial=-jnp.inf, where=valid), 0),
        effective_sample_size=jnp.square(total)
        / jnp.where(total_of_squares > 0, total_of_squares, 1),
    )
