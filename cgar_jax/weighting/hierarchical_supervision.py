"""Hierarchical supervision weighting (HSW), CGAR's weighting of the steps of deep supervision."""

from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_number
from cgar_jax._core.masking import masked_mean
from cgar_jax._core.registry import check_name
from cgar_jax.weighting._transform import Extras, Term, stateless


def hierarchical_supervision_weighting(
    decay: chex.Numeric = 0.7,
    num_steps: chex.Numeric = 16,
    normalize: Literal["sum", "mean", "none"] = "sum",
    per: Literal["example", "batch"] = "example",
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Weight the loss of supervision step t by a geometric decay: early steps count most.

    ``w_t = decay^(t-1) / Z``, ``t = 1 .. num_steps``; ``Z = sum_{s=1..num_steps} decay^(s-1)``.

    Extra arguments of ``update``:
      supervision_step: int, 1-based, the losses' shape or ``[batch]``: the step each example is
        at. With losses ``[batch, steps]`` it may be left out: the second axis then is the step.
      where: bool, the losses' shape or ``[batch]``; False gets weight 0.

    Args:
      decay: in (0, 1]; 1 weighs all steps alike. May be traced (then its range is not checked).
      num_steps: the most supervision steps an example takes. May be traced.
      normalize: ``"sum"``: the weights of the ``num_steps`` steps sum to 1 (the paper);
        ``"mean"``: they average to 1; ``"none"``: ``Z = 1``, step 1 has weight 1 (the model card).
      per: ``"example"``: each example by its own step. ``"batch"`` is the published code's
        variant: one weight for the whole batch, ``decay^floor(mean over valid of (t - 1))``.
        An optimizer that is invariant to the loss's scale, Adam for one, hardly notices it.
        Unconfirmed: whether the step counts from 0 or 1 there, which is one constant factor.
      axis_name: with ``per="batch"`` under `jax.shard_map`, the mesh axis of the batch; under
        `jax.jit` the mean is over the whole batch by itself.

    Returns:
      A transformation without state; it multiplies the weights it is given.

    Raises:
      ValueError: a setting out of its range; at the first update (trace time), a
        ``supervision_step`` that is missing or of another shape, or more steps than ``num_steps``.

    Source: Qasim and Zhang, 2025, arXiv 2511.08653. The formula and decay 0.7 are certain; the 16
    steps, and that the paper weighs the answer loss alone and not the halting loss, are likely.
    """
    check_number("hierarchical_supervision_weighting", "decay", decay, "(0, 1]")
    check_number("hierarchical_supervision_weighting", "num_steps", num_steps, "[1, inf)")
    check_name("normalize", normalize, ("sum", "mean", "none"))
    check_name("per", per, ("example", "batch"))

    def weigh(term: Term, extras: Extras) -> jax.Array:
        # The decay may have come as bfloat16: inject_hyperparams casts to the dtype of the losses.
        base = jnp.asarray(decay, jnp.float32)
        total = _geometric_sum(base, num_steps)
        scale = {"sum": 1 / total, "mean": num_steps / total, "none": 1.0}[normalize]
        step = _step_of_each_loss(extras, term, num_steps)
        # A masked step may be any number, and 0.7 to a large negative one is infinite.
        steps_before = jnp.where(term.valid, step.astype(jnp.float32) - 1, 0)
        if per == "batch":
            steps_before = jnp.floor(masked_mean(steps_before, term.valid, axis_name=axis_name))
        return base**steps_before * scale

    return stateless("hierarchical_supervision_weighting", weigh)


@jax.jit  # So that outside of a jit the loop is not compiled again at each update.
def _geometric_sum(decay: jax.Array, num_steps: chex.Numeric) -> jax.Array:
    """Return ``sum_{s=1..num_steps} decay^(s-1)`` by Horner's rule.

    The closed form is 0/0 at decay 1, and ``num_steps`` is traced under inject_hyperparams, so
    there is no array of steps to sum over.
    """
    return jax.lax.fori_loop(0, num_steps, lambda _, total: 1 + decay * total, jnp.float32(0))


def _step_of_each_loss(extras: Extras, term: Term, num_steps: chex.Numeric) -> jax.Array:
    """Return the 1-based supervision step of each loss, with the losses' shape."""
    shape = term.losses.shape
    if "supervision_step" in extras or len(shape) != 2:
        meaning = (
            "the 1-based step of each example, int [batch], or losses of shape [batch, steps]; "
            f"losses of shape {shape} have no axis of steps"
        )
        return extras.per_loss("supervision_step", meaning, term)
    if isinstance(num_steps, int) and shape[1] > num_steps:
        raise ValueError(
            f"hierarchical_supervision_weighting: losses of shape {shape} have {shape[1]} steps, "
            f"but num_steps is {num_steps}; raise num_steps, or pass 'supervision_step' if the "
            "second axis is not the supervision step"
        )
    return jnp.broadcast_to(jnp.arange(1, shape[1] + 1), shape)
