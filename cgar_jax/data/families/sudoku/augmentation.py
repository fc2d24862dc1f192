"""Draws random symmetric variants of Sudokus on the device, inside the training step."""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from cgar_jax.data.families.sudoku.grid import BLANK, Grid


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
    grid = Grid.of_length(inputs.shape[-1])
    draws = jax.random.uniform(key, (len(inputs), sum(_num_draws(grid))))
    inputs, labels = jax.vmap(functools.partial(_vary, grid))(draws, inputs, labels)
    return {**examples, "inputs": inputs, "labels": labels}


def _num_draws(grid: Grid) -> tuple[int, ...]:
    """Returns how many numbers decide on bands, rows, stacks, columns, digits, transposition."""
    return grid.box_columns, grid.size, grid.box_rows, grid.size, grid.size, 1


def _vary(
    grid: Grid, draws: jax.Array, question: jax.Array, answer: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Applies to one puzzle the symmetry that its random numbers in [0, 1) stand for."""
    bands, rows, stacks, columns, digits, transpose = jnp.split(
        draws, np.cumsum(_num_draws(grid))[:-1]
    )
    cells = _order(bands, rows)[:, None] * grid.size + _order(stacks, columns)
    if grid.box_rows == grid.box_columns:
        cells = jnp.where(transpose < 0.5, cells.T, cells)
    cells = cells.reshape(-1)
    names = jnp.concatenate([jnp.arange(BLANK + 1), BLANK + 1 + digits.argsort()])
    return _rename(names, question[cells]), _rename(names, answer[cells])


def _order(groups: jax.Array, members: jax.Array) -> jax.Array:
    """Orders groups of neighbours, and the members within each, by their random numbers."""
    members = members.reshape(len(groups), -1)
    order = groups.argsort()[:, None] * members.shape[1] + members.argsort(axis=1)
    return order.reshape(-1)


def _rename(names: jax.Array, tokens: jax.Array) -> jax.Array:
    """Looks up new names; what is no token, such as an ignored label, keeps its value."""
    return jnp.where(tokens < 0, tokens, names[tokens]).astype(tokens.dtype)
