"""Grids of colors as tokens on a square canvas, in the layout of the published data sets.

A grid lies anywhere on the canvas. `END` marks the cells that border it on the right and below; all
other cells are `PAD`. A grid that reaches the edge of the canvas has no mark there.
"""

import reprlib

import numpy as np

PAD, END, FIRST_COLOR = 0, 1, 2
NUM_COLORS = 10
VOCAB_SIZE = FIRST_COLOR + NUM_COLORS
MAX_SIZE = 30


def encode(grid: np.ndarray, size: int = MAX_SIZE) -> np.ndarray:
    """Returns the tokens of a grid in the upper left corner of a canvas.

    Args:
      grid: colors, integer `[height, width]`, neither larger than `size`.
      size: rows and columns of the canvas.

    Returns:
      uint8 `[size * size]`, row by row.
    """
    height, width = grid.shape
    canvas = np.full((size + 1, size + 1), PAD, np.uint8)
    canvas[:height, width] = END
    canvas[height, :width] = END
    canvas[:height, :width] = grid + FIRST_COLOR
    return canvas[:size, :size].reshape(-1)


def decode(tokens: np.ndarray) -> np.ndarray:
    """Returns the largest grid in the upper left corner of a canvas, well formed or not.

    It is the largest rectangle without `PAD` and `END` or, among equally large ones, that with the
    fewest rows. If the first cell of the canvas is not a color, the grid has no cells.

    Args:
      tokens: integer `[size * size]`, row by row, for example a model's answer.

    Returns:
      Colors, uint8 `[height, width]`.
    """
    size = round(tokens.size**0.5)
    canvas = np.asarray(tokens).reshape(size, size)
    is_color = (canvas >= FIRST_COLOR) & (canvas < VOCAB_SIZE)
    # A rectangle that ends in a row is as wide as the narrowest row down to it.
    widths = np.minimum.accumulate(is_color.cumprod(axis=1).sum(axis=1))
    height = int(np.argmax(widths * np.arange(1, size + 1))) + 1
    return (canvas[:height, : widths[height - 1]] - FIRST_COLOR).astype(np.uint8)


def grid_fault(grid: object) -> str | None:
    """Returns the first fault of a grid from JSON, or None if the grid is valid."""
    if not (isinstance(grid, list) and grid and all(isinstance(row, list) for row in grid)):
        return "is not a list of rows; expected [[color, ...], ...]"
    if len(widths := sorted({len(row) for row in grid})) > 1:
        return f"is ragged: rows of {widths[0]} and of {widths[-1]} cells; expected equal rows"
    height, width = len(grid), widths[0]
    if not (width and max(height, width) <= MAX_SIZE):
        return f"is {height}x{width}; expected 1x1 to {MAX_SIZE}x{MAX_SIZE}"
    for row, colors in enumerate(grid, start=1):
        for column, color in enumerate(colors, start=1):
            if type(color) is not int or not 0 <= color < NUM_COLORS:
                where = f"row {row}, column {column}"
                return f"has color {reprlib.repr(color)} in {where}; expected 0 to {NUM_COLORS - 1}"
    return None
