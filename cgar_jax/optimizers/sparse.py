"""Sign-SGD for the puzzle embedding, a large table of which each batch uses only a few rows.

>>> import jax.numpy as jnp
>>> from cgar_jax import optimizers
>>> table, gradients = jnp.zeros((3, 1)), jnp.array([[0.3]])
>>> print(optimizers.sparse_sign_sgd(table, jnp.array([1]), gradients, 0.5, 0.0).ravel())
[ 0.  -0.5  0. ]

All other parameters are trained by an optimizer of `cgar_jax.optimizers.build`.
"""

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.ids import known_ids


def sparse_sign_sgd(
    table: jax.Array,
    identifiers: jax.Array,
    row_gradients: jax.Array,
    learning_rate: chex.Numeric,
    weight_decay: chex.Numeric,
    *,
    where: jax.Array | None = None,
) -> jax.Array:
    """Returns the table after one step of sign-SGD on the rows that a batch uses.

        p <- p (1 - lr weight_decay) - lr sign(sum of the row's gradients)

    for each row that occurs in `identifiers`; a row that occurs twice is updated once. All other
    rows stay bitwise the same. Use it for large embedding tables: time and memory grow with the
    batch, not with the table.

    Args:
      table: embedding table, float `[rows, dim]`.
      identifiers: row of each example, int `[batch]`. An example whose identifier is outside
        `0 .. rows - 1` is ignored.
      row_gradients: gradient of the loss in each example's own copy of its row, float
        `[batch, dim]`. Their scale does not matter.
      learning_rate: learning rate, a number that may be traced. TRM uses 1e-4 for Sudoku and mazes,
        and 1e-2 for ARC.
      weight_decay: decoupled weight decay, a number that may be traced.
      where: mask, bool `[batch]`; False entries are padding, whose rows and gradients are ignored.

    Returns:
      The new table, in the dtype of `table`; computed in float32.

    Raises:
      AssertionError: if the shapes do not fit each other.
      ValueError: if the identifiers are not integers.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import optimizers
      >>> table = jnp.zeros((4, 2))
      >>> gradients = jnp.array([[0.3, -7.0]])
      >>> new = optimizers.sparse_sign_sgd(table, jnp.array([2]), gradients, 0.5, 0.0)
      >>> print(new[2], new[0])
      [-0.5  0.5] [0. 0.]

    Reference:
      The published code of HRM, Wang et al., 2025, arXiv 2506.21734, kept by TRM.
    """
    rows, dim = table.shape
    identifiers, counts = known_ids("sparse_sign_sgd", "identifiers", identifiers, rows)
    (batch,) = identifiers.shape
    chex.assert_shape(row_gradients, (batch, dim))
    if where is not None:
        chex.assert_shape(where, (batch,))
        counts &= where
    # The row with index `rows` does not exist, so the scatter below drops it.
    identifiers = jnp.where(counts, identifiers, rows)
    if rows <= batch:
        # For a small table, summing all rows over the devices of a mesh moves less data than
        # gathering a batch of rows.
        occurrences = jax.ops.segment_sum(jnp.ones(batch), identifiers, num_segments=rows)
        met, slots = jnp.where(occurrences > 0, jnp.arange(rows), rows), identifiers
    else:
        met, slots = jnp.unique(identifiers, size=batch, fill_value=rows, return_inverse=True)
    gradients = jax.ops.segment_sum(row_gradients.astype(jnp.float32), slots, num_segments=met.size)
    before = table.at[met].get(mode="clip").astype(jnp.float32)
    after = before * (1 - learning_rate * weight_decay) - learning_rate * jnp.sign(gradients)
    return table.at[met].set(after.astype(table.dtype), mode="drop")
