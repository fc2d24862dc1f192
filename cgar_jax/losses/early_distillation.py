"""Learning from the predictions of a teacher model.

>>> import jax.numpy as jnp
>>> from cgar_jax import losses
>>> logits, labels, teacher = jnp.zeros((2, 5)), jnp.array([0, 3]), jnp.ones((2, 5))
>>> print(losses.early_distillation_loss(logits, labels, teacher, omega=0.5).round(3))
[1.609 1.609]

Losses that match a teacher's probabilities belong here; `ranking` has the loss that matches a
teacher's order of the classes.
"""

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import read_labels
from cgar_jax._core.ranges import check_number
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
    """Computes a mixture of the cross-entropies with the label and with a teacher's prediction.

    `(1 - omega) CE(label, p) + omega T^2 CE(q_T, p_T)` with `p = softmax(x)`, and with `p_T` and
    `q_T` the softmax of the student's and the teacher's logits divided by the temperature `T`.

    Use it for the first training steps; the teacher may be a smaller, weaker model. Afterwards set
    `omega` to 0, which gives the cross-entropy with the label bit for bit. To switch after a number
    of updates, keep the two terms apart and use `weighting.early_distillation_weighting`.

    Args:
      logits: outputs of the student, float `[..., vocab]`.
      labels: classes, int `[...]` in `0 .. vocab - 1`, or `IGNORE_LABEL`.
      teacher_logits: outputs of the teacher, float `[..., vocab]`; not differentiated. A class with
        `-inf` is ruled out by the teacher.
      omega: weight of the teacher's term, in [0, 1].
      temperature: divisor of both logits, above 0. Its square keeps the size of the gradient, as in
        Hinton et al., 2015.
      where: mask, bool `[...]` or its leading axes; False tokens do not count. None means that
        every token with a label counts.

    Returns:
      Losses, float32 `[...]`, with value 0 and gradient 0 for tokens that do not count. At
      temperature 1 the gradient with respect to the logits is
      `p - ((1 - omega) onehot(label) + omega q)`.

    Raises:
      ValueError: if the shapes do not fit each other, or a setting is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import early_distillation_loss
      >>> logits, labels = jnp.array([[2.0, 0.0]]), jnp.array([0])
      >>> teacher_logits = jnp.array([[0.0, 2.0]])
      >>> for omega in (0.0, 0.5):
      ...     print(early_distillation_loss(logits, labels, teacher_logits, omega).round(3))
      [0.127]
      [1.008]

    Reference:
      Rawat et al., 2024, "A Little Help Goes a Long Way: Efficient LLM Training by Leveraging Small
      LMs" (SALT), arXiv 2410.18779. The paper's omega and temperature are unconfirmed.
    """
    owner = "early_distillation_loss"
    check_number(owner, "omega", omega, "[0, 1]")
    check_number(owner, "temperature", temperature, "(0, inf)")
    check_shape(owner, "teacher_logits", teacher_logits, logits.shape)
    valid, labels = read_labels(owner, logits, labels, where)
    omega, temperature = (jnp.asarray(value, jnp.float32) for value in (omega, temperature))
    soft, teacher = (
        jnp.where(valid[..., None], array.astype(jnp.float32), 0) / temperature
        for array in (logits, teacher_logits)
    )
    targets = jax.nn.softmax(jax.lax.stop_gradient(teacher))
    label_losses = softmax_cross_entropy_loss(logits, labels, where=valid)
    teacher_losses = jnp.square(temperature) * optax.safe_softmax_cross_entropy(soft, targets)
    return jnp.where(valid, (1 - omega) * label_losses + omega * teacher_losses, 0)
