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


def board_angles(width: int, length: int, head_size: int, base: float = 10_000.0) -> np.ndarray:
    """Returns rotation angles for the cells of a board: half by row, half by column.

        angle[cell, i] = row / base^(4 i / head_size)                  for i < head_size / 4
        angle[cell, head_size / 4 + i] = column / base^(4 i / head_size)

    Args:
      width: number of columns of the board, int.
      length: number of cells, in rows, int.
      head_size: number of features of each attention head, a multiple of 4.
      base: base of the geometric sequence of frequencies.

    Returns:
      Angles in radians, float32 numpy array `[length, head_size / 2]`. With `rotate(x, angles)`,
      the pairs are those of a whole head (SE-RRM); with `rotate(x, angles, parts=2)`, the first
      half of the head turns by row and the second by column (sic).

    Example:
      >>> from cgar_jax import layers
      >>> print(layers.board_angles(width=2, length=4, head_size=4))
      [[0. 0.]
       [0. 1.]
       [1. 0.]
       [1. 1.]]

    Reference:
      Su et al., 2021, arXiv 2104.09864; two dimensions as in the released code of Freinschlag et
      al., 2026, arXiv 2603.02193, and of Dillon, 2026, arXiv 2601.19085.
    """
    rows, columns = np.divmod(np.arange(length), width)
    angles = rotary_angles(max(width, rows[-1] + 1), head_size // 2, base)
    return np.concatenate([angles[rows], angles[columns]], axis=-1)


def rotate(x: jax.Array, angles: np.ndarray, parts: int = 1) -> jax.Array:
    """Rotates feature pairs by the angles of their positions.

    Within each part of the head, feature `i` is paired with feature `i + size of the part / 2`.

    Args:
      x: queries or keys, float `[..., length, head_size]`.
      angles: rotation angles, float `[length, head_size / 2]`, see `rotary_angles`.
      parts: number of equal parts of the head; each takes its share of the angles, in order.

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
    angles = angles.reshape(len(angles), parts, -1)
    cos, sin = np.cos(angles), np.sin(angles)
    in_parts = x.astype(at_least_float32(x)).reshape(*x.shape[:-1], parts, -1)
    first, second = jnp.split(in_parts, 2, axis=-1)
    rotated = (first * cos - second * sin, second * cos + first * sin)
    return jnp.concatenate(rotated, axis=-1).reshape(x.shape).astype(x.dtype)
