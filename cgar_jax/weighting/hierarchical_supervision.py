"""Hierarchical supervision weighting (HSW), CGAR's weighting of the steps of deep supervision."""

from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._masking import align, masked_mean, valid_entries
from cgar_jax._registry import check_name


def hierarchical_supervision_weighting(
    decay: chex.Numeric = 0.7,
    num_steps: chex.Numeric = 16,
    normalize: Literal["sum", "mean", "none"] = "sum",
    per: Literal["example", "batch"] = "example",
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

    Returns:
      A transformation without state; it multiplies the weights it is given.

    Raises:
      ValueError: a setting out of its range; at the first update (trace time), a
        ``supervision_step`` that is missing or of another shape, or more steps than ``num_steps``.

    Source: Qasim and Zhang, 2025, arXiv 2511.08653. The formula and decay 0.7 are certain; the 16
    steps, and that the paper weighs the answer loss alone and not the halting loss, are likely.
    """
    if isinstance(decay, int | float) and not 0 < decay <= 1:
        raise ValueError(f"decay is {decay}, but it must be in (0, 1]; the paper's is 0.7")
    if isinstance(num_steps, int) and num_steps < 1:
        raise ValueError(f"num_steps is {num_steps}, but it must be 1 or more; TRM takes 16")
    check_name("normalize", normalize, ("sum", "mean", "none"))
    check_name("per", per, ("example", "batch"))

    def update(
        weights: chex.ArrayTree,
        state: optax.EmptyState,
        losses: chex.ArrayTree | None = None,
        *,
        supervision_step: chex.Array | None = None,
        where: chex.Array | None = None,
        **extra_args: Any,
    ) -> tuple[chex.ArrayTree, optax.EmptyState]:
        del losses, extra_args
        # The decay may have come as bfloat16: inject_hyperparams casts to the dtype of the losses.
        base = jax.lax.stop_gradient(jnp.asarray(decay, jnp.float32))
        total = _geometric_sum(base, num_steps)
        scale = {"sum": 1 / total, "mean": num_steps / total, "none": 1.0}[normalize]

        def weigh(weight: jax.Array) -> jax.Array:
            valid = valid_entries(where, weight.shape)
            step = _step_of_each_loss(supervision_step, weight.shape, num_steps)
            steps_before = step.astype(jnp.float32) - 1
            if per == "batch":
                steps_before = jnp.floor(masked_mean(steps_before, valid))
            factor = jnp.where(valid, base**steps_before * scale, 0)
            return (weight.astype(jnp.float32) * factor).astype(weight.dtype)

        return jax.tree.map(weigh, weights), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


@jax.jit  # So that outside of a jit the loop is not compiled again at each update.
def _geometric_sum(decay: jax.Array, num_steps: chex.Numeric) -> jax.Array:
    """Return ``sum_{s=1..num_steps} decay^(s-1)`` by Horner's rule.

    The closed form is 0/0 at decay 1, and ``num_steps`` is traced under inject_hyperparams, so
    there is no array of steps to sum over.
    """
    return jax.lax.fori_loop(0, num_steps, lambda _, total: 1 + decay * total, jnp.float32(0))


def _step_of_each_loss(
    supervision_step: chex.Array | None, shape: tuple[int, ...], num_steps: chex.Numeric
) -> jax.Array:
    """Return the 1-based supervision step of each loss, with the losses' shape."""
    if supervision_step is not None:
        return align("supervision_step", supervision_step, shape)
    if len(shape) != 2:
        raise ValueError(
            "hierarchical_supervision_weighting: the extra argument 'supervision_step' is missing "
            f"and losses of shape {shape} have no axis of steps; pass "
            "update(..., supervision_step=...), the 1-based step of each example, int [batch], "
            "or losses of shape [batch, steps]"
        )
    if isinstance(num_steps, int) and shape[1] > num_steps:
        raise ValueError(
            f"hierarchical_supervision_weighting: losses of shape {shape} have {shape[1]} steps, "
            f"but num_steps is {num_steps}; raise num_steps, or pass 'supervision_step' if the "
            "second axis is not the supervision step"
        )
    return jnp.broadcast_to(jnp.arange(1, shape[1] + 1), shape)
