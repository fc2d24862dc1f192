"""Weights of pairs, separated from the scores that they train.

>>> import jax.numpy as jnp
>>> from cgar_jax import losses
>>> scores, positive = jnp.array([[2.0, 0.0, 1.0]]), jnp.array([[True, False, False]])
>>> weights = losses.decoupled_pair_weights(scores, positive, "contrastive")
>>> print(weights.round(3), losses.pair_weight_loss(scores, positive, weights).round(3))
[[0.335 0.09  0.245]] [-0.425]

The gradient of a pair loss is the weight of a pair times -1 for a positive and +1 for a negative.
Here both are separate, so that the weights of one loss can train the scores of another.
"""

from collections.abc import Callable
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.lists import read_lists
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name


def general_pair_weights(
    pair_loss: Callable[..., chex.Array],
    scores: chex.Array,
    is_positive: chex.Array,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes the pair weights of any pair loss (general pair weighting).

    `w = -dL/ds` for a positive and `dL/ds` for a negative. For a loss that pulls every positive and
    pushes every negative, this is the `|dL/ds|` of the paper.

    Use it to inspect and compare pair losses.

    Args:
      pair_loss: function `(scores, is_positive, *, where) -> losses`, such as
        `multi_similarity_pair_loss`; bind its settings with `functools.partial`.
      scores: scores of each anchor with its items, such as similarities, float `[batch, items]`.
      is_positive: whether an item belongs to its anchor, bool `[batch, items]`.
      where: mask, bool `[batch]` or `[batch, items]`; False items do not count.

    Returns:
      Weights, float32 `[batch, items]`, 0 for items that do not count, without a gradient.
      `pair_weight_loss` with these weights has the gradient of `pair_loss`.

    Raises:
      ValueError: if the shapes do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import general_pair_weights, multi_similarity_pair_loss
      >>> scores, positive = jnp.array([[0.3, 0.6, 0.1]]), jnp.array([[True, False, False]])
      >>> print(general_pair_weights(multi_similarity_pair_loss, scores, positive).round(3))
      [[0.599 0.993 0.   ]]

    Reference:
      Wang et al., 2019, "Multi-Similarity Loss with General Pair Weighting for Deep Metric
      Learning", arXiv 1904.06627.
    """
    valid, scores, sign = read_lists(
        "general_pair_weights", where, scores=scores, is_positive=is_positive
    )
    positive = sign > 0
    derivative = jax.grad(lambda scores: jnp.sum(pair_loss(scores, positive, where=valid)))(scores)
    weights = jnp.where(positive, -derivative, derivative)
    return jax.lax.stop_gradient(jnp.where(valid, weights, 0))


def decoupled_pair_weights(
    scores: chex.Array,
    is_positive: chex.Array,
    weighting: Literal["contrastive", "supervised", "uniform"],
    temperature: chex.Numeric = 1.0,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes the pair weights of contrastive learning or of supervised fine-tuning.

    With `s` the scores divided by the temperature `T`, for positive and for negative items:

    - `"contrastive"`: `(1 - k p) / T` and `k p / T`, with `p = softmax(s)` over the list and `k`
      its number of positives. With several positives, the weight of a positive may be negative. In
      a list without masks, the weights of the positives and of the negatives have the same sum.
    - `"supervised"`: `(1 - sigmoid(s)) / T` and `sigmoid(s) / T`, for each item independently.
    - `"uniform"`: 1.

    Use them with `pair_weight_loss`, to combine the weights of one objective with scores of
    another.

    Args:
      scores: scores of each anchor with its items, float `[batch, items]`. They may come from a
        teacher or from another head than the one that is trained.
      is_positive: whether an item belongs to its anchor, bool `[batch, items]`.
      weighting: objective whose weights are computed.
      temperature: divisor `T`, above 0; 1 (our default) leaves the scores unchanged.
      where: mask, bool `[batch]` or `[batch, items]`; False items do not count.

    Returns:
      Weights, float32 `[batch, items]`, 0 for items that do not count, without a gradient.

    Raises:
      ValueError: if a setting is out of range, or the shapes do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import decoupled_pair_weights
      >>> scores, positive = jnp.array([[2.0, 0.0]]), jnp.array([[True, False]])
      >>> print(decoupled_pair_weights(scores, positive, "supervised").round(3))
      [[0.119 0.5  ]]

    Reference:
      Dai et al., 2025, "Supervised Fine-Tuning or Contrastive Learning? Towards Better Multimodal
      LLM Reranking", arXiv 2510.14824. The weights are the gradients of softmax and sigmoid
      cross-entropy; how the paper normalizes them is unconfirmed.
    """
    check_name("weighting", weighting, ("contrastive", "supervised", "uniform"))
    check_number("decoupled_pair_weights", "temperature", temperature, "(0, inf)")
    valid, scores, positive = read_lists(
        "decoupled_pair_weights", where, scores=scores, is_positive=is_positive
    )
    scale = 1 / jnp.float32(temperature)
    if weighting == "contrastive":
        predicted = jax.nn.softmax(scale * scores, where=valid)
        predicted *= jnp.sum(positive, axis=-1, keepdims=True)
    elif weighting == "supervised":
        predicted = jax.nn.sigmoid(scale * scores)
    else:
        predicted, scale = 1 - positive, 1
    weights = scale * jnp.where(positive > 0, 1 - predicted, predicted)
    return jax.lax.stop_gradient(jnp.where(valid, weights, 0))


def pair_weight_loss(
    scores: chex.Array,
    is_positive: chex.Array,
    weights: chex.Array,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes the loss whose gradient with respect to the scores is given by weights.

    `sum over negatives of w s - sum over positives of w s`. The weights have no gradient.

    Use it to choose freely which scores are trained and which scores determine the weights: for
    example, train the log-odds of "yes" over "no" with contrastive weights. Do not read its value
    as a metric; log the loss that the weights come from.

    Args:
      scores: scores of each anchor with its items, float `[batch, items]`.
      is_positive: whether an item belongs to its anchor, bool `[batch, items]`.
      weights: weights of the pairs, float `[batch, items]`, from `general_pair_weights`,
        `decoupled_pair_weights` or elsewhere.
      where: mask, bool `[batch]` or `[batch, items]`; False items do not count.

    Returns:
      Losses, float32 `[batch]`.

    Raises:
      ValueError: if the shapes do not fit each other.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from cgar_jax.losses import pair_weight_loss
      >>> positive, weights = jnp.array([[True, False]]), jnp.array([[0.5, 0.2]])
      >>> total = lambda scores: pair_weight_loss(scores, positive, weights).sum()
      >>> print(jax.grad(total)(jnp.zeros((1, 2))))
      [[-0.5  0.2]]

    Reference:
      Wang et al., 2019, arXiv 1904.06627, and Dai et al., 2025, arXiv 2510.14824.
    """
    _, scores, positive, weights = read_lists(
        "pair_weight_loss", where, scores=scores, is_positive=is_positive, weights=weights
    )
    weights = jax.lax.stop_gradient(weights)
    return jnp.sum(jnp.where(positive > 0, -weights, weights) * scores, axis=-1)
