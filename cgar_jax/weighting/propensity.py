"""Weights that correct for the probability that an example was observed.

>>> import jax.numpy as jnp
>>> from cgar_jax import weighting
>>> propensity = weighting.popularity_propensity(jnp.array([100, 25, 1]))
>>> ips, losses = weighting.inverse_propensity_weighting(clip=0.2), jnp.ones(3)
>>> print(ips.update(jnp.ones(3), ips.init(losses), losses, propensity=propensity)[0])
[1. 2. 5.]

The corresponding loss for implicit feedback is `cgar_jax.losses.clipped_inverse_propensity_loss`.
"""

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.masking import masked_max, valid_entries
from cgar_jax._core.ranges import check_number
from cgar_jax.weighting.base import Extras, Term, stateless


def inverse_propensity_weighting(clip: chex.Numeric) -> optax.GradientTransformationExtraArgs:
    """Weights each loss by the inverse of the probability that its example was observed.

    `w = 1 / min(max(propensity, clip), 1)`.

    Use it when popular items are overrepresented in the data. Follow it by `unit_mean_weighting`
    for the self-normalized estimate.

    Args:
      clip: smallest propensity, in [0, 1], so that no weight is above `1 / clip` (`M` in the paper,
        tuned on validation data). 1 leaves the weights unchanged; 0 still clips at 1e-6.

    Extra arguments:
      - `propensity`: probabilities in [0, 1], float `[batch]` or the shape of the losses, for
        example from `popularity_propensity`.
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0.

    Returns:
      A weighting without state.

    Raises:
      ValueError: if `clip` is out of range; at the first update (trace time), if `propensity` is
        missing or has another shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> ips, losses = weighting.inverse_propensity_weighting(clip=0.1), jnp.ones(3)
      >>> propensity = jnp.array([0.5, 0.2, 0.001])
      >>> print(ips.update(jnp.ones(3), ips.init(losses), losses, propensity=propensity)[0])
      [ 2.  5. 10.]

    Reference:
      Saito et al., 2019, "Unbiased Recommender Learning from Missing-Not-At-Random Implicit
      Feedback", arXiv 1909.03601, following the released code: the weight of observed examples in
      `cgar_jax.losses.clipped_inverse_propensity_loss`.
    """
    check_number("inverse_propensity_weighting", "clip", clip, "[0, 1]")

    def weigh(term: Term, extras: Extras) -> jax.Array:
        propensity = extras.per_loss("propensity", "probabilities in [0, 1]", term)
        smallest = jnp.maximum(jnp.asarray(clip, jnp.float32), 1e-6)
        return 1 / jnp.clip(propensity.astype(jnp.float32), smallest, 1)

    return stateless("inverse_propensity_weighting", weigh)


def popularity_propensity(
    counts: chex.Array,
    power: chex.Numeric = 0.5,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Estimates the probability that each item was observed, from the number of its selections.

    `propensity = (n / max n)^power`.

    Use it as the extra argument `propensity` of `inverse_propensity_weighting`: take
    `propensity[item]` for each example, and clip it before dividing.

    Args:
      counts: number of selections of each item, at least 0, `[items]`.
      power: exponent, above 0 (`eta` in the paper).
      where: mask, bool `[items]`; masked items are excluded.

    Returns:
      Propensities, float32 `[items]`, in [0, 1]; 1 for the most popular item, 0 for masked items
      and items without selections.

    Raises:
      ValueError: if `power` is out of range, or `where` has another shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> print(weighting.popularity_propensity(jnp.array([4, 16, 0, 1])))
      [0.5  1.   0.   0.25]

    Reference:
      Saito et al., 2019, arXiv 1909.03601, following the released code, with power 1/2.
    """
    check_number("popularity_propensity", "power", power, "(0, inf)")
    counts = jnp.asarray(counts)
    valid = valid_entries(where, counts.shape)
    counts = jnp.where(valid, counts, 0).astype(jnp.float32)
    most = masked_max(counts, valid)
    return (counts / jnp.where(most > 0, most, 1)) ** jnp.asarray(power, jnp.float32)
