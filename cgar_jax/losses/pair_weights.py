"""What a loss of pairs does to its scores: the weight of each pair, apart from its direction.

The gradient of such a loss is a weight times -1 for a positive and +1 for a negative. Here the two
are taken apart, so that the weights of one loss can train the scores of another.
"""

from collections.abc import Callable
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_number
from cgar_jax._core.lists import read_lists
from cgar_jax._core.registry import check_name


def general_pair_weights(
    pair_loss: Callable[..., chex.Array],
    scores: chex.Array,
    is_positive: chex.Array,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Pair weights of any loss of pairs (general pair weighting, GPW), to look at and to compare.

    ``w = -dL/ds`` for a positive and ``dL/ds`` for a negative. For a loss that pulls every positive
    and pushes every negative, this is the paper's ``|dL/ds|``.

    Args:
      pair_loss: ``(scores, is_positive, *, where) -> losses``, as `multi_similarity_pair_loss`;
        settings by `functools.partial`.
      scores: ``[batch, items]``, any float dtype: of each anchor with its items, such as
        similarities.
      is_positive: bool ``[batch, items]``.
      where: bool ``[batch]`` or ``[batch, items]``; False does not count.

    Returns:
      float32 ``[batch, items]``, 0 where it does not count; it passes no gradient on.
      `pair_weight_loss` with these weights has the gradient of ``pair_loss``.

    Raises:
      ValueError: shapes that do not fit.

    Source: Wang et al., CVPR 2019, arXiv 1904.06627; certain.
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
    """Pair weights of contrastive learning or of supervised fine-tuning, for `pair_weight_loss`.

    With ``s`` the scores over the temperature ``T``; positive, then negative items:

    - ``"contrastive"``: ``(1 - k p) / T`` and ``k p / T``; ``p = softmax(s)`` over the list, ``k``
      its number of positives. With several, a positive may weigh less than nothing. In a list
      without masks the weights of the positives and those of the negatives have one sum.
    - ``"supervised"``: ``(1 - sigmoid(s)) / T`` and ``sigmoid(s) / T``, each item by itself.
    - ``"uniform"``: 1.

    Args:
      scores: ``[batch, items]``, any float dtype; not necessarily those that are trained: those of
        a teacher, or another read-out of the same model.
      is_positive: bool ``[batch, items]``.
      weighting: whose weights.
      temperature: above 0, ``T``; 1 (ours) leaves the scores as they are.
      where: bool ``[batch]`` or ``[batch, items]``; False does not count.

    Returns:
      float32 ``[batch, items]``, 0 where it does not count; it passes no gradient on.

    Raises:
      ValueError: a setting out of its range; shapes that do not fit.

    Source: Dai et al., Supervised Fine-Tuning or Contrastive Learning? Towards Better Multimodal
    LLM Reranking, 2025, arXiv 2510.14824. The weights are certain (they are the gradients of
    softmax and sigmoid cross-entropy); how the paper normalizes them is not confirmed.
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
    """The loss whose gradient is given: the weights, downwards for positives, upwards for others.

    ``sum over negatives of w s - sum over positives of w s``; the weights get no gradient.

    Its *value* means nothing, and is no metric: log the loss that the weights come from. Which
    scores are trained (the direction) and which give the weights is free: train the log-odds of
    yes over no with contrastive weights, or one score with supervised ones.

    Args:
      scores: ``[batch, items]``, any float dtype: of each anchor with its items.
      is_positive: bool ``[batch, items]``.
      weights: ``[batch, items]``, by `general_pair_weights`, `decoupled_pair_weights` or any other.
      where: bool ``[batch]`` or ``[batch, items]``; False does not count.

    Returns:
      float32 ``[batch]``.

    Raises:
      ValueError: shapes that do not fit.

    Source: Wang et al., CVPR 2019, arXiv 1904.06627, and Dai et al., 2025, arXiv 2510.14824;
    certain.
    """
    _, scores, positive, weights = read_lists(
        "pair_weight_loss", where, scores=scores, is_positive=is_positive, weights=weights
    )
    weights = jax.lax.stop_gradient(weights)
    return jnp.sum(jnp.where(positive > 0, -weights, weights) * scores, axis=-1)
