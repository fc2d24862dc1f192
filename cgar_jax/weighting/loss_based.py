"""Weights by the position of each loss between the smallest and the largest of the batch.

>>> import jax.numpy as jnp
>>> import numpy as np
>>> from cgar_jax import weighting
>>> loss_based = weighting.loss_based_weighting("quadratic", burn_in_steps=0)
>>> losses = jnp.array([0.0, 1.0, 2.0])
>>> weights, _ = loss_based.update(jnp.ones(3), loss_based.init(losses), losses)
>>> print(np.asarray(weights).round(2))
[0.64 1.73 0.64]

Weightings that use each loss by itself, as a negative log-probability, are in `likelihood.py`.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.masking import masked_max, mean_one_softmax
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name
from cgar_jax.weighting.base import Extras, Term, stateful

# The score of a loss whose place between the smallest and the largest is h in [-delta, delta].
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
    """Weights each loss by its place between the smallest and the largest loss of the batch.

    `w = n softmax(f(h) / temperature)`, with mean 1 over the `n` valid losses. The place is
    `h = delta (2 l - l_max - l_min) / (l_max - l_min)`, in [-delta, delta]; `f` is the strategy:

    - `"linupper"`: `min(h + delta, delta)` drops easy losses and caps large ones, the paper's best;
    - `"quadratic"`: `1 - h^2 / delta^2` prefers medium losses;
    - `"extremes"`: `|h|` prefers small and large losses;
    - `"upper"`: `(h + delta) / 2` prefers large losses;
    - `"uniform"`: 0 weights all losses equally (in a released port, the strategy of this name does
      not).

    Use it on large, redundant or noisy data, where many examples are already easy.

    Args:
      strategy: the function `f`.
      temperature: temperature of the softmax, above 0 (`r` in the paper, `kl_reg` in its code);
        infinity leaves the weights unchanged. A schedule can lower it over training.
      delta: half-width of the range of `h`, above 0.
      burn_in_steps: number of updates at the start that leave the weights unchanged.
      over: the losses that are compared: `"all"`; or, with losses `[batch, steps]`, `"batch"` for
        those of the same step or `"steps"` for those of the same example.
      clip_quantile: quantile in (0.5, 1], or None. Losses above this quantile and below one minus
        this quantile are clipped to it, so that an outlier does not compress the range of all other
        losses. It is our addition and does not support `axis_name`.
      axis_name: mesh axis to include in the comparison, for `jax.shard_map`.

    Extra arguments:
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0 and are
        excluded from the comparison.

    Returns:
      A weighting that counts its updates.

    Raises:
      ValueError: if a setting is out of range; at the first update (trace time), if `over="steps"`
        is used with losses that have no axis of steps.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from cgar_jax import weighting
      >>> loss_based = weighting.loss_based_weighting("upper", burn_in_steps=0)
      >>> losses = jnp.array([0.0, 1.0, 2.0])
      >>> weights, _ = loss_based.update(jnp.ones(3), loss_based.init(losses), losses)
      >>> print(np.asarray(weights).round(2))
      [0.56 0.92 1.52]

    Reference:
      Sow et al., 2025, "Dynamic Loss-Based Sample Reweighting for Improved Large Language Model
      Pretraining", ICLR. The formula and `delta` 1 follow the released code; temperature 1 and
      1,000 burn-in steps are its GPT-2 setting. How the paper anneals the temperature is
      unconfirmed.
    """
    name = "loss_based_weighting"
    check_name("strategy", strategy, _STRATEGIES)
    check_name("over", over, ("all", "batch", "steps"))
    check_number(name, "temperature", temperature, "(0, inf]")
    check_number(name, "delta", delta, "(0, inf)")
    check_number(name, "burn_in_steps", burn_in_steps, "[0, inf]")
    check_number(name, "clip_quantile", clip_quantile, "(0.5, 1]")
    if clip_quantile is not None and axis_name is not None:
        raise ValueError(
            f"{name}: clip_quantile is {clip_quantile} and axis_name is {axis_name!r}, but "
            "quantiles over a named axis are not supported; remove one of the two settings"
        )
    axis = {"all": None, "batch": 0, "steps": 1}[over]
    # The steps of an example are on one device, so their comparison needs no communication.
    over_axis_name = axis_name if over != "steps" else None

    def weigh(term: Term, extras: Extras, memory: tuple, count: jax.Array) -> tuple:
        del extras
        losses, valid = term
        if over == "steps" and losses.ndim != 2:
            raise ValueError(
                f"{name}: over='steps' compares the steps of an example, but the losses have shape "
                f"{losses.shape}; pass losses of shape [batch, steps], or set over='all'"
            )
        if clip_quantile is not None:
            losses = _clip_to_quantiles(losses, valid, clip_quantile, axis)
        half_width = jnp.asarray(delta, jnp.float32)
        place = _place_in_range(losses, valid, axis, over_axis_name)
        score = _STRATEGIES[strategy](half_width * place, half_width)
        burning_in = count < jnp.asarray(burn_in_steps, jnp.float32)
        score = jnp.where(burning_in, 0, score / temperature)
        return mean_one_softmax(score, valid, axis, over_axis_name), memory

    return stateful(name, lambda loss: (), weigh)


def _place_in_range(losses, valid, axis, axis_name):
    """Returns the place of each loss from -1 (smallest) to 1 (largest); 0 if all are equal."""
    largest = masked_max(losses, valid, axis, axis_name)
    smallest = -masked_max(-losses, valid, axis, axis_name)
    spread = largest > smallest
    width = jnp.where(spread, largest - smallest, 1)
    # Unlike other forms of the same expression, this one cannot leave [-1, 1] by rounding.
    return jnp.where(spread, 2 * (losses - smallest) / width - 1, 0)


def _clip_to_quantiles(losses, valid, quantile, axis):
    known = jnp.where(valid, losses, jnp.nan)
    low, high = (jnp.nanquantile(known, q, axis, keepdims=True) for q in (1 - quantile, quantile))
    return jnp.where(valid, jnp.clip(losses, low, high), 0)
