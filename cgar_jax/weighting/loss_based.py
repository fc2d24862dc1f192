"""Weightings that look at nothing but the losses themselves."""

from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._checks import check_number
from cgar_jax._masking import masked_max, mean_one_softmax
from cgar_jax._registry import check_name
from cgar_jax.weighting._transform import Extras, Term, stateful, stateless

# The score of a loss at place h in [-delta, delta] between the batch's smallest and largest.
_STRATEGIES = {
    "linupper": lambda h, delta: jnp.minimum(h + delta, delta),
    "quadratic": lambda h, delta: 1 - jnp.square(h / delta),
    "extremes": lambda h, delta: jnp.abs(h),
    "upper": lambda h, delta: (h + delta) / 2,
    "uniform": lambda h, delta: jnp.zeros_like(h),
}


def loss_based_reweighting(
    strategy: Literal["linupper", "quadratic", "extremes", "upper", "uniform"] = "linupper",
    temperature: chex.Numeric = 1.0,
    delta: chex.Numeric = 1.0,
    burn_in_steps: chex.Numeric = 1000,
    over: Literal["batch", "steps", "all"] = "all",
    clip_quantile: float | None = None,
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Weight each loss by where it lies between the smallest and the largest of the batch.

    ``h = delta (2 l - l_max - l_min) / (l_max - l_min)``, in ``[-delta, delta]``; with ``f`` the
    strategy, ``w = n softmax(f(h) / temperature)``, mean 1 over the n losses that count:

    - ``"linupper"``: ``min(h + delta, delta)``, drops the easy, caps the hard (the paper's best);
    - ``"quadratic"``: ``1 - h^2 / delta^2``, prefers the middle;
    - ``"extremes"``: ``|h|``, prefers both ends;
    - ``"upper"``: ``(h + delta) / 2``, the harder the heavier;
    - ``"uniform"``: 0, all alike. (A released port's strategy of this name is not uniform.)

    Extra arguments of ``update``:
      where: bool, the losses' shape or ``[batch]``; False gets weight 0 and is in no statistic.

    Args:
      strategy: ``f``.
      temperature: above 0, ``r`` in the paper, ``kl_reg`` in its code; infinity leaves the weights
        as they are. Lower it over training with a schedule.
      delta: above 0, the half-width of ``h``.
      burn_in_steps: updates at the start that leave the weights as they are.
      over: which losses are compared: ``"all"``; with losses ``[batch, steps]`` also ``"batch"``,
        those of the same step, or ``"steps"``, those of the same example.
      clip_quantile: in (0.5, 1]; losses beyond this quantile, and below one minus it, count as if
        they were there, so that an outlier does not squeeze all others together. Ours, not the
        paper's; it cannot be taken over an ``axis_name``.
      axis_name: the mesh axis to compare the losses over, too; for `jax.shard_map`.

    Returns:
      A transformation whose state counts its updates; it multiplies the weights it is given.

    Raises:
      ValueError: a setting out of its range.

    Source: Sow et al., Dynamic Loss-Based Sample Reweighting for Improved LLM Pretraining, ICLR
    2025. The formula and delta 1 are certain (released code), temperature 1 and the 1,000 steps are
    its GPT-2 setting; how the paper anneals the temperature is not confirmed.
    """
    check_name("strategy", strategy, _STRATEGIES)
    check_name("over", over, ("all", "batch", "steps"))
    check_number("loss_based_reweighting", "temperature", temperature, "(0, inf]")
    check_number("loss_based_reweighting", "delta", delta, "(0, inf)")
    if clip_quantile is not None and (axis_name is not None or not 0.5 < clip_quantile <= 1):
        raise ValueError(
            f"loss_based_reweighting: clip_quantile is {clip_quantile} with axis_name {axis_name}, "
            "but it must be in (0.5, 1], and without an axis_name"
        )

    def weigh(term: Term, extras: Extras, memory: tuple, count: jax.Array) -> tuple:
        del extras
        axis = {"all": None, "batch": 0, "steps": -1}[over]
        losses, valid = term
        if clip_quantile is not None:
            losses = _clip_to_quantiles(losses, valid, clip_quantile, axis)
        place = _place_in_range(losses, valid, axis, axis_name if over != "steps" else None)
        score = _STRATEGIES[strategy](jnp.asarray(delta, jnp.float32) * place, delta)
        score = jnp.where(count < burn_in_steps, 0, score / temperature)
        return mean_one_softmax(score, valid, axis, axis_name if over != "steps" else None), memory

    return stateful("loss_based_reweighting", lambda loss: (), weigh)


def focal_weighting(
    gamma: chex.Numeric = 0.5, stop_gradient: bool = True
) -> optax.GradientTransformationExtraArgs:
    """Weight each loss by how far its prediction is from sure: easy examples count little.

    ``w = (1 - p)^gamma``, ``p = exp(-loss)``: the losses must be negative log-probabilities.

    Extra arguments of ``update``:
      where: bool, the losses' shape or ``[batch]``; False gets weight 0.

    Args:
      gamma: 0 or more; 0 leaves the weights as they are.
      stop_gradient: False lets the gradient flow through the weight, as in the classical focal
        loss.

    Returns:
      A transformation without state; it multiplies the weights it is given.

    Raises:
      ValueError: a negative ``gamma``.

    Source: Zhao et al., KaLM-Embedding-V2, 2025, arXiv 2506.20923; likely: gamma 0.5 and whether
    the paper differentiates through the weight are not confirmed.
    """
    check_number("focal_weighting", "gamma", gamma, "[0, inf)")

    def weigh(term: Term, extras: Extras) -> jax.Array:
        del extras
        # Below the smallest loss the slope of x^gamma is infinite; 0^0 is 1, as it should be.
        loss = jnp.maximum(term.losses, 0)
        some = loss > 0
        distance = -jnp.expm1(-jnp.where(some, loss, 1))
        return jnp.where(some, distance ** jnp.float32(gamma), jnp.float32(gamma) == 0)

    return stateless("focal_weighting", weigh, differentiable=not stop_gradient)


def _place_in_range(losses, valid, axis, axis_name):
    """Where each loss lies between the smallest, -1, and the largest, 1; 0 if all are equal."""
    largest = masked_max(losses, valid, axis, axis_name)
    smallest = -masked_max(-losses, valid, axis, axis_name)
    spread = largest > smallest
    width = jnp.where(spread, largest - smallest, 1)
    return jnp.where(spread & valid, (2 * losses - largest - smallest) / width, 0)


def _clip_to_quantiles(losses, valid, quantile, axis):
    known = jnp.where(valid, losses, jnp.nan)
    low, high = (jnp.nanquantile(known, q, axis, keepdims=True) for q in (1 - quantile, quantile))
    return jnp.where(valid, jnp.clip(losses, low, high), 0)
