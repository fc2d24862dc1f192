"""Symmetries of grids: transforms in NumPy, and descriptions that `augmentation` draws from.

A family describes its symmetries with one of the classes below, which hold numbers only. The random
draw and the work on the device are in `augmentation`, so that a family needs no JAX.
"""

import functools
from typing import NamedTuple

import numpy as np

NUM_TRANSFORMS = 8
INVERSES = (0, 3, 2, 1, 4, 5, 6, 7)
"""The transform that undoes each transform."""


class SquareSymmetries(NamedTuple):
    """The eight rotations and reflections of a square grid; tokens keep their names."""

    size: int  # rows and columns


class LineSymmetries(NamedTuple):
    """Permutations of lines within bands, of bands, and of tokens, as in Sudoku.

    A band is a group of neighboring rows, a stack a group of neighboring columns. Rows move within
    their band and bands as a whole; the same holds for columns and stacks.
    """

    size: int  # rows and columns
    band_rows: int  # rows per band
    stack_columns: int  # columns per stack
    transposes: bool  # whether swapping rows and columns is a symmetry
    first_renamed: int  # tokens first_renamed to first_renamed + size - 1 are permuted


class Variants(NamedTuple):
    """A table of variants of ARC puzzles: a transform and new colors for each.

    A puzzle identifier is a row of the table. The variants of one puzzle are neighbors, and the
    first of them is the puzzle itself.
    """

    names: tuple[str, ...]  # [num_puzzles], names of the puzzles
    firsts: np.ndarray  # int32 [num_puzzles + 1], first identifier of each puzzle, then the end
    transforms: np.ndarray  # uint8 [num_variants], see `transform`
    colors: np.ndarray  # uint8 [num_variants, 10], the new value of each color

    def puzzle_of(self, identifier: int) -> int:
        """Returns the index of the puzzle that the variant `identifier` belongs to."""
        return int(np.searchsorted(self.firsts, identifier, side="right")) - 1

    def of(self, identifier: int) -> range:
        """Returns all identifiers of the puzzle that the variant `identifier` belongs to."""
        puzzle = self.puzzle_of(identifier)
        return range(*self.firsts[puzzle : puzzle + 2].tolist())

    def undo(self, identifier: int, grid: np.ndarray) -> np.ndarray:
        """Returns the original grid that `grid` is the variant `identifier` of."""
        original = self.colors[identifier].argsort().astype(np.uint8)[grid]
        return transform(original, INVERSES[self.transforms[identifier]])


class Views(NamedTuple):
    """Symmetric copies of grids, with the way back; the first copy is the grid itself."""

    cells: np.ndarray  # int [num_views, num_cells], the cell that each cell of a copy comes from
    tokens: np.ndarray  # uint8 [num_views, 256], the token that each token becomes

    def of(self, grids: np.ndarray) -> np.ndarray:
        """Returns the copies of grids, `[num, num_views, num_cells]`.

        Args:
          grids: the grid of each copy, tokens `[num, num_views, num_cells]`.
        """
        moved = np.take_along_axis(grids, self.cells[None], axis=-1)
        return self.tokens[np.arange(len(self.tokens))[:, None], moved].astype(grids.dtype)

    def undo(self, copies: np.ndarray) -> np.ndarray:
        """Returns the grids of copies, the inverse of `of`."""
        names = self.tokens.argsort(axis=-1).astype(copies.dtype)
        renamed = names[np.arange(len(names))[:, None], copies]
        return np.take_along_axis(renamed, self.cells.argsort(axis=-1)[None], axis=-1)


Symmetries = SquareSymmetries | LineSymmetries | Variants


def transform(grid: np.ndarray, index: int) -> np.ndarray:
    """Applies one of the eight symmetries of a square to the last two axes of `grid`.

    They are numbered as in the published data sets: 0 is the identity, 1 to 3 rotate
    counterclockwise by that many quarters, 4 mirrors left and right, 5 up and down, 6 transposes,
    7 transposes along the other diagonal.

    Args:
      grid: array `[..., rows, columns]`.
      index: number of the symmetry, 0 to 7.
    """
    axes = (-2, -1)
    if index < 4:
        return np.rot90(grid, index, axes)
    if index < 6:
        return np.flip(grid, axes[5 - index])
    return np.swapaxes(grid if index == 6 else np.rot90(grid, 2, axes), -1, -2)


@functools.cache
def transformed_cells(size: int) -> np.ndarray:
    """Returns the cell that each cell of a transformed grid comes from, int `[8, size * size]`.

    `cells[transformed_cells(size)[index]]` are the cells, row by row, of `transform(grid, index)`.
    """
    cells = np.arange(size * size).reshape(size, size)
    return np.stack([transform(cells, index).reshape(-1) for index in range(NUM_TRANSFORMS)])
