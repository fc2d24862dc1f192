"""The optimizer of the puzzle embedding: a big table of which a batch meets a few rows."""

import chex
import jax
import jax.numpy as jnp


def sparse_sign_sgd(
    table: chex.Array,
    identifiers: chex.Array,
    row_gradients: chex.Array,
    learning_rate: chex.Numeric,
    weight_decay: chex.Numeric,
    *,
    where: chex.Array | None = None,
) -> jax.Array:
    """Sign-SGD with decoupled weight decay on the rows of a table that the batch has met.

    ``p <- p (1 - lr weight_decay) - lr sign(sum of the row's gradients)`` for each row that occurs
    in ``identifiers``; a row that occurs twice is updated once. No other row changes, by a single
    bit. Time and memory grow with the batch, not with the table.

    Args:
      table: ``[rows, dim]``, any float dtype.
      identifiers: ``[batch]``, int in ``0 .. rows - 1``: the row of each example.
      row_gradients: ``[batch, dim]``: the gradient of the loss in each example's own copy of its
        row. Their scale does not matter.
      learning_rate: a number, may be traced. TRM's: 1e-4 (Sudoku, maze), 1e-2 (ARC).
      weight_decay: a number, may be traced.
      where: bool ``[batch]``; False is padding, whose row and gradient are not looked at.

    Returns:
      The new table, in the dtype of ``table``; computed in float32.

    Raises:
      AssertionError: the shapes do not fit each other.

    Source: the published code of Wang et al., 2025 (HRM), arXiv 2506.21734, kept by TRM; certain.
    """
    rows, dim = table.shape
    (batch,) = identifiers.shape
    chex.assert_shape(row_gradients, (batch, dim))
    if where is not None:
        chex.assert_shape(where, (batch,))
        # Row number `rows` does not exist: what is sent there is dropped by the scatter below.
        identifiers = jnp.where(where, identifiers, rows)
    if rows <= batch:
        # Summed over the devices of a mesh, a small table is less than a batch of rows.
        occurrences = jax.ops.segment_sum(jnp.ones(batch), identifiers, num_segments=rows)
        met, slots = jnp.where(occurrences > 0, jnp.arange(rows), rows), identifiers
    else:
        met, slots = jnp.unique(identifiers, size=batch, fill_value=rows, return_inverse=True)
    gradients = jax.ops.segment_sum(row_gradients.astype(jnp.float32), slots, num_segments=met.size)
    before = table.at[met].get(mode="clip").astype(jnp.float32)
    after = before * (1 - learning_rate * weight_decay) - learning_rate * jnp.sign(gradients)
    return table.at[met].set(after.astype(table.dtype), mode="drop")
