"""The loss of keeping or eliminating candidates.

>>> import jax.numpy as jnp
>>> from cgar_jax import losses
>>> print(losses.keep_loss(jnp.zeros(2), jnp.array([True, False])).round(3))
[2.773 0.347]

The other losses of candidate elimination are a cross-entropy (`cross_entropy`) and a binary
cross-entropy (`halting_head`).
"""

import chex
import jax
import jax.numpy as jnp

from cgar_jax.losses.binary import masked_binary_cross_entropy


def keep_loss(
    keep_logits: chex.Array,
    right: chex.Array,
    *,
    where: jax.typing.ArrayLike | None = None,
    right_weight: float = 4.0,
    wrong_weight: float = 0.5,
) -> jax.Array:
    """Computes the binary cross-entropy of keeping each candidate, with unequal weights.

        -right_weight log sigmoid(k)         for a right candidate
        -wrong_weight log(1 - sigmoid(k))    for a wrong one

    Eliminating a right candidate makes a puzzle unsolvable, while keeping a wrong one costs only
    time, so with the defaults the first counts eight times as much.

    Args:
      keep_logits: logits of keeping each candidate, float `[...]`.
      right: whether the candidate is part of the solution, bool `[...]`.
      where: mask, bool `[...]` or its leading axes; False entries do not count. None means that
        all count.
      right_weight: weight of right candidates.
      wrong_weight: weight of wrong candidates.

    Returns:
      Losses, float32 `[...]`, with value 0 and gradient 0 for entries that do not count.

    Raises:
      ValueError: if `right` or `where` has the wrong shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import keep_loss
      >>> print(keep_loss(jnp.array([9.0, 9.0]), jnp.array([True, False])).round(3))
      [0.    4.5]

    Reference:
      Davis, Haller, Alfarano and Santolucito, 2026, arXiv 2605.08605, as in the released code.
    """
    losses = masked_binary_cross_entropy("keep_loss", "right", keep_logits, right, where)
    return jnp.where(right, right_weight, wrong_weight) * losses
