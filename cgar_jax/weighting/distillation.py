"""Weightings for learning from a teacher: when to heed it, and what to learn from it."""

from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_number
from cgar_jax._core.masking import masked_ranks
from cgar_jax._core.registry import check_name
from cgar_jax.weighting._transform import Extras, Term, stateful, stateless


def early_distillation_weighting(
    role: Literal["label", "teacher"],
    distillation_steps: chex.Numeric,
    omega: chex.Numeric = 0.5,
) -> optax.GradientTransformationExtraArgs:
    """Weight the losses against the label and the teacher: both at first, the label alone later.

    At first ``w = 1 - omega`` for the term with the label, ``w = omega`` for the one with the
    teacher; after ``distillation_steps`` updates 1 and 0. One weighting for each of the two terms::

        weighting.build([
            ("early_distillation_weighting", {"role": "label", ...}, ["label"]),
            ("early_distillation_weighting", {"role": "teacher", ...}, ["teacher"]),
        ])

    or `optax.partition`. Together, with losses ``{"label": ..., "teacher": ...}`` that are
    cross-entropies, they are `cgar_jax.losses.early_distillation_loss` with an ``omega`` that drops
    to 0.

    Extra arguments of ``update``:
      where: bool, the losses' shape or ``[batch]``; False gets weight 0.

    Args:
      role: ``"label"`` or ``"teacher"``: which of the two terms this is.
      distillation_steps: 0 or more, in updates; ``n_KD`` in the paper.
      omega: in [0, 1], the teacher's share; the default is ours.

    Returns:
      A transformation whose state counts its updates; it multiplies the weights it is given.

    Raises:
      ValueError: an unknown role; a number out of its range.

    Source: Rawat et al., A Little Help Goes a Long Way: Efficient LLM Training by Leveraging Small
    LMs (SALT), 2024, arXiv 2410.18779; likely: the paper's omega and steps are not confirmed.
    """
    name = "early_distillation_weighting"
    check_name("role", role, ("label", "teacher"))
    check_number(name, "distillation_steps", distillation_steps, "[0, inf)")
    check_number(name, "omega", omega, "[0, 1]")

    def weigh(term: Term, extras: Extras, memory: tuple, count: jax.Array) -> tuple:
        del term, extras
        early = count < jnp.asarray(distillation_steps, jnp.float32)
        share = jnp.where(early, jnp.asarray(omega, jnp.float32), 0)
        return share if role == "teacher" else 1 - share, memory

    return stateful(name, lambda loss: (), weigh)


def teacher_loss_selection_weighting(
    low_quantile: chex.Numeric = 0.2,
    high_quantile: chex.Numeric = 0.9,
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Keep the examples that a teacher finds neither easy nor hopeless.

    ``w = n / k`` for the ``k`` of ``n`` losses whose teacher's loss lies between the two quantiles
    of the batch, 0 for the others, so that the mean stays 1. The quantiles are losses of the batch,
    the low one rounded down, the high one up, and themselves kept: one loss is kept at least.

    Extra arguments of ``update``:
      teacher_losses: the losses' shape or ``[batch]``.
      where: bool, the losses' shape or ``[batch]``; False gets weight 0 and is in no quantile.

    Args:
      low_quantile: in [0, 1]; below it the example is easy. Ours.
      high_quantile: in [0, 1]; above it the example is noise. Ours. 0 and 1 leave the weights as
        they are.
      axis_name: the mesh axis to take the quantiles over, too; for `jax.shard_map`.

    Returns:
      A transformation without state; it multiplies the weights it is given.

    Raises:
      ValueError: quantiles out of their range, or the low one above the high one; at the first
        update (trace time), ``teacher_losses`` that are missing or of another shape.

    Source: Inspired by the data selection of A Little Help Goes a Long Way: Efficient LLM Training
    by Leveraging Small LMs (SALT), 2024, arXiv 2410.18779; reconstructed from its abstract, not the
    paper's rule.
    """
    name = "teacher_loss_selection_weighting"
    check_number(name, "low_quantile", low_quantile, "[0, 1]")
    # The high one is traced, so not checked, where the low one is: then so is its bound.
    least = low_quantile if isinstance(low_quantile, int | float) else 0
    check_number(name, "high_quantile", high_quantile, f"[{least}, 1]")

    def weigh(term: Term, extras: Extras) -> jax.Array:
        losses = extras.per_loss("teacher_losses", "the teacher's losses", term)
        ranks = masked_ranks(losses, term.valid, axis_name)
        # The places of the quantiles. Where a whole number is meant, a rounding may miss it.
        last, near = ranks.count - 1, 1e-6 * ranks.count
        low = jnp.floor(jnp.asarray(low_quantile, jnp.float32) * last + near)
        high = jnp.ceil(jnp.asarray(high_quantile, jnp.float32) * last - near)
        # Equal losses hold the places from `smaller` to `no_larger - 1`; one of them is enough.
        kept = (ranks.no_larger - 1 >= low) & (ranks.smaller <= high) & term.valid
        number = jnp.sum(kept, dtype=jnp.float32)
        number = number if axis_name is None else jax.lax.psum(number, axis_name)
        return jnp.where(kept, ranks.count / jnp.maximum(number, 1), 0)

    return stateless(name, weigh)
