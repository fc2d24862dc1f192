"""The loss of the halting head, one value per example.

>>> import jax.numpy as jnp
>>> from cgar_jax import losses
>>> print(losses.halting_loss(jnp.zeros(2), jnp.array([True, False])).round(3))
[0.693 0.693]

Rules that decide when an example halts are not losses and belong to the recursion.
"""

import chex
import jax

from cgar_jax.losses.binary import masked_binary_cross_entropy


def halting_loss(
    halt_logits: chex.Array, solved: chex.Array, *, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """Computes the binary cross-entropy of predicting that an example is solved.

    `-log sigmoid(q)` for a solved example and `-log(1 - sigmoid(q))` for any other.

    Use it to train a head that decides when to stop thinking.

    Args:
      halt_logits: outputs of the halting head, float `[batch]`.
      solved: whether every token of the answer is right, bool `[batch]`.
      where: mask, bool `[batch]`; False examples do not count. Mask padded rows: without any wrong
        token they look solved and would train the head.

    Returns:
      Losses, float32 `[batch]`, with value 0 and gradient 0 for examples that do not count. TRM
      adds half of this loss to the token loss; the factor is not applied here.

    Raises:
      ValueError: if `halt_logits` and `solved` have different shapes, or the axes of `where` are
        not the leading axes of `solved`.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import halting_loss
      >>> print(halting_loss(jnp.array([4.0, 4.0]), jnp.array([True, False])).round(3))
      [0.018 4.018]

    Reference:
      Jolicoeur-Martineau, 2025, "Less is More: Recursive Reasoning with Tiny Networks", arXiv
      2510.04871; as in the published code.
    """
    return masked_binary_cross_entropy("halting_loss", "solved", halt_logits, solved, where)
