"""Rotary positions: queries and keys are rotated by angles that grow with the position.

>>> from cgar_jax import layers
>>> layers.rotary_angles(length=3, head_size=4).shape
(3, 2)

`Attention` applies the rotation; learned position encodings belong to models.
"""

import jax
import jax.numpy as jnp
import numpy as np

from cgar_jax.layers.precision import at_least_float32


def rotary_angles(length: int, head_size: int, base: float = 10_000.0) -> np.ndarray:
    """Returns the rotation angle of each position and feature pair.

        angle[position, i] = position / base^(2 i / head_size)

    Args:
      length: number of positions, int.
      head_size: number of features of each attention head, an even int.
      base: base of the geometric sequence of frequencies.

    Returns:
      Angles in radians, float32 numpy array `[length, head_size / 2]`.

    Example:
      >>> from cgar_jax import layers
      >>> print(layers.rotary_angles(length=3, head_size=4).round(2))
      [[0.   0.  ]
       [1.   0.01]
       [2.   0.02]]

    Reference:
      Su et al., 2021, "RoFormer", arXiv 2104.09864.
    """
    frequencies = base ** (-np.arange(0, head_size, 2, dtype=np.float32) / head_size)
    return np.outer(np.arange(length, dtype=np.float32), frequencies)


def rotate(x: jax.Array, angles: np.ndarray) -> jax.Array:
    """Rotates the feature pairs `(i, i + head_size / 2)` by the angles of their positions.

    Args:
      x: queries or keys, float `[..., length, head_size]`.
      angles: rotation angles, float `[length, head_size / 2]`, see `rotary_angles`.

    Returns:
      An array of the shape and dtype of `x`. The rotation is computed in float32 at least.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import layers
      >>> angles = layers.rotary_angles(length=2, head_size=4)
      >>> layers.rotate(jnp.ones((1, 3, 2, 4)), angles).shape
      (1, 3, 2, 4)

    Reference:
      Su et al., 2021, arXiv 2104.09864.
    """
    cos, sin = np.cos(angles), np.sin(angles)
    first, second = jnp.split(x.astype(at_least_float32(x)), 2, axis=-1)
    rotated = (first * cos - second * sin, second * cos + first * sin)
    return jnp.concatenate(rotated, axis=-1).astype(x.dtype)
