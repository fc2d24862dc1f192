"""Weights of the loss terms of distillation from a teacher.

>>> import jax.numpy as jnp
>>> from cgar_jax import weighting
>>> teacher = weighting.early_distillation_weighting("teacher", distillation_steps=1000)
>>> losses = jnp.ones(2)
>>> print(teacher.update(jnp.ones(2), teacher.init(losses), losses)[0])
[0.5 0.5]

The losses of distillation are in `cgar_jax.losses`, and the selection of examples by the teacher's
loss is in `cgar_jax.contrib`.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name
from cgar_jax.weighting.base import Extras, Term, stateful


def early_distillation_weighting(
    role: Literal["label", "teacher"],
    distillation_steps: chex.Numeric,
    omega: chex.Numeric = 0.5,
) -> optax.GradientTransformationExtraArgs:
    """Weights the losses against label and teacher at first, and only the label later.

    For the first `distillation_steps` updates, `w = 1 - omega` on the label's loss term and
    `w = omega` on the teacher's. Afterwards, `w` is 1 and 0.

    Use it when a small, cheap teacher helps at the beginning of training. Each of the two loss
    terms needs its own weighting:

        weighting.build([
            ("early_distillation_weighting", {"role": "label", ...}, ["label"]),
            ("early_distillation_weighting", {"role": "teacher", ...}, ["teacher"]),
        ])

    or `optax.partition`. Put `unit_mean_weighting` before both, because it would cancel the shares.
    For cross-entropies `{"label": ..., "teacher": ...}`, the sum is
    `cgar_jax.losses.early_distillation_loss` with an `omega` that drops to 0.

    Args:
      role: the loss term that is weighted, `"label"` or `"teacher"`.
      distillation_steps: number of updates with the teacher, at least 0 (`n_KD` in the paper).
      omega: share of the teacher, in [0, 1]; the default is ours.

    Extra arguments:
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0.

    Returns:
      A weighting that counts its updates.

    Raises:
      ValueError: if the role is unknown, or a number is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> label = weighting.early_distillation_weighting("label", distillation_steps=1, omega=0.25)
      >>> losses = jnp.ones(1)
      >>> state = label.init(losses)
      >>> for _ in range(2):
      ...     weights, state = label.update(jnp.ones(1), state, losses)
      ...     print(weights)
      [0.75]
      [1.]

    Reference:
      Rawat et al., 2024, "A Little Help Goes a Long Way: Efficient LLM Training by Leveraging Small
      LMs" (SALT), arXiv 2410.18779. The paper's `omega` and number of steps are unconfirmed.
    """
    name = "early_distillation_weighting"
    check_name("role", role, ("label", "teacher"))
    check_number(name, "distillation_steps", distillation_steps, "[0, inf)")
    check_number(name, "omega", omega, "[0, 1]")

    def weigh(term: Term, extras: Extras, memory: tuple, count: jax.Array) -> tuple:
        del term, extras
        early = count < jnp.asarray(distillation_steps, jnp.float32)
        teacher_share = jnp.where(early, jnp.asarray(omega, jnp.float32), 0)
        return teacher_share if role == "teacher" else 1 - teacher_share, memory

    return stateful(name, lambda loss: (), weigh)
