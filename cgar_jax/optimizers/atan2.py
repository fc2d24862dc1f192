"""Adam-atan2: Adam without an epsilon, so that its updates do not depend on the gradients' scale.

>>> import jax.numpy as jnp
>>> from cgar_jax import optimizers
>>> optimizer, params = optimizers.adam_atan2(0.1), jnp.array([1.0])
>>> updates, _ = optimizer.update(jnp.array([1e-6]), optimizer.init(params), params)
>>> print(updates.round(4))
[-0.0785]

This file has only the two transformations; `cgar_jax.optimizers.build` adds the schedule and
clipping.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax


def scale_by_adam_atan2(b1: float = 0.9, b2: float = 0.95) -> optax.GradientTransformation:
    """Returns Adam's scaling of gradients, with an arctangent in place of the division.

        m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2
        update = atan2(m / (1 - b1^t), sqrt(v / (1 - b2^t))),   t = 1, 2, ...

    For `|m|` much smaller than `sqrt(v)` this is Adam's `m / sqrt(v)`. The update is bounded by
    pi / 2, and a first or constant gradient gives pi / 4 where Adam gives 1. A gradient that is
    always 0 gives update 0. Use it in place of `optax.scale_by_adam` to have no epsilon to tune.

    Multiplying all gradients by a constant changes nothing as long as their squares fit float32:
    below about 1e-19, `v` underflows to 0 and the update becomes pi / 2 times the sign; above about
    1e19, `v` overflows and the update becomes 0.

    Args:
      b1: decay of the first moment.
      b2: decay of the second moment.

    Returns:
      A transformation whose state is `optax.ScaleByAdamState`. Moments and updates are float32 for
      gradients of any dtype; `optax.apply_updates` casts to the dtype of the parameters.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import optimizers
      >>> transform = optimizers.scale_by_adam_atan2()
      >>> gradients = jnp.array([1e-6, -1e6, 0.0])
      >>> updates, _ = transform.update(gradients, transform.init(gradients))
      >>> [round(float(update), 3) for update in updates]
      [0.785, -0.785, 0.0]

    Reference:
      Everett et al., 2024, "Scaling Exponents Across Parameterizations and Optimizers", arXiv
      2407.05872. Both moments are bias-corrected inside the arctangent; the optimizer that HRM and
      TRM use corrects the first one outside.
    """

    def init(params: optax.Params) -> optax.ScaleByAdamState:
        # Two trees instead of one used twice: a donated state must not repeat a buffer.
        mu, nu = (optax.tree.zeros_like(params, dtype=jnp.float32) for _ in range(2))
        return optax.ScaleByAdamState(count=jnp.zeros((), jnp.int32), mu=mu, nu=nu)

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.ScaleByAdamState]:
        del params
        gradients = optax.tree.cast(updates, jnp.float32)
        count = optax.safe_increment(state.count)
        mu = optax.tree.update_moment(gradients, state.mu, b1, 1)
        nu = optax.tree.update_moment(gradients, state.nu, b2, 2)
        updates = jax.tree.map(
            lambda m, v: jnp.atan2(m, jnp.sqrt(v)),
            optax.tree.bias_correction(mu, b1, count),
            optax.tree.bias_correction(nu, b2, count),
        )
        return updates, optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

    return optax.GradientTransformation(init, update)


def adam_atan2(
    learning_rate: optax.ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.95,
    weight_decay: float = 0.0,
    mask: optax.MaskOrFn = None,
) -> optax.GradientTransformationExtraArgs:
    """Returns Adam-atan2 with decoupled weight decay, the optimizer of HRM and TRM.

        p <- p - lr (atan2(m, sqrt(v)) + weight_decay p)

    with the moments of `scale_by_adam_atan2`.

    Args:
      learning_rate: learning rate, a number or a schedule of the update's index.
      b1: decay of the first moment.
      b2: decay of the second moment.
      weight_decay: decoupled weight decay, multiplied by the learning rate as in `optax.adamw`.
      mask: parameters that decay, as in `optax.adamw`; None means all of them, as published.

    Returns:
      A gradient transformation, whose `update` needs the parameters.

    Example:
      >>> import jax.numpy as jnp
      >>> import optax
      >>> from cgar_jax import optimizers
      >>> params = jnp.array([1.0, -2.0])
      >>> optimizer = optimizers.adam_atan2(0.1)
      >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
      >>> [round(float(param), 3) for param in optax.apply_updates(params, updates)]
      [0.921, -1.921]

    Reference:
      Everett et al., 2024, arXiv 2407.05872; b1 and b2 are those of TRM's published code.
    """
    return optax.chain(
        scale_by_adam_atan2(b1, b2),
        optax.add_decayed_weights(weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )
