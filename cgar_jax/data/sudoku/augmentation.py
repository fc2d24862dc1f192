"""Draws random symmetric variants of Sudokus on the device, inside the training step."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from cgar_jax.data.sudoku.grid import BLANK, Grid


def augment(key: jax.Array, examples: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Replaces each puzzle by one drawn from all that are equivalent to it.

    Digits are renamed, rows permuted within their band, bands, columns within their stack and
    stacks; where boxes are square, every second grid is transposed. Question and answer change
    together; blank cells, padding and ignored labels stay what they are, as do all entries but
    ``inputs`` and ``labels``.

    Args:
      key: a typed random key.
      examples: a batch with ``inputs`` and ``labels``, integer ``[batch, num_cells]``.

    Returns:
      The batch, with the same shapes and dtypes.

    Raises:
      ValueError: if no grid has ``num_cells`` cells.
    """
    inputs, labels = examples["inputs"], examples["labels"]
    batch_size, num_cells = inputs.shape
    grid = Grid.of_length(num_cells)

    def vary(key, question, answer):
        cells, names = _random_symmetry(key, grid)
        return _rename(names, question[cells]), _rename(names, answer[cells])

    inputs, labels = jax.vmap(vary)(jax.random.split(key, batch_size), inputs, labels)
    return {**examples, "inputs": inputs, "labels": labels}


def _random_symmetry(key: jax.Array, grid: Grid) -> tuple[jax.Array, jax.Array]:
    """Draws where each cell comes from, ``[num_cells]``, and each token's new name, ``[vocab]``."""
    rows_key, columns_key, transpose_key, digits_key = jax.random.split(key, 4)
    rows = _random_order(rows_key, grid.box_columns, grid.box_rows)
    columns = _random_order(columns_key, grid.box_rows, grid.box_columns)
    cells = rows[:, None] * grid.size + columns
    if grid.box_rows == grid.box_columns:
        cells = jnp.where(jax.random.bernoulli(transpose_key), cells.T, cells)
    digits = BLANK + 1 + jax.random.permutation(digits_key, grid.size)
    return cells.reshape(-1), jnp.concatenate([jnp.arange(BLANK + 1), digits])


def _random_order(key: jax.Array, num_groups: int, group_size: int) -> jax.Array:
    """Permutes groups of neighbours and the members of each, ``[num_groups * group_size]``."""
    groups_key, members_key = jax.random.split(key)
    groups = jax.random.permutation(groups_key, num_groups)
    members = jax.random.uniform(members_key, (num_groups, group_size)).argsort(axis=1)
    return (groups[:, None] * group_size + members).reshape(-1)


def _rename(names: jax.Array, tokens: jax.Array) -> jax.Array:
    """Looks up new names; what is no token, such as an ignored label, keeps its value."""
    return jnp.where(tokens < 0, tokens, names[tokens]).astype(tokens.dtype)
