"""Dice losses, which turn the F1 score into a loss for rare classes.

>>> import jax.numpy as jnp
>>> from cgar_jax import losses
>>> print(losses.self_adjusting_dice_loss(jnp.zeros(2), jnp.array([1, 0])).round(3))
[0.333 0.2  ]

Losses that compare overlaps of predicted and true positives belong here.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import read_labels, valid_entries
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name


def self_adjusting_dice_loss(
    logits: chex.Array,
    labels: chex.Array,
    *,
    alpha: chex.Numeric = 1.0,
    smoothing: chex.Numeric = 1.0,
    squared: bool = False,
    false_positive_weight: chex.Numeric = 0.5,
    false_negative_weight: chex.Numeric = 0.5,
    per: Literal["example", "batch"] = "example",
    detach_factor: bool = True,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes a Dice loss in which examples that are already certain count little.

    `1 - (2 u y + g) / (u + y + g)` with `u = (1 - p)^alpha p`, where `p` is the probability of a
    class, `y` is 1 for the true class and 0 for any other, and `g` is the smoothing. With several
    classes, the loss is the mean over the classes, each against the rest; the released code takes
    the sum.

    Use it for imbalanced classes that are evaluated by their F1 score. Do not read its value as a
    metric: at `alpha=1`, `p = 0.1` and `p = 0.9` have the same loss. With `detach_factor=True`,
    every step moves `p` towards `y`. With False, as in the released code, the loss at `alpha=1`
    depends only on `p (1 - p)`: it moves a positive only to `p = 0.5`, and it raises `p` for a
    negative with `p > 0.5`.

    Args:
      logits: model outputs, float, with the shape of `labels` (a sigmoid for each) or with one more
        axis of classes (a softmax over them).
      labels: targets `[...]`: bool, int or float in [0, 1] with a sigmoid, int classes with a
        softmax. Entries with another target, such as `IGNORE_LABEL`, do not count.
      alpha: exponent of the factor `1 - p`, at least 0; 0 gives the soft Dice loss.
      smoothing: constant `g`, above 0; twice the `smooth` of optax.
      squared: whether the denominator has `u^2 + y^2` in place of `u + y`.
      false_positive_weight: weight of `2 u (1 - y)` in the denominator, at least 0. Weights other
        than 0.5 give the Tversky loss.
      false_negative_weight: weight of `2 (1 - u) y` in the denominator, at least 0.
      per: `"example"` for one Dice coefficient per label, `"batch"` for one coefficient per class
        from sums over the whole batch.
      detach_factor: whether the factor `(1 - p)^alpha` has no gradient; True is our choice.
      where: mask, bool with the shape of `labels` or its leading axes; False entries do not count.

    Returns:
      Losses, float32 with the shape of `labels`, with value 0 and gradient 0 for entries that do
      not count. With `per="batch"` the one loss of the batch is repeated, so that the mean over the
      entries that count is that loss.

    Raises:
      ValueError: if a setting is out of range, or the shapes do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import self_adjusting_dice_loss
      >>> logits, labels = jnp.array([-1.0, 0.0, 1.0]), jnp.array([1, 1, 1])
      >>> print(self_adjusting_dice_loss(logits, labels, alpha=0.0).round(3))
      [0.322 0.2   0.098]

    Reference:
      Li et al., 2019, "Dice Loss for Data-imbalanced NLP Tasks", arXiv 1911.02855. That the paper
      uses alpha 1 and smoothing 1 is unconfirmed; its code has 0 and 1e-4 as defaults. With several
      classes and `squared=False`, the released code divides the numerator of each example by a
      denominator that is summed over the batch, which neither value of `per` does.
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
    """Returns which entries count, and `p`, `1 - p` and `y` as float32 with an axis of classes."""
    owner = "self_adjusting_dice_loss"
    logits = jnp.asarray(logits, jnp.float32)
    if logits.ndim == jnp.ndim(labels):
        check_shape(owner, "labels", labels, logits.shape)
        target = jnp.asarray(labels).astype(jnp.float32)
        valid = valid_entries(where, target.shape) & (target >= 0) & (target <= 1)
        logits, target = (jnp.where(valid, array, 0)[..., None] for array in (logits, target))
        return valid, jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits), target
    valid, labels = read_labels(owner, logits, labels, where)
    chance = jax.nn.softmax(jnp.where(valid[..., None], logits, 0))
    target = jax.nn.one_hot(labels, logits.shape[-1], dtype=jnp.float32)
    return valid, chance, 1 - chance, target


def _power(rest, alpha, detach):
    """Computes `rest^alpha` with gradient 0 at 0, where the slope is infinite for alpha < 1."""
    some = rest > 0
    power = jnp.where(some, jnp.where(some, rest, 1) ** alpha, alpha == 0)
    return jax.lax.stop_gradient(power) if detach else power
