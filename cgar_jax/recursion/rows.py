"""Selection of whole rows of arrays, by one flag per row."""

import jax
import jax.numpy as jnp


def where_rows(flags: jax.Array, new: jax.typing.ArrayLike, old: jax.Array) -> jax.Array:
    """Returns `old` with the rows replaced whose flag is True.

    Args:
      flags: bool `[batch]`.
      new: replacement, which broadcasts against `old`.
      old: `[batch, ...]`.
    """
    return jnp.where(flags.reshape(flags.shape + (1,) * (old.ndim - 1)), new, old)
