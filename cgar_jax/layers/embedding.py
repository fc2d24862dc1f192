"""Rows of a small table, such as the embeddings of tokens.

>>> import jax.numpy as jnp
>>> from cgar_jax import layers
>>> layers.look_up(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([1, 0, 1])).tolist()
[[3.0, 4.0], [1.0, 2.0], [3.0, 4.0]]
"""

import jax
import jax.numpy as jnp


def look_up(table: jax.Array, indices: jax.Array) -> jax.Array:
    """Returns rows of a table, as a matrix product.

        one_hot(indices) table

    The gradient of `table[indices]` adds the gradients of all places one by one to the few rows. On
    an H200 this took 304 of the 453 ms of a training step of the full-size model; the gradient of
    this product is a product too. For large tables, `table[indices]` is better.

    Args:
      table: float `[rows, features]`.
      indices: int, any shape, in [0, rows).

    Returns:
      `[*indices.shape, features]` in the dtype of the table, exactly its rows; zeros for an index
      outside the table.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import layers
      >>> print(layers.look_up(jnp.array([[1.0], [2.0]]), jnp.array([1, 1, 0])))
      [[2.]
       [2.]
       [1.]]
    """
    selected = jax.nn.one_hot(indices, len(table), dtype=table.dtype)
    return jnp.matmul(selected, table, precision=jax.lax.Precision.HIGHEST)
