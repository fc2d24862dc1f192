"""The dtype in which statistics and sums are computed."""

import jax
import jax.numpy as jnp


def at_least_float32(x: jax.Array) -> jnp.dtype:
    """Returns the dtype of `x`, or float32 if that is more precise."""
    return jnp.promote_types(x.dtype, jnp.float32)
