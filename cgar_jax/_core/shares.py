"""Numbers of examples from fractions, without the rounding errors of the fraction.

A fraction such as 0.3 has no exact binary form, so `ceil(0.3 * count)` may be one too many and
`floor` one too few. Both functions here forgive the rounding errors of a fraction that a few
operations have computed: of float32 up to about four million examples, of Python numbers beyond
any training set.
"""

import math
from typing import Any

import chex
import jax
import jax.numpy as jnp

_FLOAT32_ERROR = 2.0**-22
_FLOAT64_ERROR = 2.0**-42


def ceil_of_share(fraction: chex.Numeric, count: chex.Numeric) -> Any:
    """Returns `ceil(fraction * count)`, an int for numbers and an int32 JAX array for arrays."""
    if isinstance(fraction, jax.Array) or isinstance(count, jax.Array):
        return jnp.ceil(_product(fraction, count) * (1 - _FLOAT32_ERROR)).astype(jnp.int32)
    return math.ceil(fraction * count * (1 - _FLOAT64_ERROR))


def floor_of_share(fraction: chex.Numeric, count: chex.Numeric) -> Any:
    """Returns `floor(fraction * count)`, an int for numbers and an int32 JAX array for arrays."""
    if isinstance(fraction, jax.Array) or isinstance(count, jax.Array):
        return jnp.floor(_product(fraction, count) * (1 + _FLOAT32_ERROR)).astype(jnp.int32)
    return math.floor(fraction * count * (1 + _FLOAT64_ERROR))


def _product(fraction: chex.Numeric, count: chex.Numeric) -> jax.Array:
    return jnp.asarray(fraction, jnp.float32) * jnp.asarray(count, jnp.float32)
