"""The eight symmetries of a square."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

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
