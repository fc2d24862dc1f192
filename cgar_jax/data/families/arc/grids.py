"""Grids of colours as tokens on a square canvas, as the published data sets have them.

A grid lies somewhere on the canvas; ``END`` marks the cells right of it and below it that border
on it, all else is ``PAD``. A grid that reaches the canvas' edge has no mark there.
"""

import numpy as np

PAD, END, FIRST_COLOUR = 0, 1, 2
NUM_COLOURS = 10
VOCAB_SIZE = FIRST_COLOUR + NUM_COLOURS
MAX_SIZE = 30


def encode(grid: np.ndarray, size: int = MAX_SIZE) -> np.ndarray:
    """Returns the tokens of a grid in the upper left corner of a canvas.

    Args:
      grid: colours, integer ``[height, width]``, neither larger than ``size``.
      size: rows and columns of the canvas.

    Returns:
      ``uint8 [size * size]``, row by row.
    """
    height, width = grid.shape
    canvas = np.full((size + 1, size + 1), PAD, np.uint8)
    canvas[:height, width] = END
    canvas[height, :width] = END
    canvas[:height, :width] = grid + FIRST_COLOUR
    return canvas[:size, :size].reshape(-1)


def decode(tokens: np.ndarray) -> np.ndarray:
    """Returns the largest grid in the upper left corner of a canvas, well formed or not.

    Of several rectangles of equal area without ``PAD`` and ``END`` it is the one of the fewest
    rows. A canvas whose first cell is no colour gives a grid of no cells.

    Args:
      tokens: integer ``[size * size]``, row by row, for example a model's answer.

    Returns:
      Colours, ``uint8 [height, width]``.
    """
    size = round(tokens.size**0.5)
    canvas = np.asarray(tokens).reshape(size, size)
    is_colour = (canvas >= FIRST_COLOUR) & (canvas < VOCAB_SIZE)
    # Of the rectangle down to a row, the width is that of its narrowest row.
    widths = np.minimum.accumulate(is_colour.cumprod(axis=1).sum(axis=1))
    height = int(np.argmax(widths * np.arange(1, size + 1))) + 1
    return (canvas[:height, : widths[height - 1]] - FIRST_COLOUR).astype(np.uint8)


def fault(grid: object) -> str | None:
    """Says what is wrong with a grid as JSON has it, and what would be right; nothing if it is."""
    if not (isinstance(grid, list) and grid and all(isinstance(row, list) for row in grid)):
        return "is no list of rows; expected [[colour, ...], ...]"
    if len(widths := sorted({len(row) for row in grid})) > 1:
        return f"is ragged: rows of {widths[0]} and of {widths[-1]} cells; expected equal rows"
    height, width = len(grid), widths[0]
    if not (width and max(height, width) <= MAX_SIZE):
        return f"is {height}x{width}; expected 1x1 to {MAX_SIZE}x{MAX_SIZE}"
    for row, colours in enumerate(grid, start=1):
        for column, colour in enumerate(colours, start=1):
            if type(colour) is not int or not 0 <= colour < NUM_COLOURS:
                where = f"row {row}, column {column}"
                return f"has colour {colour!r} in {where}; expected 0 to {NUM_COLOURS - 1}"
    return None
