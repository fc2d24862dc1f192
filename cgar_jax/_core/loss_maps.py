"""Elementwise maps from a loss to another loss, and their slopes.

For each map, the loss of the same name in `losses` applies it. The weighting of the same name
multiplies the loss by its slope, so that both train the model with the same gradient. Losses are
float32. The slopes are written out, because automatic differentiation would lose digits and
overflow. No gradient flows into the other arguments.
"""

import chex
import jax
import jax.numpy as jnp

# float32 holds 1000 exp(80), but not exp(89).
_LARGEST_EXPONENT = 80.0
# From this loss on, 1 - exp(-loss) rounds to 1, and the square of exp(-loss) still fits in float32.
_SURELY_WRONG = 40.0
_SURELY_RIGHT = 1e-30


@jax.custom_jvp
def comp_sum(losses: jax.Array, tau: chex.Numeric) -> jax.Array:
    """Computes `(exp((1 - tau) l) - 1) / (1 - tau)`, and `l` at `tau = 1`.

    Where the exponential would overflow, the map continues along its tangent.
    """
    rate = 1 - jnp.asarray(tau, jnp.float32)
    nonzero = jnp.where(rate == 0, 1, rate)
    bend = jnp.minimum(losses, jnp.where(rate > 0, _LARGEST_EXPONENT / nonzero, jnp.inf))
    # expm1(r l) / r stays exact near r = 0; the float32 next to tau = 1 is 6e-8 away.
    mapped = jnp.where(rate == 0, losses, jnp.expm1(rate * bend) / nonzero)
    return mapped + comp_sum_slope(losses, tau) * jnp.where(losses > bend, losses - bend, 0)


@comp_sum.defjvp
def _comp_sum_jvp(primals, tangents):
    return comp_sum(*primals), comp_sum_slope(*primals) * tangents[0]


def comp_sum_slope(losses: jax.Array, tau: chex.Numeric) -> jax.Array:
    """Computes the slope of `comp_sum`, `exp((1 - tau) l)`, bounded by exp(80)."""
    rate = 1 - jnp.asarray(tau, jnp.float32)
    return jnp.exp(jnp.minimum(rate * losses, _LARGEST_EXPONENT))


@jax.custom_jvp
def pass_at_n(losses: jax.Array, num_samples: chex.Numeric) -> jax.Array:
    """Computes `-log(1 - (1 - exp(-l))^n)`, and `l` at `n = 1`."""
    count = jnp.asarray(num_samples, jnp.float32)
    log_fail = jax.nn.log1mexp(jnp.clip(losses, _SURELY_RIGHT, _SURELY_WRONG))
    mapped = -jax.nn.log1mexp(-count * log_fail)
    mapped = jnp.where(losses < _SURELY_WRONG, mapped, losses - jnp.log(count))
    return jnp.where(count == 1, losses, mapped)


@pass_at_n.defjvp
def _pass_at_n_jvp(primals, tangents):
    return pass_at_n(*primals), pass_at_n_slope(*primals) * tangents[0]


def pass_at_n_slope(losses: jax.Array, num_samples: chex.Numeric) -> jax.Array:
    """Computes the slope of `pass_at_n`, `n p (1 - p)^(n - 1) / (1 - (1 - p)^n)`.

    Here `p = exp(-l)`; the slope is 1 at `n = 1`.
    """
    count = jnp.asarray(num_samples, jnp.float32)
    inside = jnp.clip(losses, _SURELY_RIGHT, _SURELY_WRONG)
    log_fail = jax.nn.log1mexp(inside)
    hits = count * jnp.exp((count - 1) * log_fail - inside)
    slope = jnp.minimum(hits / -jnp.expm1(count * log_fail), 1)
    return jnp.where(count == 1, 1, slope)
