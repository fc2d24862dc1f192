"""A curriculum for ranking losses, which controls the pairs of a list that are compared.

>>> from cgar_jax import contrib
>>> curriculum = contrib.rank_skip_curriculum(max_distance=4)
>>> [int(curriculum(progress)) for progress in (0.0, 0.25, 0.5, 1.0)]
[1, 2, 3, 4]

The loss that uses it is `cgar_jax.contrib.rank_list_loss`.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.ranges import check_number
from cgar_jax._core.shares import floor_of_share


def rank_skip_curriculum(
    max_distance: int, full_at: chex.Numeric = 1.0
) -> Callable[[chex.Numeric], jax.Array]:
    """Returns a curriculum that compares neighbors in the target order first, distant pairs later.

        K(progress) = min(1 + floor(max_distance progress / full_at), max_distance)

    K is 1 at the start, and each distance before the last one lasts for the same share of training.
    Use K as the `max_distance` of `cgar_jax.contrib.rank_list_loss`.

    Args:
      max_distance: last distance, int, at least 1; one less than the items of the longest list
        compares every pair.
      full_at: progress from which on the last distance is used, in (0, 1]. The default of 1 (ours)
        gives the last distance the same share as the others.

    Returns:
      A function from progress, a number in [0, 1] that may be traced, to K, an int32 scalar. K
      never decreases. The function raises a ValueError for a number outside [0, 1].

    Raises:
      ValueError: if a setting is out of range.

    Example:
      >>> from cgar_jax import contrib
      >>> curriculum = contrib.rank_skip_curriculum(max_distance=4)
      >>> [int(curriculum(progress)) for progress in (0.0, 0.25, 0.5, 1.0)]
      [1, 2, 3, 4]

    Reference:
      Naini, Diaz and Busso, 2025, "RankList", arXiv 2508.09826. Inspired by its abstract; the
      paper's own schedule is unconfirmed.
    """
    owner = "rank_skip_curriculum"
    check_number(owner, "max_distance", max_distance, "[1, inf)")
    check_number(owner, "full_at", full_at, "(0, 1]")

    def distance(progress: chex.Numeric) -> jax.Array:
        check_number(owner, "progress", progress, "[0, 1]")
        share = jnp.asarray(progress, jnp.float32) / jnp.asarray(full_at, jnp.float32)
        reached = floor_of_share(share, max_distance)
        return jnp.minimum(1 + reached, max_distance)

    return distance
