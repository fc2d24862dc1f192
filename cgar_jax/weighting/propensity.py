"""Weightings that undo how likely an example was to be observed."""

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_number
from cgar_jax._core.masking import masked_max, valid_entries
from cgar_jax.weighting._transform import Extras, Term, stateless


def inverse_propensity_weighting(clip: chex.Numeric) -> optax.GradientTransformationExtraArgs:
    """Weight each loss by one over the probability that its example was observed.

    ``w = 1 / min(max(propensity, clip), 1)``; put `unit_mean_weighting` after it for the
    self-normalized estimate.

    Extra arguments of ``update``:
      propensity: in [0, 1], the losses' shape or ``[batch]``; see `popularity_propensity`.
      where: bool, the losses' shape or ``[batch]``; False gets weight 0.

    Args:
      clip: in [0, 1], ``M`` in the paper: no weight is larger than ``1 / clip``; tuned on
        validation data. 1 leaves the weights as they are; 0 still clips at 1e-6.

    Returns:
      A transformation without state; it multiplies the weights it is given.

    Raises:
      ValueError: ``clip`` out of its range; at the first update (trace time), a ``propensity`` that
        is missing or of another shape.

    Source: Saito et al., 2019, arXiv 1909.03601; certain (released code): the weight of what was
    observed in `cgar_jax.losses.clipped_inverse_propensity_loss`.
    """
    check_number("inverse_propensity_weighting", "clip", clip, "[0, 1]")

    def weigh(term: Term, extras: Extras) -> jax.Array:
        propensity = extras.per_loss("propensity", "in [0, 1]", term).astype(jnp.float32)
        least = jnp.maximum(jnp.asarray(clip, jnp.float32), 1e-6)
        return 1 / jnp.clip(propensity, least, 1)

    return stateless("inverse_propensity_weighting", weigh)


def popularity_propensity(
    counts: chex.Array,
    power: chex.Numeric = 0.5,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """How likely each item was to be seen, judged by how often it was chosen.

    ``(n / max n)^power``.

    Args:
      counts: ``[items]``, how often each item was chosen, 0 or more.
      power: above 0, ``eta`` in the paper.
      where: bool ``[items]``; False does not count.

    Returns:
      float32 ``[items]``, in [0, 1], 1 for the most popular, 0 where masked or never chosen: clip
      it before dividing. Take ``propensity[item]`` for each example.

    Raises:
      ValueError: a ``power`` out of its range; a ``where`` of another shape.

    Source: Saito et al., 2019, arXiv 1909.03601; certain (released code), with power 1/2.
    """
    check_number("popularity_propensity", "power", power, "(0, inf)")
    counts = jnp.asarray(counts)
    valid = valid_entries(where, counts.shape)
    counts = jnp.where(valid, counts, 0).astype(jnp.float32)
    most = masked_max(counts, valid)
    return (counts / jnp.where(most > 0, most, 1)) ** jnp.asarray(power, jnp.float32)
