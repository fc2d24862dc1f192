"""Weightings by the probability of the right answer, for losses that are its negative logarithm.

>>> import jax.numpy as jnp
>>> import numpy as np
>>> from cgar_jax import weighting
>>> focal, losses = weighting.focal_weighting(gamma=1.0), jnp.array([0.1, 2.0])
>>> weights, _ = focal.update(jnp.ones(2), focal.init(losses), losses)
>>> print(np.asarray(weights).round(3))
[0.095 0.865]

Each weighting in this file depends on `p = exp(-loss)` only, without comparing examples.
"""

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core import loss_maps
from cgar_jax._core.ranges import check_number
from cgar_jax.weighting.base import Extras, Term, stateless


def focal_weighting(
    gamma: chex.Numeric = 0.5, stop_gradient: bool = True
) -> optax.GradientTransformationExtraArgs:
    """Weights each loss by the probability of a wrong prediction, so that easy examples count less.

    `w = (1 - p)^gamma` with `p = exp(-loss)`: the losses must be negative log-probabilities.

    Use it when many easy examples dominate the gradient of few hard ones.

    Args:
      gamma: exponent, at least 0; 0 leaves the weights unchanged.
      stop_gradient: whether to block the gradient through the weight; False differentiates the
        product of weight and loss, as the classical focal loss does.

    Extra arguments:
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0.

    Returns:
      A weighting without state.

    Raises:
      ValueError: if `gamma` is negative.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from cgar_jax import weighting
      >>> focal = weighting.focal_weighting(gamma=2.0)
      >>> losses = jnp.array([0.1, 2.0])
      >>> weights, _ = focal.update(jnp.ones(2), focal.init(losses), losses)
      >>> print(np.asarray(weights).round(3))
      [0.009 0.748]

    Reference:
      Zhao et al., 2025, "KaLM-Embedding-V2", arXiv 2506.20923. `gamma` 0.5, and whether the paper
      differentiates through the weight, are unconfirmed.
    """
    check_number("focal_weighting", "gamma", gamma, "[0, inf)")

    def weigh(term: Term, extras: Extras) -> jax.Array:
        del extras
        return _power_of_doubt(term.losses, gamma)

    return stateless("focal_weighting", weigh, differentiable=not stop_gradient)


def satimp_weighting(
    saturation: chex.Numeric = 5.0, importance: chex.Numeric = 0.1, ascent: bool = True
) -> optax.GradientTransformationExtraArgs:
    """Weights each loss for unlearning: bounded gradient ascent that stops on forgotten examples.

    `w = -p^saturation (1 - p)^importance` with `p = exp(-loss)`: the losses must be the negative
    log-probabilities of the tokens or answers to forget. `w` vanishes as `p` approaches 0, and
    `|w|` is largest at `p = saturation / (saturation + importance)`.

    Use it on the loss term of the data to forget. The data to retain has a loss term of its own,
    with a coefficient of 0.1 in the released code:

        optax.chain(
            optax.masked(satimp_weighting(), {"forget": True, "retain": False}),
            optax.masked(optax.scale(0.1), {"forget": False, "retain": True}),
        )

    Put `unit_mean_weighting` before both: it does not rescale weights with a negative mean, and it
    would cancel the coefficient.

    Args:
      saturation: exponent of `p`, at least 0 (`b1` in the paper): examples that are not yet
        forgotten count more. With `importance=0` it is weighted gradient ascent.
      importance: exponent of `1 - p`, at least 0 (`b2` in the paper): examples with very certain
        predictions count less. With both exponents 0 it is plain gradient ascent.
      ascent: whether to negate the weights, to forget; False learns with the same absolute weights.

    Extra arguments:
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0.

    Returns:
      A weighting without state.

    Raises:
      ValueError: if an exponent is negative.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from cgar_jax import weighting
      >>> satimp = weighting.satimp_weighting()
      >>> losses = jnp.array([0.05, 0.5, 5.0])
      >>> weights, _ = satimp.update(jnp.ones(3), satimp.init(losses), losses)
      >>> print(np.asarray(weights).round(3))
      [-0.576 -0.075 -0.   ]

    Reference:
      Yang et al., 2025, "Exploring Criteria of Loss Reweighting to Enhance LLM Unlearning", ICML,
      arXiv 2505.11953. The formula follows the released code, for which the authors recommend the
      exponents 5 and 0.1. Another library, open-unlearning, has 5 and 1 as defaults.
    """
    check_number("satimp_weighting", "saturation", saturation, "[0, inf)")
    check_number("satimp_weighting", "importance", importance, "[0, inf)")

    def weigh(term: Term, extras: Extras) -> jax.Array:
        del extras
        losses = jnp.maximum(term.losses, 0)
        power_of_confidence = jnp.exp(-jnp.asarray(saturation, jnp.float32) * losses)
        weight = power_of_confidence * _power_of_doubt(losses, importance)
        return -weight if ascent else weight

    return stateless("satimp_weighting", weigh)


def comp_sum_weighting(tau: chex.Numeric) -> optax.GradientTransformationExtraArgs:
    """Weights each loss so that its gradient is that of the comp-sum loss.

    `w = p^(tau - 1) = exp((1 - tau) loss)` with `p = exp(-loss)`: the losses must be
    cross-entropies.

    Use it with `tau` above 1 when labels are noisy: examples whose label the model finds unlikely
    count less. The gradient, but not the value, of the weighted loss is that of
    `cgar_jax.losses.comp_sum_loss`.

    Args:
      tau: exponent, at least 0. Hard examples count less above 1 and more below 1; 1 leaves the
        weights unchanged. `tau = 1 + q` gives the generalized cross-entropy with exponent `q`, and
        2 gives the mean absolute error.

    Extra arguments:
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0.

    Returns:
      A weighting without state. Weights are at most exp(80), to avoid overflow in float32.

    Raises:
      ValueError: if `tau` is negative.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from cgar_jax import weighting
      >>> comp_sum = weighting.comp_sum_weighting(tau=1.5)
      >>> losses = jnp.array([0.1, 4.0])
      >>> weights, _ = comp_sum.update(jnp.ones(2), comp_sum.init(losses), losses)
      >>> print(np.asarray(weights).round(3))
      [0.951 0.135]

    Reference:
      Mao, Mohri and Zhong, 2023, "Cross-Entropy Loss Functions: Theoretical Analysis and
      Applications", arXiv 2304.07288.
    """
    check_number("comp_sum_weighting", "tau", tau, "[0, inf)")

    def weigh(term: Term, extras: Extras) -> jax.Array:
        del extras
        return loss_maps.comp_sum_slope(term.losses, tau)

    return stateless("comp_sum_weighting", weigh)


def pass_at_n_weighting(num_samples: chex.Numeric) -> optax.GradientTransformationExtraArgs:
    """Weights each loss so that its gradient is that of the pass@n loss.

    `w = n p (1 - p)^(n - 1) / (1 - (1 - p)^n)`, in [0, 1], with `p = exp(-loss)`: the losses must
    be negative log-probabilities of *whole* answers, summed over their tokens.

    Use it when evaluation draws `n` samples and counts a puzzle as solved if one of them is right:
    examples that one of `n` samples solves anyway count less. The gradient, but not the value, of
    the weighted loss is that of `cgar_jax.losses.pass_at_n_loss`.

    Args:
      num_samples: number `n` of samples that evaluation draws, any real number of at least 1 (`N`
        in the paper). 1 leaves the weights unchanged.

    Extra arguments:
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0.

    Returns:
      A weighting without state.

    Raises:
      ValueError: if `num_samples` is below 1.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from cgar_jax import weighting
      >>> pass_at_n = weighting.pass_at_n_weighting(num_samples=8)
      >>> losses = jnp.array([0.1, 2.0])
      >>> weights, _ = pass_at_n.update(jnp.ones(2), pass_at_n.init(losses), losses)
      >>> print(np.asarray(weights).round(3))
      [0.    0.569]

    Reference:
      Chen et al., 2025, "Rethinking Fine-Tuning when Scaling Test-Time Compute: Limiting Confidence
      Improves Mathematical Reasoning", arXiv 2502.07154. The paper's step-wise variants are not
      implemented.
    """
    check_number("pass_at_n_weighting", "num_samples", num_samples, "[1, inf)")

    def weigh(term: Term, extras: Extras) -> jax.Array:
        del extras
        return loss_maps.pass_at_n_slope(term.losses, num_samples)

    return stateless("pass_at_n_weighting", weigh)


def _power_of_doubt(losses, exponent):
    """Returns `(1 - exp(-loss))^exponent`, differentiable; negative losses count as 0, 0^0 is 1."""
    exponent = jnp.asarray(exponent, jnp.float32)
    # The slope of x^exponent is infinite at 0, and overflows below the smallest normal float32.
    is_normal = losses >= jnp.finfo(jnp.float32).tiny
    doubt = -jnp.expm1(-jnp.where(is_normal, losses, 1))
    return jnp.where(is_normal, doubt**exponent, exponent == 0)
