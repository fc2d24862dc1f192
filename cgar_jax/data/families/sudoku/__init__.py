"""Sudoku of 4x4, 6x6 and 9x9 cells: rules, solver, generator, symmetries and text.

Splits never share an equivalence class. For 9x9 that is a class of solution grids. A 6x6 grid has
only 49 essentially different solutions, so that 6x6 (and 4x4) splits are kept apart by *puzzle*:
say so beside every figure on them. 4x4, with two essentially different solutions and few different
puzzles, is for tests and demonstrations; nothing can be held out there in earnest.
"""

from cgar_jax.data.families.sudoku.generation import generate
from cgar_jax.data.families.sudoku.grid import Grid, decode, encode
from cgar_jax.data.families.sudoku.puzzles import Sudokus
from cgar_jax.data.families.sudoku.solver import solve
from cgar_jax.data.families.sudoku.symmetry import canonical_form, split_class

__all__ = [
    "Grid",
    "Sudokus",
    "canonical_form",
    "decode",
    "encode",
    "generate",
    "solve",
    "split_class",
]
