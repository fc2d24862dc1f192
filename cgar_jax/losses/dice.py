"""Dice losses: F1 as a loss, for classes that are rare."""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.masking import valid_labels
from cgar_jax._core.registry import check_name


def self_adjusting_dice_loss(
    logits: chex.Array,
    labels: chex.Array,
    alpha: chex.Numeric = 1.0,
    smoothing: chex.Numeric = 1.0,
    squared: bool = False,
    false_positive_weight: chex.Numeric = 0.5,
    false_negative_weight: chex.Numeric = 0.5,
    per: Literal["example", "batch"] = "example",
    detach_factor: bool = True,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Dice loss in which examples that are already sure count little.

    ``1 - (2 u y + g) / (u + y + g)``, ``u = (1 - p)^alpha p``, with ``p`` the probability of a
    class, ``y`` 1 if it is the true one and else 0, ``g`` the smoothing. With C classes, the mean
    over the classes, each against the rest; the released code takes the sum.

    The *value* is no metric: at alpha 1, p = 0.1 and p = 0.9 have the same. With the factor
    detached, a step always moves ``p`` towards ``y``. Differentiated through the factor, as in the
    released code, at alpha 1 the loss depends on ``p (1 - p)`` alone: it takes a positive to
    p = 0.5 and no further, and moves a negative with p above 0.5 *up*.

    Args:
      logits: the shape of ``labels`` (a sigmoid each), or with classes as one more axis (a softmax
        over them); any float dtype.
      labels: ``[...]``: with a sigmoid bool, int or float in [0, 1], with a softmax the int of the
        class. `IGNORE_LABEL` does not count.
      alpha: 0 or more; 0 is the soft Dice loss.
      smoothing: above 0, ``g``. optax's ``smooth`` is half of it.
      squared: ``u^2 + y^2`` in the denominator.
      false_positive_weight: 0 or more; how much of ``2 u (1 - y)`` is in the denominator. With
        other weights than 0.5 this is the Tversky loss.
      false_negative_weight: the same for ``2 (1 - u) y``.
      per: ``"example"``: one Dice coefficient per label. ``"batch"``: one for all, per class, of
        sums over what counts; one loss for the batch.
      detach_factor: whether ``(1 - p)^alpha`` gets no gradient; True is ours.
      where: bool, the shape of ``labels`` or its leading axes, such as ``[batch]``; False does not
        count.

    Returns:
      float32, the shape of ``labels``; value 0 and gradient 0 where it does not count. With
      ``per="batch"`` the one loss is repeated, so that its mean over what counts is the loss.

    Raises:
      ValueError: a setting out of its range; shapes that do not fit.

    Source: Li et al., Dice Loss for Data-imbalanced NLP Tasks, 2019, arXiv 1911.02855; certain.
    Alpha 1 and smoothing 1 are the paper's as remembered (likely); its code defaults to 0 and 1e-4.
    """
    check_number("self_adjusting_dice_loss", "alpha", alpha, "[0, inf)")
    check_number("self_adjusting_dice_loss", "smoothing", smoothing, "(0, inf)")
    for name, weight in (
        ("false_positive_weight", false_positive_weight),
        ("false_negative_weight", false_negative_weight),
    ):
        check_number("self_adjusting_dice_loss", name, weight, "[0, inf)")
    check_name("per", per, ("example", "batch"))
    valid, chance, rest, target = _read(logits, labels, where)

    adjusted = _power(rest, jnp.float32(alpha), detach_factor) * chance
    hit, predicted, wanted = (
        jnp.where(valid[..., None], part, 0)
        for part in (
            adjusted * target,
            adjusted**2 if squared else adjusted,
            target**2 if squared else target,
        )
    )
    if per == "batch":
        hit, predicted, wanted = (
            jnp.sum(part, axis=tuple(range(valid.ndim))) for part in (hit, predicted, wanted)
        )
    misses = false_positive_weight * (predicted - hit) + false_negative_weight * (wanted - hit)
    dice = (2 * hit + smoothing) / (2 * (hit + misses) + smoothing)
    return jnp.where(valid, jnp.mean(1 - dice, axis=-1), 0)


def _read(logits, labels, where):
    """Return what counts, and ``p``, ``1 - p`` and ``y`` with an axis of classes, float32."""
    labels = jnp.asarray(labels)
    valid = valid_labels(labels, where)
    logits = jnp.asarray(logits, jnp.float32)
    if logits.ndim == labels.ndim:
        check_shape("self_adjusting_dice_loss", "labels", labels, logits.shape)
        logits = jnp.where(valid, logits, 0)[..., None]
        target = jnp.where(valid, labels.astype(jnp.float32), 0)[..., None]
        return valid, jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits), target
    check_shape("self_adjusting_dice_loss", "labels", labels, logits.shape[:-1])
    chance = jax.nn.softmax(jnp.where(valid[..., None], logits, 0))
    return valid, chance, 1 - chance, jax.nn.one_hot(labels, logits.shape[-1])


def _power(rest, alpha, detach):
    """``rest^alpha``; below alpha 1 its slope at 0 is infinite, and none is asked for there."""
    some = rest > 0
    power = jnp.where(some, jnp.where(some, rest, 1) ** alpha, alpha == 0)
    return jax.lax.stop_gradient(power) if detach else power
