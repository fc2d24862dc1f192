"""Cross-entropies over a vocabulary, one value per token.

>>> import jax.numpy as jnp
>>> from cgar_jax import losses
>>> logits, labels = jnp.zeros((2, 9, 11)), jnp.ones((2, 9), int)
>>> print(losses.stablemax_cross_entropy_loss(logits, labels).shape)
(2, 9)

Both losses accept logits of any float dtype, compute in float32 and reduce nothing. Mixtures with
a teacher's cross-entropy are in `early_distillation`, transformed cross-entropies in `from_losses`.
"""

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.masking import read_labels
from cgar_jax._core.ranges import check_number


def log_stablemax(logits: chex.Array, axis: int = -1) -> jax.Array:
    """Computes log-probabilities of stablemax, a softmax whose exponential grows only linearly.

    `log(s(x) / sum s(x))` with `s(x) = x + 1` for `x >= 0` and `s(x) = 1 / (1 - x)` for `x < 0`.
    Because `log s(x) = sign(x) log(1 + |x|)`, stablemax is the softmax of that logarithm.

    Use it where a model should not lower its loss by scaling its logits up.

    Args:
      logits: model outputs, float `[..., vocab]`.
      axis: axis of the vocabulary.

    Returns:
      Log-probabilities, float32 with the shape of `logits`. Value and gradient agree with float64
      to a few float32 roundings for every finite logit.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import log_stablemax
      >>> print(jnp.exp(log_stablemax(jnp.array([0.0, 2.0]))).round(4))
      [0.25 0.75]

    Reference:
      Prieto, Barsbey, Mediano and Birdal, 2025, arXiv 2501.04697. The published TRM code works in
      float64 and adds 1e-30 to `1 - x`, which has no effect in float32.
    """
    logits = logits.astype(jnp.float32)
    # Each branch sees only the logits of its own side and zeros elsewhere, so that both branches
    # have finite gradients. A gradient through `where` multiplies the branch that was not taken by
    # zero, and 0 * inf is NaN.
    positive = logits >= 0
    log_above = jnp.log1p(jnp.where(positive, logits, 0))
    log_below = -jnp.log1p(-jnp.where(positive, 0, logits))
    return jax.nn.log_softmax(jnp.where(positive, log_above, log_below), axis=axis)


def stablemax_cross_entropy_loss(
    logits: chex.Array,
    labels: chex.Array,
    *,
    smoothing: float = 0.0,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes the cross-entropy of the labels under stablemax, per token.

    `-log(s(x_label) / sum s(x))` with `s` as in `log_stablemax`; with smoothing, as in
    `softmax_cross_entropy_loss`.

    Use it as HRM and TRM do: as the answer loss of a model whose logits must not grow.

    Args:
      logits: model outputs, float `[..., vocab]`.
      labels: classes, int `[...]` in `0 .. vocab - 1`, or `IGNORE_LABEL`.
      smoothing: share of the target that all classes have in equal parts, in [0, 1].
      where: mask, bool `[...]` or its leading axes; False tokens do not count. None means that
        every token with a label counts.

    Returns:
      Losses, float32 `[...]`. A token that does not count has value 0 and gradient 0, whatever its
      logits and label are.

    Raises:
      ValueError: if `labels` does not have the shape of `logits` without the last axis, the axes
        of `where` are not the leading axes of `labels`, or `smoothing` is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import IGNORE_LABEL, stablemax_cross_entropy_loss
      >>> logits = jnp.array([[0.0, 2.0], [0.0, 2.0]])
      >>> print(stablemax_cross_entropy_loss(logits, jnp.array([1, IGNORE_LABEL])).round(3))
      [0.288 0.   ]

    Reference:
      Prieto, Barsbey, Mediano and Birdal, 2025, arXiv 2501.04697; used by HRM (arXiv 2506.21734)
      and TRM (arXiv 2510.04871).
    """
    name = "stablemax_cross_entropy_loss"
    check_number(name, "smoothing", smoothing, "[0, 1]")
    valid, logits, labels = _countable(name, logits, labels, where)
    log_probabilities = log_stablemax(logits)
    losses = -jnp.take_along_axis(log_probabilities, labels[..., None], axis=-1)[..., 0]
    if smoothing:
        losses = (1 - smoothing) * losses - smoothing * log_probabilities.mean(-1)
    return jnp.where(valid, losses, 0)


def softmax_cross_entropy_loss(
    logits: chex.Array,
    labels: chex.Array,
    *,
    smoothing: float = 0.0,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes the cross-entropy of the labels under softmax, per token.

    `-(1 - smoothing) log p_label - smoothing mean_v log p_v` with `p = exp(x) / sum exp(x)`.

    Use it for any classification, with some smoothing if the model becomes too sure. It is optax's
    loss, computed in float32, with safe masks.

    Args:
      logits: model outputs, float `[..., vocab]`.
      labels: classes, int `[...]` in `0 .. vocab - 1`, or `IGNORE_LABEL`.
      smoothing: share of the target that all classes have in equal parts, in [0, 1].
      where: mask, bool `[...]` or its leading axes; False tokens do not count. None means that
        every token with a label counts.

    Returns:
      Losses, float32 `[...]`, with value 0 and gradient 0 for tokens that do not count.

    Raises:
      ValueError: if `labels` does not have the shape of `logits` without the last axis, the axes
        of `where` are not the leading axes of `labels`, or `smoothing` is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import softmax_cross_entropy_loss
      >>> print(softmax_cross_entropy_loss(jnp.zeros((2, 4)), jnp.array([3, 1])).round(3))
      [1.386 1.386]

    Reference:
      `optax.softmax_cross_entropy_with_integer_labels`. Smoothing: Szegedy et al., 2015, arXiv
      1512.00567.
    """
    name = "softmax_cross_entropy_loss"
    check_number(name, "smoothing", smoothing, "[0, 1]")
    valid, logits, labels = _countable(name, logits, labels, where)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    if smoothing:
        everywhere = jax.nn.log_softmax(logits).mean(-1)
        losses = (1 - smoothing) * losses - smoothing * everywhere
    return jnp.where(valid, losses, 0)


def _countable(
    owner: str, logits: chex.Array, labels: chex.Array, where: jax.typing.ArrayLike | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns which tokens count, and float32 logits and labels with zeros at the others."""
    valid, labels = read_labels(owner, logits, labels, where)
    return valid, jnp.where(valid[..., None], logits.astype(jnp.float32), 0), labels
