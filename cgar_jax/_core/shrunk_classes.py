"""The reduced set of classes of an uncertain prediction, used by a loss and by a weighting."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class ShrunkClasses(NamedTuple):
    """The classes that remain for each prediction.

    Attributes:
      kept: whether each class remains, bool `[..., classes]`. The likeliest class always does, and
        where the prediction is certain, all classes do.
      certain: whether the likeliest class reaches the threshold among all classes, bool `[...]`.
      reached: whether the likeliest class reaches the threshold only after classes are dropped,
        bool `[...]`.
      confidence: probability of the likeliest class among all classes, float32 `[...]`.
    """

    kept: jax.Array
    certain: jax.Array
    reached: jax.Array
    confidence: jax.Array


def shrunk_classes(probabilities: chex.Array, threshold: chex.Numeric = 0.95) -> ShrunkClasses:
    """Drops as few of the runners-up as needed to make the likeliest class certain.

    With the sorted probabilities `q_1 >= q_2 >= ...`, the classes of rank 2 to r are dropped for
    the smallest r with `q_1 / (q_1 + sum_{k > r} q_k) >= threshold`. The last class always stays,
    so r is at most `classes - 1`; the threshold may not be reached there, and with two classes it
    never is.

    Use it to see which classes `shrunk_class_consistency_loss` compares.

    Args:
      probabilities: predictions, float `[..., classes]`, summing to 1; not differentiated.
      threshold: smallest probability of a certain prediction, in (0, 1].

    Returns:
      A `ShrunkClasses`.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import shrunk_classes
      >>> print(shrunk_classes(jnp.array([0.6, 0.3, 0.06, 0.04]), threshold=0.8).kept)
      [ True False  True  True]

    Reference:
      Yang et al., 2023, "Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning",
      arXiv 2308.06777; as in the released code.
    """
    probabilities = jax.lax.stop_gradient(jnp.asarray(probabilities, jnp.float32))
    last = probabilities.shape[-1] - 1
    order = jnp.argsort(probabilities, axis=-1, descending=True)
    descending = jnp.take_along_axis(probabilities, order, axis=-1)
    confidence = descending[..., 0]
    rest = jax.lax.cumsum(descending, axis=descending.ndim - 1, reverse=True)
    total = confidence[..., None] + rest
    # Entry c (from 0) is the confidence if the classes at the places 1 to c - 1 are dropped.
    shrunk = confidence[..., None] / jnp.where(total > 0, total, 1)
    enough = (shrunk >= threshold) & (jnp.arange(last + 1) >= 2)
    first = jnp.where(enough.any(-1), jnp.argmax(enough, axis=-1), last)
    certain = confidence >= threshold
    place = jnp.argsort(order, axis=-1)
    kept = (place == 0) | (place >= first[..., None]) | certain[..., None]
    return ShrunkClasses(kept, certain, enough.any(-1) & ~certain, confidence)
