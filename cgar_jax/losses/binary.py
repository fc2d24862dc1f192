"""The masked binary cross-entropy that several losses share."""

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import valid_entries


def masked_binary_cross_entropy(
    owner: str,
    argument: str,
    logits: chex.Array,
    targets: chex.Array,
    where: jax.typing.ArrayLike | None,
) -> jax.Array:
    """Computes `-log sigmoid(x)` for a true target and `-log(1 - sigmoid(x))` for a false one.

    Args:
      owner: name of the public loss, for errors.
      argument: name of its targets, for errors.
      logits: float `[...]`.
      targets: bool `[...]`, or probabilities of being true.
      where: mask, bool `[...]` or its leading axes; None means that all entries count.

    Returns:
      Losses, float32 `[...]`, with value 0 and gradient 0 for entries that do not count.

    Raises:
      ValueError: if `targets` or `where` has the wrong shape.
    """
    check_shape(owner, argument, targets, logits.shape)
    valid = valid_entries(where, targets.shape)
    logits = jnp.where(valid, logits.astype(jnp.float32), 0)
    losses = optax.sigmoid_binary_cross_entropy(logits, targets.astype(jnp.float32))
    return jnp.where(valid, losses, 0)
