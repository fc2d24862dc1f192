"""Consistency between the predictions for two views of one example."""

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.masking import valid_entries
from cgar_jax._core.shrunk_classes import shrunk_classes


def shrunk_class_consistency_loss(
    weak_probabilities: chex.Array,
    strong_logits: chex.Array,
    threshold: chex.Numeric = 0.95,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Teach the strong view the likeliest class of the weak one, without the classes in doubt.

    ``-log(exp(x_top) / sum over kept classes of exp(x))`` where the weak view is uncertain, with
    the kept classes of `shrunk_classes`; 0 where it is certain: those are for the ordinary loss.

    The loss is the same whether or not the threshold is reached in the end; weigh it with
    `cgar_jax.weighting.shrunk_class_weighting`, which drops it where not.

    Args:
      weak_probabilities: ``[batch, classes]`` of the weakly augmented view, summing to 1; they are
        not differentiated.
      strong_logits: ``[batch, classes]`` of the strongly augmented view, any float dtype; in the
        paper from a head of their own.
      threshold: in (0, 1], ``tau`` in the paper.
      where: bool ``[batch]``; False does not count.

    Returns:
      float32 ``[batch]``, value 0 and gradient 0 for an example that is certain or does not count.
      The mean belongs over all examples, the certain among them.

    Raises:
      ValueError: the two shapes differ; the axes of ``where`` are not the leading ones of theirs; a
        threshold out of its range.

    Source: Yang et al., Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning,
    ICCV 2023, arXiv 2308.06777; certain (released code).
    """
    owner = "shrunk_class_consistency_loss"
    check_number(owner, "threshold", threshold, "(0, 1]")
    check_shape(owner, "weak_probabilities", weak_probabilities, jnp.shape(strong_logits))
    valid = valid_entries(where, strong_logits.shape[:-1])
    probabilities = jnp.where(valid[..., None], weak_probabilities, 0)
    logits = jnp.where(valid[..., None], strong_logits.astype(jnp.float32), 0)
    kept, certain, *_ = shrunk_classes(probabilities, threshold)
    top = jnp.argmax(probabilities, axis=-1, keepdims=True)
    of_top = jnp.take_along_axis(logits, top, axis=-1)[..., 0]
    losses = jax.nn.logsumexp(logits, axis=-1, where=kept) - of_top
    return jnp.where(valid & ~certain, losses, 0)
