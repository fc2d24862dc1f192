"""Random symmetric variants of puzzles, drawn on the device inside the training step.

This file holds the half of augmentation that needs JAX; `symmetries` has the descriptions that the
families give. ARC has its own augmentation, because its variants come from a table.
"""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from cgar_jax.data.dataset import Augmentation, identity_augmentation
from cgar_jax.data.families.arc.augmentation import arc_augmentation
from cgar_jax.data.symmetries import (
    NUM_TRANSFORMS,
    LineSymmetries,
    SquareSymmetries,
    Symmetries,
    Variants,
    Views,
    transformed_cells,
)


def augmentation_for(symmetries: Symmetries | None) -> Augmentation:
    """Returns the function `(key, examples) -> examples` that draws variants of a batch.

    Args:
      symmetries: description from `Source.symmetries`; None means the identity.
    """
    if symmetries is None:
        return identity_augmentation
    if isinstance(symmetries, Variants):
        return arc_augmentation(symmetries)
    return GridAugmentation(symmetries)


@dataclasses.dataclass(frozen=True)
class GridAugmentation:
    """Replaces each puzzle of a batch by a random equivalent one.

    Question and answer change together. Ignored labels, and tokens that no symmetry renames, keep
    their value; columns other than `inputs` and `labels` are returned unchanged.

    Instances are equal if their symmetries are, so that compiled programs are shared.
    """

    symmetries: SquareSymmetries | LineSymmetries

    def __call__(self, key: jax.Array, examples: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Draws variants.

        Args:
          key: typed random key.
          examples: batch with `inputs` and `labels`, integer `[batch, num_cells]`.

        Returns:
          The batch with the same shapes and dtypes.

        Raises:
          ValueError: if the grids have another number of cells than the symmetries.
        """
        inputs, labels = examples["inputs"], examples["labels"]
        if inputs.shape[-1] != self.symmetries.size**2:
            raise ValueError(
                f"the puzzles have {inputs.shape[-1]} cells; expected {self.symmetries.size**2} "
                f"for {self.symmetries}"
            )
        if isinstance(self.symmetries, SquareSymmetries):
            vary = _transformed(self.symmetries, key, len(inputs))
        else:
            vary = _permuted(self.symmetries, key, len(inputs))
        return {**examples, "inputs": vary(inputs), "labels": vary(labels)}


def draw_views(symmetries: SquareSymmetries | LineSymmetries, num: int, seed: int) -> Views:
    """Draws symmetric copies that a trained model can be asked about instead of the original.

    Args:
      symmetries: symmetries of the puzzles.
      num: number of copies, the original included.
      seed: random seed.
    """
    key, tokens = jax.random.key(seed), np.tile(np.arange(256, dtype=np.uint8), (num, 1))
    if isinstance(symmetries, SquareSymmetries):
        drawn = np.array(jax.random.permutation(key, NUM_TRANSFORMS - 1)) + 1
        cells = transformed_cells(symmetries.size)[np.resize([0, *drawn], num)]
        return Views(cells, tokens)
    draws = jax.random.uniform(key, (num, sum(_num_draws(symmetries))))
    found = jax.vmap(functools.partial(_permutations, symmetries))(draws)
    cells, names = (np.array(each) for each in found)
    tokens[1:, : names.shape[1]] = names[1:]
    cells[0] = np.arange(cells.shape[1])
    return Views(cells, tokens)


def _transformed(symmetries: SquareSymmetries, key: jax.Array, batch: int):
    """Draws a transform for each example; returns the function that applies it to tokens."""
    drawn = jax.random.randint(key, (batch,), 0, NUM_TRANSFORMS)
    cells = jnp.asarray(transformed_cells(symmetries.size))[drawn]
    return lambda tokens: jax.vmap(lambda row, order: row[order])(tokens, cells)


def _permuted(symmetries: LineSymmetries, key: jax.Array, batch: int):
    """Draws permutations for each example; returns the function that applies them to tokens."""
    draws = jax.random.uniform(key, (batch, sum(_num_draws(symmetries))))
    cells, names = jax.vmap(functools.partial(_permutations, symmetries))(draws)

    def permute(tokens: jax.Array, order: jax.Array, name: jax.Array) -> jax.Array:
        moved = tokens[order]
        # Negative values, such as ignored labels, are not tokens.
        return jnp.where(moved < 0, moved, name[moved]).astype(tokens.dtype)

    return lambda tokens: jax.vmap(permute)(tokens, cells, names)


def _num_draws(symmetries: LineSymmetries) -> tuple[int, ...]:
    """Returns the number of draws for bands, rows, stacks, columns, tokens and transposition."""
    size = symmetries.size
    num_bands, num_stacks = size // symmetries.band_rows, size // symmetries.stack_columns
    return num_bands, size, num_stacks, size, size, 1


def _permutations(symmetries: LineSymmetries, draws: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Maps random numbers in [0, 1) to the order of one grid's cells and its new token names."""
    bands, rows, stacks, columns, tokens, transpose = jnp.split(
        draws, np.cumsum(_num_draws(symmetries))[:-1]
    )
    cells = _order(bands, rows)[:, None] * symmetries.size + _order(stacks, columns)
    if symmetries.transposes:
        cells = jnp.where(transpose < 0.5, cells.T, cells)
    first = symmetries.first_renamed
    names = jnp.concatenate([jnp.arange(first), first + tokens.argsort()])
    return cells.reshape(-1), names


def _order(groups: jax.Array, members: jax.Array) -> jax.Array:
    """Orders groups of neighboring lines, and the lines in each, by their random numbers."""
    members = members.reshape(len(groups), -1)
    order = groups.argsort()[:, None] * members.shape[1] + members.argsort(axis=1)
    return order.reshape(-1)
