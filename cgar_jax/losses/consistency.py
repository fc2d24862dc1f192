"""Consistency between the predictions for two views of one example.

>>> import jax.numpy as jnp
>>> from cgar_jax import losses
>>> weak, strong = jnp.array([[0.5, 0.3, 0.2]]), jnp.zeros((1, 3))
>>> print(losses.shrunk_class_consistency_loss(weak, strong, threshold=0.7).round(3))
[0.693]

Losses that compare two predictions of one model without any label belong here; how much an
unlabeled example counts is decided in the weighting room.
"""

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import valid_entries
from cgar_jax._core.ranges import check_number
from cgar_jax._core.shrunk_classes import shrunk_classes


def shrunk_class_consistency_loss(
    weak_probabilities: chex.Array,
    strong_logits: chex.Array,
    threshold: chex.Numeric = 0.95,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes the consistency of a strong view with a weak view, without the doubtful classes.

    Where the weak view is uncertain, the loss is `-log(exp(x_top) / sum_kept exp(x))`, where `top`
    is the likeliest class of the weak view and the sum is over the classes that `shrunk_classes`
    keeps. Where the weak view is certain, the loss is 0, because the ordinary pseudo-label loss
    covers those examples.

    Use it to learn from unlabeled examples with uncertain predictions. The loss does not depend on
    whether the threshold is reached among the kept classes; `weighting.shrunk_class_weighting`
    gives weight 0 to the examples for which it is not.

    Args:
      weak_probabilities: predictions for the weakly augmented view, float `[batch, classes]`,
        summing to 1; not differentiated.
      strong_logits: predictions for the strongly augmented view, float `[batch, classes]`; the
        paper computes them with a separate head.
      threshold: smallest probability of a certain prediction, in (0, 1], `tau` in the paper.
      where: mask, bool `[batch]`; False examples do not count.

    Returns:
      Losses, float32 `[batch]`, with value 0 and gradient 0 for examples that are certain or do not
      count. Average over all examples, including the certain ones.

    Raises:
      ValueError: if the shapes of the predictions differ, the axes of `where` are not their leading
        axes, or the threshold is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import shrunk_class_consistency_loss
      >>> weak = jnp.array([[0.5, 0.3, 0.2], [0.98, 0.01, 0.01]])
      >>> strong = jnp.array([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
      >>> print(shrunk_class_consistency_loss(weak, strong, threshold=0.7).round(3))
      [0.127 0.   ]

    Reference:
      Yang et al., 2023, "Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning",
      arXiv 2308.06777; as in the released code.
    """
    owner = "shrunk_class_consistency_loss"
    check_number(owner, "threshold", threshold, "(0, 1]")
    check_shape(owner, "weak_probabilities", weak_probabilities, jnp.shape(strong_logits))
    valid = valid_entries(where, strong_logits.shape[:-1])
    probabilities = jnp.where(valid[..., None], weak_probabilities, 0)
    logits = jnp.where(valid[..., None], strong_logits.astype(jnp.float32), 0)
    kept, certain, *_ = shrunk_classes(probabilities, threshold)
    top = jnp.argmax(probabilities, axis=-1, keepdims=True)
    top_logits = jnp.take_along_axis(logits, top, axis=-1)[..., 0]
    losses = jax.nn.logsumexp(logits, axis=-1, where=kept) - top_logits
    return jnp.where(valid & ~certain, losses, 0)
