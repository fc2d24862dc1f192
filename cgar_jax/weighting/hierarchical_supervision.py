"""Hierarchical supervision weighting (HSW), the weighting of supervision steps in CGAR.

>>> import jax.numpy as jnp
>>> import numpy as np
>>> from cgar_jax import weighting
>>> hsw = weighting.hierarchical_supervision_weighting(decay=0.7, num_steps=16)
>>> losses, step = jnp.ones(3), jnp.array([1, 2, 16])
>>> weights, _ = hsw.update(jnp.ones(3), hsw.init(losses), losses, supervision_step=step)
>>> print(np.asarray(weights).round(3))
[0.301 0.211 0.001]

Other weightings of supervision steps are in `supervision_steps.py`.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_shape
from cgar_jax._core.ids import widen
from cgar_jax._core.masking import masked_mean
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name
from cgar_jax.weighting.base import Extras, Term, stateless


def hierarchical_supervision_weighting(
    decay: chex.Numeric = 0.7,
    num_steps: chex.Numeric = 16,
    normalize: Literal["sum", "mean", "none"] = "sum",
    per: Literal["example", "batch"] = "example",
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Weights each loss by a geometric decay over supervision steps: early steps count more.

    `w_t = decay^(t-1) / Z` for supervision step `t = 1, ..., num_steps`, with
    `Z = sum_{s=1..num_steps} decay^(s-1)`.

    Use it with deep supervision, where early steps have more informative gradients than late ones.

    Args:
      decay: ratio of the weights of consecutive steps, in (0, 1]; 1 weights all steps equally. A
        traced value is not checked.
      num_steps: largest number of supervision steps of an example, at least 1; may be traced.
      normalize: `"sum"`: the weights of all steps sum to 1 (the paper); `"mean"`: their mean is 1;
        `"none"`: `Z = 1`, so that step 1 has weight 1 (the model card).
      per: `"example"` weights each example by its own step. `"batch"` gives the whole batch one
        weight, `decay^floor(mean of incoming_steps) / Z`, which has little effect with optimizers
        that are invariant to the scale of the loss, such as Adam. The published code is
        `per="batch", normalize="none"` on all loss terms, that of the halting head included.
      axis_name: mesh axis of the batch, for `per="batch"` under `jax.shard_map`; not needed under
        `jax.jit`.

    Extra arguments:
      - `supervision_step`: current step of each example, int from 1, `[batch]` or the shape of the
        losses; a step outside `1 .. num_steps` has weight 0. It is optional for losses
        `[batch, steps]`, where the second axis is the step. Unused if `incoming_steps` is.
      - `incoming_steps`: for `per="batch"`, number of supervision steps that each slot of the batch
        had taken when the batch came in, int from 0, `[batch]`. As in the published code, a slot
        whose example has halted counts with its old number, although a fresh example takes its
        place, and `where` does not apply. Without it, the mean is over `supervision_step - 1` of
        the valid losses.
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0.

    Returns:
      A weighting without state.

    Raises:
      ValueError: if a setting is out of range; at the first update (trace time), if
        `supervision_step` is missing or has another shape, or the losses have more steps than
        `num_steps`, or `incoming_steps` is not int `[batch]`; outside of `jax.jit`, if a step that
        is not masked is outside `1 .. num_steps`.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from cgar_jax import weighting
      >>> hsw = weighting.hierarchical_supervision_weighting(decay=0.5, num_steps=4)
      >>> losses = jnp.ones((1, 4))  # [batch, steps]
      >>> print(np.asarray(hsw.update(losses, hsw.init(losses), losses)[0]).round(3))
      [[0.533 0.267 0.133 0.067]]

    Reference:
      Qasim and Zhang (CGAR), 2025, arXiv 2511.08653. That the paper uses 16 steps, and that it
      weights only the loss of the answer and not that of the halting head, is likely but
      unconfirmed. The released code multiplies the sum of both losses by
      `decay^int(mean(incoming_steps))`, without dividing by `Z`.
    """
    check_number("hierarchical_supervision_weighting", "decay", decay, "(0, 1]")
    check_number("hierarchical_supervision_weighting", "num_steps", num_steps, "[1, inf)")
    check_name("normalize", normalize, ("sum", "mean", "none"))
    check_name("per", per, ("example", "batch"))

    def weigh(term: Term, extras: Extras) -> jax.Array:
        # optax.inject_hyperparams casts settings to the dtype of the losses, possibly bfloat16.
        base = jnp.asarray(decay, jnp.float32)
        total = _geometric_sum(base, num_steps)
        scale = {"sum": 1 / total, "mean": num_steps / total, "none": 1.0}[normalize]
        if per == "batch" and "incoming_steps" in extras:
            incoming = _incoming_steps(extras, term)
            every_slot = jnp.ones(incoming.shape, bool)
            exponent = jnp.floor(masked_mean(incoming, every_slot, axis_name=axis_name))
            return jnp.broadcast_to(base**exponent * scale, term.losses.shape)
        step, inside = _step_of_each_loss(extras, term, num_steps)
        steps_before = step.astype(jnp.float32) - 1
        if per == "batch":
            steps_before = jnp.floor(masked_mean(steps_before, inside, axis_name=axis_name))
        return jnp.where(inside, base**steps_before * scale, 0)

    return stateless("hierarchical_supervision_weighting", weigh)


def _incoming_steps(extras: Extras, term: Term) -> jax.Array:
    """Returns the extra argument `incoming_steps` in float32."""
    meaning = "the supervision steps that each slot has taken, int [batch]"
    incoming = widen(extras.name, "incoming_steps", extras.get("incoming_steps", meaning))
    check_shape(extras.name, "incoming_steps", incoming, term.losses.shape[:1])
    return incoming.astype(jnp.float32)


@jax.jit  # Without it, eager updates would compile the loop again each time.
def _geometric_sum(decay: jax.Array, num_steps: chex.Numeric) -> jax.Array:
    """Returns `sum_{s=1..num_steps} decay^(s-1)` by Horner's rule.

    The closed form is 0/0 at decay 1, and a traced `num_steps` cannot be the size of an array to
    sum over.
    """
    return jax.lax.fori_loop(0, num_steps, lambda _, total: 1 + decay * total, jnp.float32(0))


def _step_of_each_loss(
    extras: Extras, term: Term, num_steps: chex.Numeric
) -> tuple[jax.Array, jax.Array]:
    """Returns the supervision step of each loss, and whether it is one of `1 .. num_steps`."""
    shape = term.losses.shape
    if "supervision_step" in extras or len(shape) != 2:
        meaning = (
            "the step of each example, counted from 1, int [batch], or use losses of shape "
            f"[batch, steps]; losses of shape {shape} have no axis of steps"
        )
        return extras.steps("supervision_step", meaning, term, num_steps)
    if isinstance(num_steps, int) and shape[1] > num_steps:
        raise ValueError(
            f"hierarchical_supervision_weighting: losses of shape {shape} have {shape[1]} steps, "
            f"but num_steps is {num_steps}; increase num_steps, or pass 'supervision_step' if the "
            "second axis is not the supervision step"
        )
    step = jnp.broadcast_to(jnp.arange(1, shape[1] + 1), shape)
    return step, term.valid & (step <= num_steps)
