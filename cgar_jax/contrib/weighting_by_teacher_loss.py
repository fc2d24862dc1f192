"""Selection of examples by the loss of a teacher.

>>> import jax.numpy as jnp
>>> import numpy as np
>>> from cgar_jax import contrib
>>> selection = contrib.teacher_loss_selection_weighting(0.25, 0.75)
>>> losses, teacher_losses = jnp.ones(5), jnp.array([0.1, 0.5, 0.6, 0.7, 9.0])
>>> weights, _ = selection.update(
...     jnp.ones(5), selection.init(losses), losses, teacher_losses=teacher_losses
... )
>>> print(np.asarray(weights).round(2))
[0.   1.67 1.67 1.67 0.  ]

The weighting of the teacher's own loss term is `cgar_jax.weighting.early_distillation_weighting`.
"""

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.masking import masked_ranks
from cgar_jax._core.ranges import check_number
from cgar_jax._core.shares import ceil_of_share, floor_of_share
from cgar_jax.weighting.base import Extras, Term, stateless


def teacher_loss_selection_weighting(
    low_quantile: chex.Numeric = 0.2,
    high_quantile: chex.Numeric = 0.9,
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Keeps the examples of medium loss under a teacher and drops all others.

    `w = n / k` for the `k` of `n` valid losses whose teacher loss lies between two quantiles of the
    batch, and 0 for the others, so that the mean weight is 1. The low quantile is rounded down to a
    teacher loss of the batch, the high quantile is rounded up, and both are kept, so that at least
    one loss is kept.

    Use it when a cheap teacher can identify the examples that are too easy to learn from, and those
    that are hopeless or mislabeled.

    Args:
      low_quantile: quantile in [0, 1] below which examples are too easy; the default is ours.
      high_quantile: quantile in [low_quantile, 1] above which examples are too hard; the default is
        ours. The quantiles 0 and 1 leave the weights unchanged.
      axis_name: mesh axis to include in the quantiles, for `jax.shard_map`.

    Extra arguments:
      - `teacher_losses`: losses of the teacher on the same examples, float `[batch]` or the shape
        of the losses.
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0 and are
        excluded from the quantiles.

    Returns:
      A weighting without state.

    Raises:
      ValueError: if a quantile is out of range, or the low one is above the high one; at the first
        update (trace time), if `teacher_losses` is missing or has another shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import contrib
      >>> selection = contrib.teacher_loss_selection_weighting(0.5, 1.0)
      >>> losses = jnp.ones(3)
      >>> weights, _ = selection.update(
      ...     losses, selection.init(losses), losses, teacher_losses=jnp.array([0.1, 3.0, 2.0])
      ... )
      >>> print(weights)
      [0.  1.5 1.5]

    Reference:
      Inspired by the data selection of Rawat et al., 2024, "A Little Help Goes a Long Way:
      Efficient LLM Training by Leveraging Small LMs" (SALT), arXiv 2410.18779. Reconstructed from
      the abstract: the paper's selection rule may differ.
    """
    name = "teacher_loss_selection_weighting"
    check_number(name, "low_quantile", low_quantile, "[0, 1]")
    # A traced low quantile cannot be a bound in the check of the high quantile.
    smallest = low_quantile if isinstance(low_quantile, int | float) else 0
    check_number(name, "high_quantile", high_quantile, f"[{smallest}, 1]")

    def weigh(term: Term, extras: Extras) -> jax.Array:
        losses = extras.per_loss("teacher_losses", "the teacher's losses, float [batch]", term)
        ranks = masked_ranks(losses, term.valid, axis_name)
        # Ranks of the quantiles.
        low = floor_of_share(low_quantile, ranks.count - 1)
        high = ceil_of_share(high_quantile, ranks.count - 1)
        # Equal losses occupy the ranks from `smaller` to `no_larger - 1`; one of them must be kept.
        kept = (ranks.no_larger - 1 >= low) & (ranks.smaller <= high) & term.valid
        num_kept = jnp.sum(kept, dtype=jnp.float32)
        num_kept = num_kept if axis_name is None else jax.lax.psum(num_kept, axis_name)
        return jnp.where(kept, ranks.count / jnp.maximum(num_kept, 1), 0)

    return stateless(name, weigh)
