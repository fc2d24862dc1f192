"""Adam-atan2: Adam without an epsilon, so that its updates do not depend on the gradients' scale.

>>> import jax.numpy as jnp
>>> from cgar_jax import optimizers
>>> optimizer, params = optimizers.adam_atan2(0.1), jnp.array([1.0])
>>> updates, _ = optimizer.update(jnp.array([1e-6]), optimizer.init(params), params)
>>> print(updates.round(4))
[-0.0997]

This file has only the two transformations; `cgar_jax.optimizers.build` adds the schedule and
clipping.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name


def scale_by_adam_atan2(
    b1: float = 0.9,
    b2: float = 0.95,
    bias_correction: Literal["outside", "inside"] = "outside",
) -> optax.GradientTransformation:
    """Returns Adam's scaling of gradients, with an arctangent in place of the division.

        m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2
        update = atan2(m, sqrt(v / (1 - b2^t))) / (1 - b1^t),   t = 1, 2, ...

    For `|m|` much smaller than `sqrt(v)` this is Adam's `m / sqrt(v)`. Where Adam gives 1 for a
    constant gradient, this update is atan(1 - b1) / (1 - b1) at first, 0.997 with the default `b1`,
    and approaches pi / 4. A gradient that is always 0 gives update 0. Use it in place of
    `optax.scale_by_adam` to have no epsilon to tune.

    Multiplying all gradients by a constant changes nothing as long as their squares fit float32:
    below about 1e-19, `v` underflows to 0 and the arctangent becomes pi / 2 times the sign; above
    about 1e19, `v` overflows and the update becomes 0.

    Args:
      b1: decay of the first moment, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      bias_correction: where the first moment is corrected. `"outside"` divides the arctangent by
        `1 - b1^t`, as above and in the published code of HRM and TRM. `"inside"` divides `m`, so
        that the update is at most pi / 2, and pi / 4 for a first or constant gradient. Both agree
        as soon as `b1^t` is negligible.

    Returns:
      A transformation whose state is `optax.ScaleByAdamState`. Moments and updates are float32 for
      gradients of any dtype; `optax.apply_updates` casts to the dtype of the parameters.

    Raises:
      ValueError: if `b1` or `b2` is out of range, or `bias_correction` is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import optimizers
      >>> transform = optimizers.scale_by_adam_atan2()
      >>> gradients = jnp.array([1e-6, -1e6, 0.0])
      >>> updates, _ = transform.update(gradients, transform.init(gradients))
      >>> [round(float(update), 3) for update in updates]
      [0.997, -0.997, 0.0]

    Reference:
      Everett et al., 2024, "Scaling Exponents Across Parameterizations and Optimizers", arXiv
      2407.05872. `"outside"` follows the optimizer of the published code of HRM and TRM; the
      package adam-atan2-pytorch corrects `"inside"`.
    """
    check_number("scale_by_adam_atan2", "b1", b1, "[0, 1)")
    check_number("scale_by_adam_atan2", "b2", b2, "[0, 1)")
    check_name("bias_correction", bias_correction, ("outside", "inside"))

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
        v_hat = optax.tree.bias_correction(nu, b2, count)
        if bias_correction == "inside":
            updates = _atan2(optax.tree.bias_correction(mu, b1, count), v_hat)
        else:
            updates = optax.tree.bias_correction(_atan2(mu, v_hat), b1, count)
        return updates, optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

    return optax.GradientTransformation(init, update)


def _atan2(m: optax.Updates, v: optax.Updates) -> optax.Updates:
    return jax.tree.map(lambda m, v: jnp.atan2(m, jnp.sqrt(v)), m, v)


def adam_atan2(
    learning_rate: optax.ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.95,
    weight_decay: float = 0.0,
    mask: optax.MaskOrFn = None,
    bias_correction: Literal["outside", "inside"] = "outside",
) -> optax.GradientTransformationExtraArgs:
    """Returns Adam-atan2 with decoupled weight decay, the optimizer of HRM and TRM.

        p <- p - lr (atan2(m, sqrt(v / (1 - b2^t))) / (1 - b1^t) + weight_decay p)

    with the moments of `scale_by_adam_atan2`. Under a constant gradient and without weight decay,
    the steps are 0.997 lr at first and 0.79 lr later.

    Args:
      learning_rate: learning rate, a number or a schedule of the update's index.
      b1: decay of the first moment, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      weight_decay: decoupled weight decay, at least 0, multiplied by the learning rate as in
        `optax.adamw`.
      mask: parameters that decay, as in `optax.adamw`; None means all of them, as published.
      bias_correction: where the first moment is corrected, see `scale_by_adam_atan2`.

    Returns:
      A gradient transformation, whose `update` needs the parameters.

    Raises:
      ValueError: if a number is out of range, or `bias_correction` is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> import optax
      >>> from cgar_jax import optimizers
      >>> params = jnp.array([1.0, -2.0])
      >>> optimizer = optimizers.adam_atan2(0.1)
      >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
      >>> [round(float(param), 3) for param in optax.apply_updates(params, updates)]
      [0.9, -1.9]

    Reference:
      Everett et al., 2024, arXiv 2407.05872; as in the published code of HRM and TRM, with TRM's b1
      and b2.
    """
    check_number("adam_atan2", "weight_decay", weight_decay, "[0, inf)")
    return optax.chain(
        scale_by_adam_atan2(b1, b2, bias_correction),
        optax.add_decayed_weights(weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )
