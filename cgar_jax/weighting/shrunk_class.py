"""Weights of uncertain pseudo-labels that become certain once other classes are dropped.

>>> import jax.numpy as jnp
>>> from cgar_jax import weighting
>>> shrunk, losses = weighting.shrunk_class_weighting(threshold=0.8), jnp.ones(2)
>>> weak = jnp.array([[0.9, 0.05, 0.05], [0.6, 0.3, 0.1]])
>>> state = shrunk.init(losses)
>>> print(shrunk.update(jnp.ones(2), state, losses, weak_probabilities=weak)[0])
[0.  0.3]

The corresponding loss is `cgar_jax.losses.shrunk_class_consistency_loss`.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.masking import masked_mean
from cgar_jax._core.ranges import check_number
from cgar_jax._core.shrunk_classes import shrunk_classes
from cgar_jax.weighting.base import Extras, Term, moving_average, stateful


class CertainFraction(NamedTuple):
    """Memory of `shrunk_class_weighting` for one loss term.

    Attributes:
      average: moving average of the fraction of certain examples, float32 scalar.
      batches: number of batches with a valid example, int32 scalar.
    """

    average: jax.Array
    batches: jax.Array


def shrunk_class_weighting(
    threshold: chex.Numeric = 0.95, decay: chex.Numeric = 0.999, axis_name: str | None = None
) -> optax.GradientTransformationExtraArgs:
    """Weights each uncertain example by its confidence, if it is certain among fewer classes.

    `w = q_1 r f`, where `q_1` is the probability of the likeliest class, `r` is 1 if that class
    reaches the threshold among the classes that `cgar_jax.losses.shrunk_classes` keeps and 0 if it
    does not, and `f` is the moving average of the fraction of certain examples. Certain examples
    have weight 0.

    Use it on the loss term of `cgar_jax.losses.shrunk_class_consistency_loss`, with the same
    threshold, to learn from pseudo-labels that other methods discard.

    Args:
      threshold: smallest probability of a certain prediction, in (0, 1] (`tau` in the paper).
      decay: decay of the moving average, in [0, 1); the average begins with the first batch.
      axis_name: mesh axis to include in the fraction, for `jax.shard_map`.

    Extra arguments:
      - `weak_probabilities`: predictions for the weakly augmented view, float `[batch, classes]` or
        `[batch, steps, classes]`.
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0 and are
        excluded from the fraction.

    Returns:
      A weighting with a `CertainFraction` for each loss term.

    Raises:
      ValueError: if a setting is out of range; at the first update (trace time), if
        `weak_probabilities` is missing or has another shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> shrunk, losses = weighting.shrunk_class_weighting(threshold=0.8), jnp.ones(2)
      >>> weak = jnp.array([[0.9, 0.05, 0.05], [0.6, 0.3, 0.1]])  # certain; certain without class 1
      >>> weights, state = shrunk.update(
      ...     jnp.ones(2), shrunk.init(losses), losses, weak_probabilities=weak
      ... )
      >>> print(weights, state.terms.average)
      [0.  0.3] 0.5

    Reference:
      Yang et al., 2023, "Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning"
      (ShrinkMatch), ICCV, arXiv 2308.06777. The weight combines the two reweighting principles of
      the released code.
    """
    name = "shrunk_class_weighting"
    check_number(name, "threshold", threshold, "(0, 1]")
    check_number(name, "decay", decay, "[0, 1)")

    def init_term(loss: jax.Array) -> CertainFraction:
        del loss
        return CertainFraction(jnp.zeros([], jnp.float32), jnp.zeros([], jnp.int32))

    def weigh(term: Term, extras: Extras, memory: CertainFraction, count: jax.Array) -> tuple:
        del count
        meaning = "probabilities [batch, classes] or [batch, steps, classes]"
        probabilities = extras.features("weak_probabilities", meaning, term)
        spaces = shrunk_classes(probabilities, threshold)
        valid = term.valid_rows(spaces.certain.ndim)
        fraction = masked_mean(spaces.certain, valid, axis_name=axis_name)
        num_rows = jnp.sum(valid) if axis_name is None else jax.lax.psum(jnp.sum(valid), axis_name)
        average = moving_average(memory.average, fraction, memory.batches, decay)
        memory = CertainFraction(
            jnp.where(num_rows > 0, average, memory.average), memory.batches + (num_rows > 0)
        )
        return jnp.where(spaces.reached, spaces.confidence * memory.average, 0), memory

    return stateful(name, init_term, weigh)
