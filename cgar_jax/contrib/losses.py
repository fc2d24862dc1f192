"""Losses that are inspired by a paper whose equations are unconfirmed."""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.lists import both, dense_ranks, differences, log_one_plus_sum_exp, read_lists
from cgar_jax._core.registry import check_name


def rank_list_loss(
    scores: chex.Array,
    labels: chex.Array,
    form: Literal["skip", "lse"] = "skip",
    max_distance: chex.Numeric | None = None,
    margin: chex.Numeric = 0.0,
    minimum_gap: chex.Numeric = 0.0,
    distance_weights: chex.Array | None = None,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Pairs of items up to a distance in the target order, to begin with those side by side.

    With ``d_ij`` how many ranks the item j is below i, over the pairs with
    ``1 <= d_ij <= max_distance``:

    - ``"skip"``: ``sum_ij weight(d_ij) softplus(s_j - s_i + margin)``;
    - ``"lse"``: ``sum_i log(1 + sum_j weight(d_ij) exp(s_j - s_i + margin))``.

    ``"skip"`` at every distance is RankNet. ``"lse"`` at every distance is ListMLE if no labels are
    equal, and in any case rax's ``unique_softmax_loss`` without gain. Without weights, ``"lse"`` is
    never above ``"skip"``.

    Args:
      scores: ``[batch, items]``, any float dtype.
      labels: ``[batch, items]``. Items with equal labels share a rank and form no pair.
      form: how the pairs of an item are put together.
      max_distance: int, 1 or more, ``K``; may be traced, so that it can grow over training, as with
        `cgar_jax.contrib.skip_schedule`. None takes every pair.
      margin: ``m``, how much more the better item is to score.
      minimum_gap: 0 or more; labels that differ by this or less form no pair.
      distance_weights: float ``[items - 1]``, ``lambda_k`` for the distances from 1 on; None is
        all ones.
      where: bool ``[batch]`` or ``[batch, items]``; False does not count, and the ranks are those
        of the items that do.

    Returns:
      float32 ``[batch]``.

    Raises:
      ValueError: a setting out of its range; shapes that do not fit.

    Source: Inspired by Naini, Diaz, Busso, RankList, 2025, arXiv 2508.09826; reconstructed from its
    abstract, not the paper's equations.
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
