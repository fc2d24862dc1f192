"""Rescaling of weights to a common mean, after or between other weightings.

>>> import jax.numpy as jnp
>>> from cgar_jax import weighting
>>> unit_mean = weighting.unit_mean_weighting()
>>> weights = jnp.array([1.0, 3.0])
>>> print(unit_mean.update(weights, unit_mean.init(weights))[0])
[0.5 1.5]
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.masking import masked_mean, valid_entries


def unit_mean_weighting(axis_name: str | None = None) -> optax.GradientTransformationExtraArgs:
    """Rescales the weights of each loss term to mean 1 over the valid entries.

    `w <- w / mean(w)`.

    Put it after the weightings of a chain, so that they change how much examples count relative to
    each other, but not the overall size of the loss, and the learning rate keeps its meaning. Put
    the coefficient of a loss term, such as `optax.masked(optax.scale(0.1), {"halt": True, "answer":
    False})`, after it, because it would cancel the coefficient. Weights whose mean is zero or
    negative remain unchanged.

    Args:
      axis_name: mesh axis to include in the mean, for `jax.shard_map`; not needed under `jax.jit`.

    Extra arguments:
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0 and are
        excluded from the mean.

    Returns:
      A weighting without state, which does not depend on the values of the losses.

    Raises:
      ValueError: at the first update (trace time), if the shape of `where` does not fit the
        losses.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> import optax
      >>> from cgar_jax import weighting
      >>> chain = optax.chain(weighting.focal_weighting(gamma=2.0), weighting.unit_mean_weighting())
      >>> losses = jnp.array([0.1, 2.0])
      >>> weights, _ = chain.update(jnp.ones(2), chain.init(losses), losses)
      >>> print(np.asarray(weights).round(3))
      [0.024 1.976]

    Reference:
      Common practice, without a paper.
    """

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        *,
        where: chex.Array | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        del params, extra_args

        def rescale(weight: jax.Array) -> jax.Array:
            valid = valid_entries(where, weight.shape)
            mean = masked_mean(weight, valid, axis_name=axis_name)
            rescaled = weight.astype(jnp.float32) / jnp.where(mean > 0, mean, 1)
            return jnp.where(valid, rescaled, 0).astype(weight.dtype)

        return jax.tree.map(rescale, updates), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
