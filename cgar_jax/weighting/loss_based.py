"""Weightings that look at nothing but the losses themselves."""

from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core import loss_maps as _loss_maps
from cgar_jax._core.checks import check_number
from cgar_jax._core.masking import masked_max, masked_mean, mean_one_softmax
from cgar_jax._core.registry import check_name
from cgar_jax.weighting._transform import Extras, Term, stateful, stateless

# The score of a loss at place h in [-delta, delta] between the batch's smallest and largest.
_STRATEGIES = {
    "linupper": lambda h, delta: jnp.minimum(h + delta, delta),
    "quadratic": lambda h, delta: 1 - jnp.square(h / delta),
    "extremes": lambda h, delta: jnp.abs(h),
    "upper": lambda h, delta: (h + delta) / 2,
    "uniform": lambda h, delta: jnp.zeros_like(h),
}


def loss_based_weighting(
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
      ValueError: a setting out of its range; at the first update (trace time), ``over="steps"``
        with losses that have no axis of steps.

    Source: Sow et al., Dynamic Loss-Based Sample Reweighting for Improved LLM Pretraining, ICLR
    2025. The formula and delta 1 are certain (released code), temperature 1 and the 1,000 steps are
    its GPT-2 setting; how the paper anneals the temperature is not confirmed.
    """
    check_name("strategy", strategy, _STRATEGIES)
    check_name("over", over, ("all", "batch", "steps"))
    check_number("loss_based_weighting", "temperature", temperature, "(0, inf]")
    check_number("loss_based_weighting", "delta", delta, "(0, inf)")
    check_number("loss_based_weighting", "burn_in_steps", burn_in_steps, "[0, inf]")
    check_number("loss_based_weighting", "clip_quantile", clip_quantile, "(0.5, 1]")
    if clip_quantile is not None and axis_name is not None:
        raise ValueError(
            f"loss_based_weighting: clip_quantile is {clip_quantile} and axis_name is "
            f"{axis_name!r}, but no quantile can be taken over a named axis; leave out one of them"
        )
    axis = {"all": None, "batch": 0, "steps": 1}[over]
    over_axis_name = axis_name if over != "steps" else None

    def weigh(term: Term, extras: Extras, memory: tuple, count: jax.Array) -> tuple:
        del extras
        losses, valid = term
        if over == "steps" and losses.ndim != 2:
            raise ValueError(
                f"loss_based_weighting: over='steps' compares the steps of an example, but the "
                f"losses have shape {losses.shape}; pass them as [batch, steps]"
            )
        if clip_quantile is not None:
            losses = _clip_to_quantiles(losses, valid, clip_quantile, axis)
        half_width = jnp.asarray(delta, jnp.float32)
        place = _place_in_range(losses, valid, axis, over_axis_name)
        score = _STRATEGIES[strategy](half_width * place, half_width)
        burning_in = count < jnp.asarray(burn_in_steps, jnp.float32)
        score = jnp.where(burning_in, 0, score / temperature)
        return mean_one_softmax(score, valid, axis, over_axis_name), memory

    return stateful("loss_based_weighting", lambda loss: (), weigh)


class _RunningMoments(NamedTuple):
    """Mean and variance of the losses of the batches so far, later batches counting more.

    ``weight`` is what the batches so far count for, all that will ever come counting 1. Relative to
    it, and not to 1, a batch counts, so that neither moment is drawn towards where it started.
    """

    weight: jax.Array
    mean: jax.Array
    variance: jax.Array


def progressive_hardness_weighting(
    hardness: optax.ScalarOrSchedule,
    statistics: Literal["batch", "ema"] = "batch",
    clip: chex.Numeric = 3.0,
    decay: chex.Numeric = 0.99,
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Favor easy examples early and hard ones late, by how far each loss is from the usual one.

    ``w = n softmax(c(t) z)``, mean 1 over the n losses that count, where
    ``z = (loss - mean) / deviation``, cut to ``[-clip, clip]``, and c is the hardness after t
    updates: below 0 the easy weigh more, at 0 all alike, above 0 the hard.

    Extra arguments of ``update``:
      where: bool, the losses' shape or ``[batch]``; False gets weight 0 and is in no statistic.

    Args:
      hardness: ``c``, a number or a schedule of the count of updates, for example
        ``optax.linear_schedule(-1.0, 1.0, 10_000)``.
      statistics: of what ``mean`` and ``deviation`` are: ``"batch"``, the losses at hand;
        ``"ema"``, those of earlier batches, too, in an exponential moving average corrected for its
        start.
      clip: above 0; infinity cuts nothing. 3 is ours.
      decay: in [0, 1), of the moving average; 0.99 is ours. ``statistics="batch"`` does not use it.
      axis_name: the mesh axis to compare the losses over, too; for `jax.shard_map`.

    Returns:
      A transformation whose state counts its updates and, with ``statistics="ema"``, keeps three
      numbers of each loss term; it multiplies the weights it is given. Losses that are all equal,
      and were so, leave the weights as they are.

    Raises:
      ValueError: a setting out of its range.

    Source: inspired by Wu et al., Towards Robust Text Retrieval with Progressive Learning (PEG),
    2023, arXiv 2311.11691; reconstructed from its abstract, not the paper's equation.
    """
    name = "progressive_hardness_weighting"
    check_number(name, "hardness", hardness, "(-inf, inf)")
    check_name("statistics", statistics, ("batch", "ema"))
    check_number(name, "clip", clip, "(0, inf]")
    check_number(name, "decay", decay, "[0, 1)")

    def init_term(loss: jax.Array) -> _RunningMoments | tuple:
        del loss
        zeros = (jnp.zeros([], jnp.float32) for _ in _RunningMoments._fields)
        return _RunningMoments(*zeros) if statistics == "ema" else ()

    def weigh(term: Term, extras: Extras, memory: _RunningMoments | tuple, count: jax.Array):
        del extras
        losses, valid = term
        # From one of the losses on: the mean of equal ones is then exact, and their variance zero.
        largest = jnp.squeeze(masked_max(losses, valid, axis_name=axis_name))
        origin = jnp.where(jnp.isfinite(largest), largest, 0)
        mean = origin + masked_mean(losses - origin, valid, axis_name=axis_name)
        variance = masked_mean(jnp.square(losses - mean), valid, axis_name=axis_name)
        if statistics == "ema":
            some = masked_mean(valid, axis_name=axis_name) > 0
            blended = _blend(memory, mean, variance, jnp.asarray(decay, jnp.float32))
            memory = jax.tree.map(lambda new, old: jnp.where(some, new, old), blended, memory)
            _, mean, variance = memory
        deviation = jnp.sqrt(jnp.where(variance > 0, variance, 1))
        z = jnp.where(variance > 0, (losses - mean) / deviation, 0)
        z = jnp.clip(z, -jnp.asarray(clip, jnp.float32), clip)
        slope = jnp.asarray(hardness(count) if callable(hardness) else hardness, jnp.float32)
        return mean_one_softmax(slope * z, valid, axis_name=axis_name), memory

    return stateful(name, init_term, weigh)


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
        return _power_of_doubt(term.losses, gamma)

    return stateless("focal_weighting", weigh, differentiable=not stop_gradient)


def satimp_weighting(
    saturation: chex.Numeric = 5.0, importance: chex.Numeric = 1.0, ascent: bool = True
) -> optax.GradientTransformationExtraArgs:
    """Unlearn by gradient ascent that dies out on what is forgotten.

    ``w = -p^saturation (1 - p)^importance``, ``p = exp(-loss)``: the losses must be the negative
    log-probabilities of the tokens (or answers) to forget. The ascent is bounded: ``w`` vanishes as
    p goes to 0. ``|w|`` is largest at ``p = saturation / (saturation + importance)``.

    What is to be retained is a loss term of its own, with the released code's coefficient of 0.1::

        optax.chain(
            optax.masked(satimp_weighting(), {"forget": True, "retain": False}),
            optax.masked(optax.scale(0.1), {"forget": False, "retain": True}),
        )

    Put `unit_mean_weighting` before it, not after: weights whose mean is negative it leaves alone.

    Extra arguments of ``update``:
      where: bool, the losses' shape or ``[batch]``; False gets weight 0.

    Args:
      saturation: 0 or more, ``b1`` in the paper: tokens that are not yet forgotten count most. With
        ``importance=0`` this alone is weighted gradient ascent.
      importance: 0 or more, ``b2`` in the paper: tokens that are known too surely count less. With
        both 0 this is plain gradient ascent.
      ascent: multiply by -1, to forget; False learns with the same weights.

    Returns:
      A transformation without state; it multiplies the weights it is given.

    Raises:
      ValueError: a negative exponent.

    Source: Yang, Wang, Huang, Liu, Zhang, Han, ICML 2025, arXiv 2505.11953; certain (released
    code), with its exponents 5 and 1.
    """
    check_number("satimp_weighting", "saturation", saturation, "[0, inf)")
    check_number("satimp_weighting", "importance", importance, "[0, inf)")

    def weigh(term: Term, extras: Extras) -> jax.Array:
        del extras
        losses = jnp.maximum(term.losses, 0)
        power_of_sureness = jnp.exp(-jnp.asarray(saturation, jnp.float32) * losses)
        weight = power_of_sureness * _power_of_doubt(losses, importance)
        return -weight if ascent else weight

    return stateless("satimp_weighting", weigh)


def comp_sum_weighting(tau: chex.Numeric) -> optax.GradientTransformationExtraArgs:
    """Weight each loss so that it trains as its comp-sum loss does: noisy labels count less.

    ``w = p^(tau - 1) = exp((1 - tau) loss)``, ``p = exp(-loss)``: the losses must be
    cross-entropies. The gradient is that of `cgar_jax.losses.comp_sum_loss`; the value of the
    weighted loss is not.

    Extra arguments of ``update``:
      where: bool, the losses' shape or ``[batch]``; False gets weight 0.

    Args:
      tau: 0 or more. Above 1 the hard count less, below 1 more; 1 leaves the weights as they are.
        ``1 + q`` is the generalized cross-entropy of exponent q; 2 the mean absolute error.

    Returns:
      A transformation without state; it multiplies the weights it is given. Weights end at exp(80),
      where float32 would soon overflow.

    Raises:
      ValueError: a negative ``tau``.

    Source: Mao, Mohri, Zhong, Cross-Entropy Loss Functions, 2023, arXiv 2304.07288; certain.
    """
    check_number("comp_sum_weighting", "tau", tau, "[0, inf)")

    def weigh(term: Term, extras: Extras) -> jax.Array:
        del extras
        return _loss_maps.comp_sum_slope(term.losses, tau)

    return stateless("comp_sum_weighting", weigh)


def pass_at_n_weighting(num_samples: chex.Numeric) -> optax.GradientTransformationExtraArgs:
    """Weight each loss as pass@n asks: what one of n samples will solve anyway counts little.

    ``w = n p (1 - p)^(n - 1) / (1 - (1 - p)^n)``, in [0, 1], ``p = exp(-loss)``: the losses must be
    negative log-probabilities of the *whole* answer, summed over its tokens. The gradient is that
    of `cgar_jax.losses.pass_at_n_loss`; the value of the weighted loss is not.

    Extra arguments of ``update``:
      where: bool, the losses' shape or ``[batch]``; False gets weight 0.

    Args:
      num_samples: n, 1 or more, ``N`` in the paper; any real number, the samples that evaluation
        will draw. 1 leaves the weights as they are.

    Returns:
      A transformation without state; it multiplies the weights it is given.

    Raises:
      ValueError: ``num_samples`` below 1.

    Source: Chen, Raventos, Cheng, Ganguli, Druckmann, Rethinking Fine-Tuning when Scaling Test-Time
    Compute, 2025, arXiv 2502.07154; certain. Its step-wise variants are not offered.
    """
    check_number("pass_at_n_weighting", "num_samples", num_samples, "[1, inf)")

    def weigh(term: Term, extras: Extras) -> jax.Array:
        del extras
        return _loss_maps.pass_at_n_slope(term.losses, num_samples)

    return stateless("pass_at_n_weighting", weigh)


def _place_in_range(losses, valid, axis, axis_name):
    """Where each loss lies between the smallest, -1, and the largest, 1; 0 if all are equal."""
    largest = masked_max(losses, valid, axis, axis_name)
    smallest = -masked_max(-losses, valid, axis, axis_name)
    spread = largest > smallest
    width = jnp.where(spread, largest - smallest, 1)
    # Of the ways to write it, this one cannot leave [-1, 1] by rounding.
    return jnp.where(spread, 2 * (losses - smallest) / width - 1, 0)


def _clip_to_quantiles(losses, valid, quantile, axis):
    known = jnp.where(valid, losses, jnp.nan)
    low, high = (jnp.nanquantile(known, q, axis, keepdims=True) for q in (1 - quantile, quantile))
    return jnp.where(valid, jnp.clip(losses, low, high), 0)


def _blend(memory, mean, variance, decay):
    """The moments of the mixture of what was remembered and one batch more."""
    weight = decay * memory.weight + (1 - decay)
    share = (1 - decay) / weight
    step = mean - memory.mean
    mixed = (1 - share) * (memory.variance + share * jnp.square(step)) + share * variance
    return _RunningMoments(weight, memory.mean + share * step, mixed)


def _power_of_doubt(losses, exponent):
    """``(1 - exp(-loss))^exponent``, differentiable; losses below 0 count as 0, and 0^0 is 1."""
    exponent = jnp.asarray(exponent, jnp.float32)
    # At 0 the slope of x^exponent is infinite, and below the smallest normal float32 it overflows.
    some = losses >= jnp.finfo(jnp.float32).tiny
    doubt = -jnp.expm1(-jnp.where(some, losses, 1))
    return jnp.where(some, doubt**exponent, exponent == 0)
