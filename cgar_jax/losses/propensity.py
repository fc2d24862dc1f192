"""Learning from positives that were seen only where someone looked."""

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.masking import valid_entries


def clipped_inverse_propensity_loss(
    positive_losses: chex.Array,
    negative_losses: chex.Array,
    observed: chex.Array,
    propensity: chex.Array,
    clip: chex.Numeric,
    negative_weight: chex.Numeric = 1.0,
    nonnegative: bool = False,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Estimate the loss under full observation from positives observed with known probability.

    ``(Y / p) l_1 + c (1 - Y / p) l_0``, ``p = min(max(propensity, clip), 1)``; ``Y`` whether a
    positive was observed (a click), ``l_1`` and ``l_0`` the losses against the labels 1 and 0. With
    ``clip`` 0 its mean over ``Y`` is ``gamma l_1 + c (1 - gamma) l_0``, ``gamma`` the probability
    that the example is a positive. A larger clip lowers the variance and counts too few positives.

    Beware: for an observed positive with ``p < 1`` the factor of ``l_0`` is negative, so with a
    loss that has no upper bound, as the logistic one, this has no lower bound.

    Args:
      positive_losses: ``[batch]``, ``l_1``, unreduced, any float dtype.
      negative_losses: ``[batch]``, ``l_0``. In the paper both are squared errors of a sigmoid.
      observed: ``[batch]``, bool or 0 and 1, ``Y``.
      propensity: ``[batch]``, in [0, 1], the probability that a positive would have been observed;
        it is not differentiated. See `cgar_jax.weighting.popularity_propensity`.
      clip: in [0, 1], ``M`` in the paper, tuned on validation data; 1 gives the ordinary loss.
        Propensities below 1e-6 are clipped to that even with 0.
      negative_weight: 0 or more, ``c``.
      nonnegative: raise each loss to 0 at least. Ours; the mean is then not the one above.
      where: bool ``[batch]``; False does not count.

    Returns:
      ``[batch]``, in the dtype of ``positive_losses``, value 0 and gradient 0 for an example that
      does not count. The released code divides their sum by ``sum(Y + c (1 - Y))``, which for
      ``c = 1`` is their number.

    Raises:
      ValueError: shapes that differ; a number out of its range.

    Source: Saito, Yaginuma, Nishino, Sakata, Nakata, 2019, arXiv 1909.03601; certain (released
    code).
    """
    owner = "clipped_inverse_propensity_loss"
    check_number(owner, "clip", clip, "[0, 1]")
    check_number(owner, "negative_weight", negative_weight, "[0, inf)")
    arrays = {
        "positive_losses": positive_losses,
        "negative_losses": negative_losses,
        "observed": observed,
        "propensity": propensity,
    }
    valid = valid_entries(where, jnp.shape(positive_losses))
    for name, array in arrays.items():
        check_shape(owner, name, array, valid.shape)
    positive, negative, observed, propensity = (
        jnp.where(valid, array, 0).astype(jnp.float32) for array in arrays.values()
    )
    least = jnp.maximum(jnp.asarray(clip, jnp.float32), 1e-6)
    found = observed / jnp.clip(jax.lax.stop_gradient(propensity), least, 1)
    losses = found * positive + negative_weight * (1 - found) * negative
    losses = jnp.maximum(losses, 0) if nonnegative else losses
    return jnp.where(valid, losses, 0).astype(jnp.result_type(positive_losses))
