"""The eight symmetries of a square, numbered as the published data sets number them.

0 leaves a grid as it is, 1 to 3 turn it by as many quarters counter-clockwise, 4 mirrors left and
right, 5 up and down, 6 transposes, 7 transposes along the other diagonal.
"""

import functools

import numpy as np

NUM_TRANSFORMS = 8
INVERSES = (0, 3, 2, 1, 4, 5, 6, 7)


def transform(grid: np.ndarray, index: int) -> np.ndarray:
    """Applies symmetry ``index`` to the last two axes of ``grid``."""
    axes = (-2, -1)
    if index < 4:
        return np.rot90(grid, index, axes)
    if index < 6:
        return np.flip(grid, axes[5 - index])
    return np.swapaxes(grid if index == 6 else np.rot90(grid, 2, axes), -1, -2)


@functools.cache
def cell_orders(size: int) -> np.ndarray:
    """Returns which cell each cell of a transformed square grid comes from, ``[8, size * size]``.

    ``cells[cell_orders(size)[index]]`` are the cells, row by row, of ``transform(grid, index)``.
    """
    cells = np.arange(size * size).reshape(size, size)
    return np.stack([transform(cells, index).reshape(-1) for index in range(NUM_TRANSFORMS)])
