"""The loss of the halting head, one value per example."""

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import valid_entries


def halting_loss(
    halt_logits: chex.Array, solved: chex.Array, *, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """Binary cross-entropy of the halting head's prediction that the example is solved.

    ``-log sigmoid(q)`` for a solved example, ``-log(1 - sigmoid(q))`` for one that is not.

    Args:
      halt_logits: ``[batch]``, any float dtype.
      solved: ``[batch]``, bool: every token of the answer is right.
      where: bool ``[batch]``; False does not count. A padded row has no wrong token, so it looks
        solved and would train the head: mask it.

    Returns:
      float32 ``[batch]``, value 0 and gradient 0 for an example that does not count. TRM adds half
      of it to the token loss; that half is not applied here.

    Raises:
      ValueError: the shapes of ``halt_logits`` and ``solved`` differ; the axes of ``where`` are
        not the leading ones of ``solved``.

    Source: Jolicoeur-Martineau, 2025, arXiv 2510.04871; certain (published code).
    """
    check_shape("halting_loss", "solved", solved, halt_logits.shape)
    valid = valid_entries(where, solved.shape)
    logits = jnp.where(valid, halt_logits.astype(jnp.float32), 0)
    losses = optax.sigmoid_binary_cross_entropy(logits, solved.astype(jnp.float32))
    return jnp.where(valid, losses, 0)
