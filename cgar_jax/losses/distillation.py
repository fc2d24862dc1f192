"""Learning from a teacher's predictions."""

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.masking import valid_labels
from cgar_jax.losses.cross_entropy import softmax_cross_entropy_loss


def early_distillation_loss(
    logits: chex.Array,
    labels: chex.Array,
    teacher_logits: chex.Array,
    omega: chex.Numeric,
    temperature: chex.Numeric = 1.0,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Cross-entropy with the label, mixed with that of a teacher's prediction.

    ``(1 - omega) CE(label, p) + omega T^2 CE(q_T, p_T)``, with ``p = softmax(x)``, and ``p_T`` and
    ``q_T`` the student's and the teacher's softmax of logits over the temperature ``T``.

    The teacher may be a smaller, weaker model. It helps early: after the first steps set ``omega``
    to 0, and the loss is the cross-entropy bit for bit. To switch by a count of updates, keep the
    two terms apart and weigh them with `cgar_jax.weighting.early_distillation_weighting`.

    Args:
      logits: ``[..., vocab]``, any float dtype.
      labels: ``[...]``, int, in ``0 .. vocab - 1`` or `IGNORE_LABEL`.
      teacher_logits: ``[..., vocab]``, any float dtype; they are not differentiated. ``-inf`` is a
        class that the teacher rules out.
      omega: in [0, 1], the teacher's share.
      temperature: above 0; its square keeps the gradient's size, as in Hinton et al., 2015.
      where: bool, ``[...]`` or its leading axes; False does not count. None counts every token
        whose label is not `IGNORE_LABEL`.

    Returns:
      float32 ``[...]``, value 0 and gradient 0 for a token that does not count. At temperature 1
      the gradient for the logits is ``p - ((1 - omega) onehot(label) + omega q)``.

    Raises:
      ValueError: shapes that do not fit together; a number out of its range.

    Source: Rawat et al., A Little Help Goes a Long Way: Efficient LLM Training by Leveraging Small
    LMs (SALT), 2024, arXiv 2410.18779; likely: the paper's omega and temperature are not confirmed.
    """
    owner = "early_distillation_loss"
    check_number(owner, "omega", omega, "[0, 1]")
    check_number(owner, "temperature", temperature, "(0, inf)")
    check_shape(owner, "labels", labels, logits.shape[:-1])
    check_shape(owner, "teacher_logits", teacher_logits, logits.shape)
    valid = valid_labels(labels, where)
    omega, temperature = (jnp.asarray(value, jnp.float32) for value in (omega, temperature))
    soft, teacher = (
        jnp.where(valid[..., None], array.astype(jnp.float32), 0) / temperature
        for array in (logits, teacher_logits)
    )
    targets = jax.nn.softmax(jax.lax.stop_gradient(teacher))
    of_label = softmax_cross_entropy_loss(logits, labels, where=where)
    of_teacher = jnp.square(temperature) * optax.safe_softmax_cross_entropy(soft, targets)
    return jnp.where(valid, (1 - omega) * of_label + omega * of_teacher, 0)
