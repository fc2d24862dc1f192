"""Losses inspired by papers whose exact formulas are unconfirmed.

>>> import jax.numpy as jnp
>>> from cgar_jax import contrib
>>> scores, labels = jnp.array([[3.0, 1.0, 2.0]]), jnp.array([[2.0, 1.0, 0.0]])
>>> print(contrib.rank_list_loss(scores, labels, max_distance=1).round(3))
[1.44]

The losses have the interface of `cgar_jax.losses`. A loss moves there once its formula is
confirmed.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_shape
from cgar_jax._core.lists import both, dense_ranks, differences, log_one_plus_sum_exp, read_lists
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name


def rank_list_loss(
    scores: chex.Array,
    labels: chex.Array,
    *,
    form: Literal["skip", "lse"] = "skip",
    max_distance: chex.Numeric | None = None,
    margin: chex.Numeric = 0.0,
    minimum_gap: chex.Numeric = 0.0,
    distance_weights: chex.Array | None = None,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes a ranking loss of the pairs whose items are near each other in the target order.

    With `d_ij` the number of ranks by which item j is below item i, over the pairs with
    `1 <= d_ij <= max_distance`:

    - `"skip"`: `sum_ij weight(d_ij) softplus(s_j - s_i + margin)`;
    - `"lse"`: `sum_i log(1 + sum_j weight(d_ij) exp(s_j - s_i + margin))`.

    Over all distances, `"skip"` is RankNet, and `"lse"` is the `unique_softmax_loss` of `rax`
    without gain, which is ListMLE if no labels are equal. Without weights, `"lse"` is never above
    `"skip"`.

    Use it with a `max_distance` that grows over training, to compare neighbors first.

    Args:
      scores: scores of the items, float `[batch, items]`.
      labels: relevance of the items `[batch, items]`; items with equal labels share a rank and form
        no pair.
      form: combination of the pairs of an item.
      max_distance: largest distance `K` of ranks that is compared, int, at least 1; may be traced,
        so that it can grow over training, as with `contrib.rank_skip_curriculum`. None means all.
      margin: amount `m` by which the better item should score higher.
      minimum_gap: difference of labels, at least 0, up to which two items form no pair.
      distance_weights: weights `lambda_k` of the distances from 1 on, float `[items - 1]`; None
        means ones.
      where: mask, bool `[batch]` or `[batch, items]`; False items do not count and have no rank.

    Returns:
      Losses, float32 `[batch]`.

    Raises:
      ValueError: if a setting is out of range, or the shapes do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.contrib import rank_list_loss
      >>> scores, labels = jnp.zeros((1, 4)), jnp.array([[4.0, 3.0, 2.0, 1.0]])
      >>> for distance in (1, 2, 3):
      ...     print(rank_list_loss(scores, labels, max_distance=distance).round(3))
      [2.079]
      [3.466]
      [4.159]

    Reference:
      Inspired by Naini, Diaz and Busso, 2025, "RankList", arXiv 2508.09826. The formula is
      reconstructed from the abstract and unconfirmed.
    """
    check_name("form", form, ("skip", "lse"))
    check_number("rank_list_loss", "max_distance", max_distance, "[1, inf]")
    check_number("rank_list_loss", "minimum_gap", minimum_gap, "[0, inf)")
    if distance_weights is not None:
        distances = max(jnp.shape(scores)[-1] - 1, 0)
        check_shape("rank_list_loss", "distance_weights", distance_weights, (distances,))
    valid, scores, labels = read_lists("rank_list_loss", where, scores=scores, labels=labels)
    comparable = both(valid)
    distance = -differences(dense_ranks(labels, comparable))
    counts = comparable & (distance > 0) & (differences(labels) > minimum_gap)
    if max_distance is not None:
        counts &= distance <= max_distance
    weights = counts.astype(jnp.float32)
    if distance_weights is not None:
        by_distance = jnp.append(jnp.float32(0), jnp.asarray(distance_weights, jnp.float32))
        weights *= by_distance[jnp.where(counts, distance, 0)]
    excess = jnp.float32(margin) - differences(scores)
    if form == "lse":
        return jnp.sum(log_one_plus_sum_exp(excess, weights), axis=-1)
    return jnp.sum(weights * jax.nn.softplus(excess), axis=(-2, -1))
