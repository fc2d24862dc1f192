"""Measures of how easy an example is, compared with the other examples of a batch.

>>> import jax.numpy as jnp
>>> from cgar_jax import weighting
>>> print(weighting.quantile_ease(jnp.array([3.0, 1.0, 70.0, 5.0])))
[0.625 0.875 0.125 0.375]

The measures are pure functions of difficulties on any scale. `difficulty_curriculum_weighting`
turns easiness into weights.
"""

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import masked_max, masked_ranks, valid_entries


def min_max_ease(
    difficulty: chex.Array,
    where: jax.typing.ArrayLike | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Computes easiness by linear interpolation between the largest and the smallest difficulty.

    `ease = (d_max - d) / (d_max - d_min)`, or 1 if all examples are equally difficult.

    Use it for difficulties without outliers on a meaningful scale.

    Args:
      difficulty: difficulties of any shape, larger for harder examples.
      where: mask, bool, the shape of `difficulty` or its leading axes; masked entries are excluded.
      axis_name: mesh axis to include in the comparison, for `jax.shard_map`.

    Returns:
      Easiness, float32 of the shape of `difficulty`, in [0, 1]; 1 for the easiest, 0 where masked.

    Raises:
      ValueError: if the axes of `where` are not the leading axes of `difficulty`.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> print(weighting.min_max_ease(jnp.array([2.0, 10.0, 4.0])))
      [1.   0.   0.75]

    Reference:
      MacAvaney et al., 2020, arXiv 2004.14269, where the difficulty is the negative score of a
      cheap ranker.
    """
    difficulty, valid = _masked_to_zero(difficulty, where)
    hardest = masked_max(difficulty, valid, axis_name=axis_name)
    easiest = -masked_max(-difficulty, valid, axis_name=axis_name)
    spread = hardest > easiest
    ease = (hardest - difficulty) / jnp.where(spread, hardest - easiest, 1)
    return jnp.where(valid, jnp.where(spread, ease, 1), 0)


def quantile_ease(
    difficulty: chex.Array,
    where: jax.typing.ArrayLike | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Computes easiness as the share of examples that are harder.

    `ease = (number harder + number equal / 2) / n`, where each example is equal to itself.

    Use it for difficulties with outliers or on an arbitrary scale: an increasing function of the
    difficulty does not change the result.

    Args:
      difficulty: difficulties of any shape, larger for harder examples.
      where: mask, bool, the shape of `difficulty` or its leading axes; masked entries are excluded.
      axis_name: mesh axis to include in the comparison, for `jax.shard_map`.

    Returns:
      Easiness, float32 of the shape of `difficulty`, in (0, 1) with mean 1/2; 0 where masked.

    Raises:
      ValueError: if the axes of `where` are not the leading axes of `difficulty`.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> print(weighting.quantile_ease(jnp.array([2.0, 1000.0, 4.0, 4.0])))
      [0.875 0.125 0.5   0.5  ]

    Reference:
      MacAvaney et al., 2020, arXiv 2004.14269. The paper smooths the distribution with a kernel
      density estimate; here it is the unsmoothed distribution of the batch.
    """
    difficulty, valid = _masked_to_zero(difficulty, where)
    ranks = masked_ranks(difficulty, valid, axis_name)
    share = (ranks.smaller + ranks.no_larger) / jnp.maximum(2 * ranks.count, 1)
    return jnp.where(valid, 1 - share, 0)


def reciprocal_rank_ease(
    difficulty: chex.Array,
    where: jax.typing.ArrayLike | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Computes easiness as one over the rank, counted from the easiest example.

    `ease = 1 / (1 + number easier)`; equal difficulties share a rank.

    Use it to concentrate the weight on the few easiest examples.

    Args:
      difficulty: difficulties of any shape, larger for harder examples.
      where: mask, bool, the shape of `difficulty` or its leading axes; masked entries are excluded.
      axis_name: mesh axis to include in the comparison, for `jax.shard_map`.

    Returns:
      Easiness, float32 of the shape of `difficulty`, in (0, 1]; 1 for the easiest, 0 where masked.

    Raises:
      ValueError: if the axes of `where` are not the leading axes of `difficulty`.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> print(weighting.reciprocal_rank_ease(jnp.array([2.0, 10.0, 2.0, 1.0])))
      [0.5  0.25 0.5  1.  ]

    Reference:
      MacAvaney et al., 2020, arXiv 2004.14269, where the rank is that of a cheap ranker among the
      answers to one question.
    """
    difficulty, valid = _masked_to_zero(difficulty, where)
    return jnp.where(valid, 1 / (1 + masked_ranks(difficulty, valid, axis_name).smaller), 0)


def pair_ease(
    positive: chex.Array, negatives: chex.Array, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """Computes how easily a right answer is ranked above its hardest wrong answer.

    `ease = min over negatives of (d_positive - d_negative + 1) / 2`, where `d` in [0, 1] is the
    rating of an answer by a cheap ranker, higher for better answers.

    Use it as the extra argument `ease` of `difficulty_curriculum_weighting`. The ratings are, for
    example, `min_max_ease` of the negated scores of the ranker.

    Args:
      positive: ratings of the right answers, float `[batch]`.
      negatives: ratings of the wrong answers, float `[batch, negatives]`.
      where: mask, bool `[batch, negatives]` or `[batch]`; masked negatives are excluded.

    Returns:
      Easiness, float32 `[batch]`, in [0, 1]; 0 without a valid negative.

    Raises:
      ValueError: if the shapes of the arrays do not fit together.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> print(weighting.pair_ease(jnp.array([1.0, 0.5]), jnp.array([[0.5, 0.0], [1.0, 0.0]])))
      [0.75 0.25]

    Reference:
      MacAvaney et al., 2020, arXiv 2004.14269, following the released code.
    """
    check_shape("pair_ease", "positive", positive, ("batch",))
    check_shape("pair_ease", "negatives", negatives, (jnp.shape(positive)[0], "negatives"))
    negatives, valid = _masked_to_zero(negatives, where)
    valid_rows = valid.any(-1)
    positive = jnp.where(valid_rows, positive, 0).astype(jnp.float32)
    hardest = jnp.where(valid_rows, masked_max(negatives, valid, axis=-1)[:, 0], 0)
    return jnp.where(valid_rows, (positive - hardest + 1) / 2, 0)


def _masked_to_zero(
    array: chex.Array, where: jax.typing.ArrayLike | None
) -> tuple[jax.Array, jax.Array]:
    """Returns the array in float32 with 0 in masked entries, and the mask of its shape."""
    array = jnp.asarray(array)
    valid = valid_entries(where, array.shape)
    return jnp.where(valid, array, 0).astype(jnp.float32), valid
