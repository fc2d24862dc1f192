"""The shrunk class space of an uncertain prediction: what a loss and a weighting both look at."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class ShrunkClasses(NamedTuple):
    """The classes that are left for each prediction.

    Attributes:
      kept: bool ``[..., classes]``: the likeliest class, and those from the first rank on at which
        the threshold is reached; all where the prediction is certain.
      certain: bool ``[...]``: the likeliest class reaches the threshold among all classes.
      reached: bool ``[...]``: it does not, but does among those that are kept.
      confidence: float32 ``[...]``: the probability of the likeliest class among all.
    """

    kept: jax.Array
    certain: jax.Array
    reached: jax.Array
    confidence: jax.Array


def shrunk_classes(probabilities: chex.Array, threshold: chex.Numeric = 0.95) -> ShrunkClasses:
    """Drop as few of the runners-up as make the likeliest class certain.

    With the probabilities sorted, ``q_1 >= q_2 >= ...``, the classes of rank 2 to r are dropped for
    the smallest r with ``q_1 / (q_1 + sum_{k > r} q_k) >= threshold``. The last class always stays,
    so r is at most ``classes - 1``: there the threshold may not be reached, and with two classes it
    never is.

    Args:
      probabilities: ``[..., classes]``, summing to 1; they are not differentiated.
      threshold: in (0, 1].

    Returns:
      A `ShrunkClasses`.

    Source: Yang et al., Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning,
    ICCV 2023, arXiv 2308.06777; certain (released code).
    """
    probabilities = jax.lax.stop_gradient(jnp.asarray(probabilities, jnp.float32))
    last = probabilities.shape[-1] - 1
    order = jnp.argsort(probabilities, axis=-1, descending=True)
    descending = jnp.take_along_axis(probabilities, order, axis=-1)
    confidence = descending[..., 0]
    rest = jax.lax.cumsum(descending, axis=descending.ndim - 1, reverse=True)
    total = confidence[..., None] + rest
    # At place c (from 0): the confidence if the classes at the places 1 to c - 1 are dropped.
    shrunk = confidence[..., None] / jnp.where(total > 0, total, 1)
    enough = (shrunk >= threshold) & (jnp.arange(last + 1) >= 2)
    first = jnp.where(enough.any(-1), jnp.argmax(enough, axis=-1), last)
    certain = confidence >= threshold
    place = jnp.argsort(order, axis=-1)
    kept = (place == 0) | (place >= first[..., None]) | certain[..., None]
    return ShrunkClasses(kept, certain, enough.any(-1) & ~certain, confidence)
