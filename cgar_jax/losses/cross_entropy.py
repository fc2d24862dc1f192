"""Cross-entropy over a vocabulary, one value per token: stablemax and softmax.

No reduction happens here. Logits of any float dtype are read as float32.
"""

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import valid_labels


def log_stablemax(logits: chex.Array, axis: int = -1) -> jax.Array:
    """Log-probabilities of stablemax, a softmax whose exponential grows only linearly.

    ``log(s(x) / sum s(x))`` with ``s(x) = x + 1`` for ``x >= 0`` and ``1 / (1 - x)`` for ``x < 0``.
    Since ``log s(x) = sign(x) log(1 + |x|)``, stablemax is the softmax of that, and is computed so.

    Args:
      logits: ``[..., vocab]``, any float dtype.
      axis: the axis of the vocabulary.

    Returns:
      float32, the shape of ``logits``. It agrees with float64 to a few float32 roundings, in value
      and gradient, for every finite logit.

    Source: Prieto, Barsbey, Mediano, Birdal, 2025, arXiv 2501.04697; certain. The published TRM
    code works in float64 and adds 1e-30 to ``1 - x``, which changes nothing in float32.
    """
    logits = logits.astype(jnp.float32)
    # Each branch sees only logits of its own side and zeros for the rest, so that both are finite
    # with finite gradients everywhere: a gradient through `where` multiplies the branch not taken
    # by zero, and 0 * inf is NaN.
    positive = logits >= 0
    log_above = jnp.log1p(jnp.where(positive, logits, 0))
    log_below = -jnp.log1p(-jnp.where(positive, 0, logits))
    return jax.nn.log_softmax(jnp.where(positive, log_above, log_below), axis=axis)


def stablemax_cross_entropy_loss(
    logits: chex.Array, labels: chex.Array, *, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """Cross-entropy of the labels under stablemax, per token.

    ``-log(s(x_label) / sum s(x))``, with ``s`` as in `log_stablemax`.

    Args:
      logits: ``[..., vocab]``, any float dtype.
      labels: ``[...]``, int, in ``0 .. vocab - 1`` or `IGNORE_LABEL`.
      where: bool, ``[...]`` or its leading axes; False does not count. None counts every token
        whose label is not `IGNORE_LABEL`.

    Returns:
      float32 ``[...]``. A token that does not count has value 0 and gradient 0, whatever its
      logits and label.

    Raises:
      ValueError: the shape of ``labels`` is not that of ``logits`` without its last axis; the axes
        of ``where`` are not the leading ones of ``labels``.

    Source: Prieto et al., 2025, arXiv 2501.04697; the token loss of HRM and TRM; certain.
    """
    valid, logits, labels = _countable("stablemax_cross_entropy_loss", logits, labels, where)
    log_probabilities = jnp.take_along_axis(log_stablemax(logits), labels[..., None], axis=-1)
    return jnp.where(valid, -log_probabilities[..., 0], 0)


def softmax_cross_entropy_loss(
    logits: chex.Array, labels: chex.Array, *, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """Cross-entropy of the labels under softmax, per token: optax's, in float32, masked safely.

    ``-log(exp(x_label) / sum exp(x))``.

    Args:
      logits: ``[..., vocab]``, any float dtype.
      labels: ``[...]``, int, in ``0 .. vocab - 1`` or `IGNORE_LABEL`.
      where: bool, as in `stablemax_cross_entropy_loss`.

    Returns:
      float32 ``[...]``, value 0 and gradient 0 for a token that does not count.

    Raises:
      ValueError: the shape of ``labels`` is not that of ``logits`` without its last axis; the axes
        of ``where`` are not the leading ones of ``labels``.

    Source: `optax.softmax_cross_entropy_with_integer_labels`; certain.
    """
    valid, logits, labels = _countable("softmax_cross_entropy_loss", logits, labels, where)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.where(valid, losses, 0)


def _countable(
    owner: str, logits: chex.Array, labels: chex.Array, where: jax.typing.ArrayLike | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return which tokens count, and float32 logits and labels that are harmless where not."""
    check_shape(owner, "labels", labels, logits.shape[:-1])
    valid = valid_labels(labels, where)
    logits = jnp.where(valid[..., None], logits.astype(jnp.float32), 0)
    return valid, logits, jnp.where(valid, labels, 0)
