"""Geometry, rules and tokens of Sudoku grids of 4x4, 6x6 and 9x9 cells.

Tokens follow the layout of the published data sets: 0 is padding, 1 a blank cell and d + 1 the
digit d. A puzzle is a row-major ``uint8 [num_cells]`` array of tokens everywhere in this package;
strings appear only where people and CSV files do.
"""

import dataclasses
import functools

import numpy as np

BLANK = 1
_SYMBOLS = "?.123456789"  # by token; "?" shows a padding token, which no file contains
_INVALID = 255

_TOKEN_OF_BYTE = np.full(256, _INVALID, np.uint8)
_TOKEN_OF_BYTE[[ord(symbol) for symbol in _SYMBOLS[1:]]] = np.arange(1, len(_SYMBOLS))
_TOKEN_OF_BYTE[ord("0")] = BLANK


@dataclasses.dataclass(frozen=True)
class Grid:
    """The shape of a Sudoku: boxes of ``box_rows`` by ``box_columns`` cells.

    A box holds every digit once, so the grid has ``box_rows * box_columns`` digits, rows and
    columns.
    """

    box_rows: int
    box_columns: int

    @classmethod
    def of_size(cls, size: int) -> "Grid":
        """Returns the 4x4 (2x2 boxes), 6x6 (boxes of 2 rows, 3 columns) or 9x9 (3x3) grid.

        Raises:
          ValueError: for any other size.
        """
        if size not in _BOX_SHAPES:
            raise ValueError(f"no Sudoku grid of size {size}; use one of {sorted(_BOX_SHAPES)}")
        return cls(*_BOX_SHAPES[size])

    @classmethod
    def of_length(cls, num_cells: int) -> "Grid":
        """Returns the grid that has ``num_cells`` cells: 16, 36 or 81.

        Raises:
          ValueError: for any other number.
        """
        sizes = {size * size: size for size in _BOX_SHAPES}
        if num_cells not in sizes:
            raise ValueError(
                f"{num_cells} cells make no Sudoku; expected 16 (4x4), 36 (6x6) or 81 (9x9)"
            )
        return cls.of_size(sizes[num_cells])

    @property
    def size(self) -> int:
        """The number of digits, of rows and of columns."""
        return self.box_rows * self.box_columns

    @property
    def num_cells(self) -> int:
        """The number of cells."""
        return self.size**2

    @property
    def vocab_size(self) -> int:
        """The number of tokens: padding, blank and the digits."""
        return self.size + 2

    @functools.cached_property
    def units(self) -> np.ndarray:
        """The cells of each row, then each column, then each box: ``int64 [3 * size, size]``."""
        rows = np.arange(self.num_cells).reshape(self.size, self.size)
        boxes = rows.reshape(self.box_columns, self.box_rows, self.box_rows, self.box_columns)
        return np.concatenate([rows, rows.T, boxes.swapaxes(1, 2).reshape(rows.shape)])

    def unit_name(self, unit: int) -> str:
        """Returns the name of ``units[unit]``, counted from one: ``"column 3"``."""
        kind, index = divmod(unit, self.size)
        return f"{('row', 'column', 'box')[kind]} {index + 1}"

    def broken_units(self, answers: np.ndarray) -> np.ndarray:
        """Tells which units do not hold every digit exactly once.

        Args:
          answers: tokens, ``uint8 [num, num_cells]``.

        Returns:
          ``bool [num, 3 * size]``, in the order of ``units``.
        """
        digits = np.left_shift(1, answers, dtype=np.int16)
        seen = np.stack([np.bitwise_or.reduce(digits[:, unit], -1) for unit in self.units], -1)
        return seen != sum(1 << token for token in range(BLANK + 1, self.vocab_size))

    def repeated(self, answers: np.ndarray) -> np.ndarray:
        """Tells which cells hold a token that another cell of their row, column or box holds too.

        Args:
          answers: tokens, ``uint8 [num, num_cells]``.

        Returns:
          ``bool [num, num_cells]``.
        """
        repeated = np.zeros(answers.shape, bool)
        for unit in self.units:
            cells = answers[:, unit]
            repeated[:, unit] |= (cells[:, :, None] == cells[:, None, :]).sum(-1) > 1
        return repeated


_BOX_SHAPES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}


def encode(question: str) -> np.ndarray:
    """Returns the tokens of a puzzle written as digits, with ``.`` or ``0`` for a blank cell.

    >>> encode(".234341221434321")
    array([1, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 2], dtype=uint8)

    Args:
      question: 16, 36 or 81 characters, row by row.

    Returns:
      ``uint8 [num_cells]``.

    Raises:
      ValueError: if the length is that of no grid, or a character is no digit of that grid.
    """
    grid = Grid.of_length(len(question))
    tokens = tokens_of_text(grid, question)
    if (stray := tokens >= grid.vocab_size).any():
        cell = int(stray.argmax())
        raise ValueError(
            f"character {question[cell]!r} in cell {cell + 1}; "
            f"expected a digit 1..{grid.size}, or '.' or '0' for a blank"
        )
    return tokens


def tokens_of_text(grid: Grid, text: str) -> np.ndarray:
    """Returns one token per character, ``uint8 [len(text)]``.

    A character that is no digit of ``grid`` and no blank becomes some number of at least
    ``grid.vocab_size``.
    """
    # Anything outside ASCII becomes one "?", which is as stray as the original.
    return _TOKEN_OF_BYTE[np.frombuffer(text.encode("ascii", "replace"), np.uint8)]


def decode(tokens: np.ndarray) -> str:
    """Returns the puzzle as text: digits, ``.`` for a blank cell, ``?`` for padding.

    Args:
      tokens: integers ``[num_cells]``, for example from ``encode`` or from a model's argmax.
    """
    return "".join(_SYMBOLS[token] for token in np.asarray(tokens).tolist())


def pretty(tokens: np.ndarray) -> str:
    """Returns the puzzle as rows of digits, its boxes parted by lines.

    Args:
      tokens: integers ``[num_cells]``, for example from ``encode`` or from a model's argmax.
    """
    grid = Grid.of_length(len(tokens))
    text, size, width = decode(tokens), grid.size, grid.box_columns
    ruler = "+".join(["-" * (2 * width + 1)] * grid.box_rows)[1:-1]
    lines = []
    for row in range(size):
        if row and row % grid.box_rows == 0:
            lines.append(ruler)
        cells = text[row * size : (row + 1) * size]
        boxes = [" ".join(cells[start : start + width]) for start in range(0, size, width)]
        lines.append(" | ".join(boxes))
    return "\n".join(lines)


def clean_line(line: str) -> str:
    """Returns a line without what parts cells and boxes: spaces, `|` and rulers."""
    cells = "".join(line.split()).replace("|", "")
    return cells if cells.strip("-+=") else ""


def question_faults(questions: np.ndarray) -> list[str]:
    """Tells which clues of each question contradict each other, ``""`` if none do.

    Args:
      questions: tokens, ``uint8 [num, num_cells]``.
    """
    grid = Grid.of_length(questions.shape[1])
    faults = [""] * len(questions)
    for unit in reversed(range(len(grid.units))):
        cells = questions[:, grid.units[unit]]
        for token in range(BLANK + 1, grid.vocab_size):
            for index in np.flatnonzero((cells == token).sum(axis=1) > 1):
                faults[index] = f"has {token - BLANK} more than once in {grid.unit_name(unit)}"
    return faults
