"""Losses for implicit feedback, such as clicks, where some positives go unobserved.

>>> import jax.numpy as jnp
>>> from cgar_jax import losses
>>> clicked, propensity = jnp.array([1.0, 0.0]), jnp.array([0.5, 0.5])
>>> print(losses.clipped_inverse_propensity_loss(
...     jnp.ones(2), jnp.zeros(2), clicked, propensity, clip=0.1))
[2. 0.]

Losses that correct for the probability of an observation belong here; weights by propensity are in
`cgar_jax.weighting`.
"""

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import valid_entries
from cgar_jax._core.ranges import check_number


def clipped_inverse_propensity_loss(
    positive_losses: chex.Array,
    negative_losses: chex.Array,
    observed: chex.Array,
    propensity: chex.Array,
    *,
    clip: chex.Numeric,
    negative_weight: chex.Numeric = 1.0,
    nonnegative: bool = False,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Estimates the loss under full observation from positives observed with known probability.

    `(Y / p) l_1 + c (1 - Y / p) l_0` with `p = min(max(propensity, clip), 1)`, where `Y` is whether
    a positive was observed (a click), `l_1` and `l_0` are the losses against the labels 1 and 0,
    and `c` is `negative_weight`. With `clip=0` the mean over `Y` is
    `gamma l_1 + c (1 - gamma) l_0`, where `gamma` is the probability that the example is a
    positive. A larger clip lowers the variance and underestimates the number of positives.

    Use it for clicks and other implicit feedback. For an observed positive with `p < 1` the factor
    of `l_0` is negative: with a loss that is not bounded above, such as the logistic loss, this
    loss is not bounded below.

    Args:
      positive_losses: unreduced losses `l_1` against the label 1, float `[batch]`.
      negative_losses: unreduced losses `l_0` against the label 0, float `[batch]`. In the
        released code both are squared errors of a sigmoid.
      observed: whether a positive was observed, bool or 0 and 1, `[batch]`.
      propensity: probability that a positive would have been observed, in [0, 1], `[batch]`; not
        differentiated. See `weighting.popularity_propensity`.
      clip: lower bound of the propensities, in [0, 1], `M` in the paper, tuned on validation data;
        1 gives the ordinary loss. Propensities below 1e-6 are always raised to 1e-6.
      negative_weight: weight `c` of the second term, at least 0.
      nonnegative: whether each loss is raised to at least 0, which is our addition and biases the
        mean.
      where: mask, bool `[batch]`; False examples do not count.

    Returns:
      Losses `[batch]` with the dtype of `positive_losses`, with value 0 and gradient 0 for examples
      that do not count. The released code divides their sum by `sum(Y + c (1 - Y))`, which is the
      number of examples for `c = 1`.

    Raises:
      ValueError: if the shapes differ, or a setting is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import clipped_inverse_propensity_loss
      >>> scores, clicked = jnp.array([0.5, 0.5]), jnp.array([1, 0])
      >>> propensity = jnp.array([0.25, 0.25])
      >>> print(clipped_inverse_propensity_loss(
      ...     (1 - scores) ** 2, scores**2, clicked, propensity, clip=0.5))
      [0.25 0.25]

    Reference:
      Saito, Yaginuma, Nishino, Sakata and Nakata, 2019, arXiv 1909.03601; as in the released code.
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
