"""The eight symmetries of a square."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax.data import rules_of
from cgar_jax.data.augmentation import draw_views
from cgar_jax.data.symmetries import INVERSES, transform, transformed_cells


@given(st.integers(0, 7), st.integers(2, 6))
def test_a_transform_and_its_inverse_give_the_identity(index, size):
    grid = np.arange(size * size).reshape(size, size)
    back = transform(transform(grid, index), INVERSES[index])
    np.testing.assert_array_equal(back, grid)


def test_the_eight_transforms_are_all_different():
    assert len({order.tobytes() for order in transformed_cells(3)}) == 8


def test_number_seven_transposes_along_the_other_diagonal():
    np.testing.assert_array_equal(transform(np.array([[1, 2], [3, 4]]), 7), [[4, 2], [3, 1]])


@given(st.integers(0, 7), st.integers(2, 6))
def test_transformed_cells_index_the_cells_of_a_transformed_grid(index, size):
    grid = np.random.default_rng(0).integers(0, 9, (size, size))
    expected = transform(grid, index).reshape(-1)
    np.testing.assert_array_equal(grid.reshape(-1)[transformed_cells(size)[index]], expected)


def copies_of(family, num_cells, num=8):
    """The copies of 5 random grids, and the grids, `[5, num, num_cells]` each."""
    views = draw_views(rules_of(family).symmetries(num_cells), num, seed=1)
    grids = np.random.default_rng(0).integers(0, 6, (5, 1, num_cells), np.uint8)
    grids = np.repeat(grids, num, axis=1)
    return views, views.of(grids), grids


@pytest.mark.parametrize(("family", "num_cells"), [("sudoku", 16), ("maze", 25)])
def test_views_can_be_undone_and_the_first_is_the_grid_itself(family, num_cells):
    views, copies, grids = copies_of(family, num_cells)
    np.testing.assert_array_equal(views.undo(copies), grids)
    np.testing.assert_array_equal(copies[:, 0], grids[:, 0])
    assert len(np.unique(copies[0], axis=0)) == 8


def test_a_view_of_a_solved_sudoku_is_a_solved_sudoku():
    rules = rules_of("sudoku")
    solved = rules.parse_answers(["1234341221434321"])
    question = rules.parse_questions(["1..............."])
    views = draw_views(rules.symmetries(16), 6, seed=0)
    asked, answered = (views.of(np.repeat(grid[None], 6, axis=1))[0] for grid in (question, solved))
    assert rules.accepts(asked, answered).all()
