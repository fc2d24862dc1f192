"""Sudoku with 4x4 to 16x16 cells: rules, solver, generator, symmetries and text.

No two splits share an equivalence class. For 9x9 this is a class of solution grids. There are only
49 essentially different solutions of 6x6, so 6x6 (and 4x4) splits are kept apart by puzzle instead;
results on these sizes should mention this. 4x4 has two essentially different solutions, and too few
puzzles for a meaningful test split: it is for tests and demonstrations.
"""

from cgar_jax.data.families.sudoku.family import SudokuRules, SudokuSource
from cgar_jax.data.families.sudoku.generation import generate
from cgar_jax.data.families.sudoku.grid import Grid, decode, encode
from cgar_jax.data.families.sudoku.solver import solve
from cgar_jax.data.families.sudoku.symmetry import canonical_form

__all__ = [
    "Grid",
    "SudokuRules",
    "SudokuSource",
    "canonical_form",
    "decode",
    "encode",
    "generate",
    "solve",
]
