"""Curricula of ranking losses: which pairs of a list are compared."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_number


def skip_schedule(
    max_distance: int, full_at: chex.Numeric = 1.0
) -> Callable[[chex.Numeric], jax.Array]:
    """Pairs side by side in the target order first, far ones later.

    ``K(progress) = min(1 + floor(max_distance progress / full_at), max_distance)``: 1 at the
    start, and each distance up to the last for the same share of training.

    Args:
      max_distance: int, 1 or more, the last ``K``: one less than the items of the longest list.
      full_at: in (0, 1], the progress from which on every pair is compared; 1 (ours) gives the
        last distance a share as the others.

    Returns:
      A function from progress, a number in [0, 1] that may be traced, to ``K``, an int32 scalar:
      the ``max_distance`` of `cgar_jax.contrib.rank_list_loss`. It never decreases. It raises a
      ValueError for a Python number outside [0, 1].

    Raises:
      ValueError: a setting out of its range.

    Source: Inspired by Naini, Diaz, Busso, RankList, 2025, arXiv 2508.09826; reconstructed from its
    abstract, not the paper's schedule.
    """
    check_number("skip_schedule", "max_distance", max_distance, "[1, inf)")
    check_number("skip_schedule", "full_at", full_at, "(0, 1]")

    def distance(progress: chex.Numeric) -> jax.Array:
        check_number("skip_schedule", "progress", progress, "[0, 1]")
        share = jnp.asarray(progress, jnp.float32) / jnp.asarray(full_at, jnp.float32)
        # A hair more, so that a step at which a distance begins is at it in spite of float32.
        reached = jnp.floor(max_distance * share + 1e-4)
        return jnp.minimum(1 + reached, max_distance).astype(jnp.int32)

    return distance
