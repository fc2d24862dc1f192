"""Draws random symmetric variants of mazes on the device, inside the training step."""

from collections.abc import Mapping

import jax

from cgar_jax.data.dihedral import NUM_TRANSFORMS, cell_orders
from cgar_jax.data.families.maze.grid import size_of


def augment(key: jax.Array, examples: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Turns and mirrors each maze by one of the eight symmetries of a square, drawn at random.

    Args:
      key: a typed random key.
      examples: a batch with ``inputs`` and ``labels``, integer ``[batch, num_cells]``.

    Returns:
      The batch with question and answer changed together, all else as it was.

    Raises:
      ValueError: if mazes of ``num_cells`` cells are not square.
    """
    inputs, labels = examples["inputs"], examples["labels"]
    orders = jax.numpy.asarray(cell_orders(size_of(inputs.shape[-1])))
    cells = orders[jax.random.randint(key, (len(inputs),), 0, NUM_TRANSFORMS)]
    turn = jax.vmap(lambda tokens, order: tokens[order])
    return {**examples, "inputs": turn(inputs, cells), "labels": turn(labels, cells)}
