"""Geometry, rules, tokens and text of Sudoku grids with 4x4 to 16x16 cells.

Tokens follow the published data sets: 0 is padding, 1 a blank cell and d + 1 the digit d. The
digits after 9 are written as letters from A. A puzzle is a row-major `uint8 [num_cells]` array of
tokens; strings are used only for people and files.
"""

import dataclasses
import functools
import re

import numpy as np

BLANK = 1
_SYMBOLS = "?.123456789ABCDEFG"  # by token; "?" stands for padding, which no file contains
_INVALID = 255

_RULER = re.compile(r"[\s|+\-=*:.'`]*(--|==)[\s|+\-=*:.'`]*")
_DECORATION = re.compile(r"[\s|\u2500-\u257f]+")

_TOKEN_OF_BYTE = np.full(256, _INVALID, np.uint8)
_TOKEN_OF_BYTE[[ord(symbol) for symbol in _SYMBOLS[1:]]] = np.arange(1, len(_SYMBOLS))
_TOKEN_OF_BYTE[[ord(symbol) for symbol in "abcdefg"]] = np.arange(11, len(_SYMBOLS))
_TOKEN_OF_BYTE[[ord(symbol) for symbol in "0_*xX-"]] = BLANK  # all are in use


@dataclasses.dataclass(frozen=True)
class Grid:
    """The shape of a Sudoku, given by its boxes.

    A box holds every digit once, so there are `box_rows * box_columns` digits, rows and columns.

    Attributes:
      box_rows: number of rows in a box.
      box_columns: number of columns in a box.
    """

    box_rows: int
    box_columns: int

    @classmethod
    def of_size(cls, size: int) -> "Grid":
        """Returns the grid with this many digits; the size of its boxes is the usual one.

        The boxes are 2x2 for 4x4, 2x3 for 6x6, 3x3 for 9x9, 3x4 for 12x12 and 4x4 for 16x16.

        Raises:
          ValueError: for any other size.
        """
        if size not in _BOX_SHAPES:
            raise ValueError(f"no Sudoku grid of size {size}; use one of {sorted(_BOX_SHAPES)}")
        return cls(*_BOX_SHAPES[size])

    @classmethod
    def of_length(cls, num_cells: int) -> "Grid":
        """Returns the grid with `num_cells` cells: 16, 36, 81, 144 or 256.

        Raises:
          ValueError: for any other number.
        """
        sizes = {size * size: size for size in _BOX_SHAPES}
        if num_cells not in sizes:
            *most, last = (f"{cells} ({size}x{size})" for cells, size in sizes.items())
            raise ValueError(
                f"{num_cells} cells do not form a Sudoku; expected {', '.join(most)} or {last}"
            )
        return cls.of_size(sizes[num_cells])

    @property
    def size(self) -> int:
        """The number of digits, rows and columns."""
        return self.box_rows * self.box_columns

    @property
    def digits(self) -> str:
        """The range of the digits as text, such as `"1..9"` or `"1..9, A..G"`."""
        last = _SYMBOLS[BLANK + self.size]
        return f"1..{last}" if self.size < 10 else f"1..9, A..{last}"

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
        """The cells of each row, then each column, then each box, int `[3 * size, size]`."""
        rows = np.arange(self.num_cells).reshape(self.size, self.size)
        boxes = rows.reshape(self.box_columns, self.box_rows, self.box_rows, self.box_columns)
        return np.concatenate([rows, rows.T, boxes.swapaxes(1, 2).reshape(rows.shape)])

    def unit_name(self, unit: int) -> str:
        """Returns the name of `units[unit]`, counted from one, such as `"column 3"`."""
        kind, index = divmod(unit, self.size)
        return f"{('row', 'column', 'box')[kind]} {index + 1}"

    def broken_units(self, answers: np.ndarray) -> np.ndarray:
        """Returns, for each unit, whether it does not hold every digit exactly once.

        Args:
          answers: tokens, uint8 `[num, num_cells]`.

        Returns:
          bool `[num, 3 * size]`, in the order of `units`.
        """
        digits = np.left_shift(1, answers, dtype=np.int32)
        seen = np.stack([np.bitwise_or.reduce(digits[:, unit], -1) for unit in self.units], -1)
        return seen != sum(1 << token for token in range(BLANK + 1, self.vocab_size))

    def repeated(self, answers: np.ndarray) -> np.ndarray:
        """Returns the cells whose token occurs again in their row, column or box.

        Args:
          answers: tokens, uint8 `[num, num_cells]`.

        Returns:
          bool `[num, num_cells]`.
        """
        repeated = np.zeros(answers.shape, bool)
        for unit in self.units:
            cells = answers[:, unit]
            repeated[:, unit] |= (cells[:, :, None] == cells[:, None, :]).sum(-1) > 1
        return repeated


_BOX_SHAPES = {4: (2, 2), 6: (2, 3), 9: (3, 3), 12: (3, 4), 16: (4, 4)}


def encode(question: str) -> np.ndarray:
    """Returns the tokens of a puzzle written as digits, with `.` or `0` for a blank cell.

    Args:
      question: a character for each cell, row by row.

    Returns:
      uint8 `[num_cells]`.

    Raises:
      ValueError: if no grid has that many cells, or a character is not a digit of the grid.

    Example:
      >>> from cgar_jax.data.families.sudoku import encode
      >>> encode(".234341221434321")
      array([1, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 2], dtype=uint8)
    """
    grid = Grid.of_length(len(question))
    tokens = tokens_of_text(question)
    if (stray := tokens >= grid.vocab_size).any():
        cell = int(stray.argmax())
        raise ValueError(
            f"character {question[cell]!r} in cell {cell + 1}; "
            f"expected a digit {grid.digits}, or '.' or '0' for a blank"
        )
    return tokens


def tokens_of_text(text: str) -> np.ndarray:
    """Returns one token per character, uint8 `[len(text)]`.

    Digits that a grid does not have, and all other characters, become at least `vocab_size`.
    """
    # Anything outside ASCII becomes one "?", which is not a valid character either.
    return _TOKEN_OF_BYTE[np.frombuffer(text.encode("ascii", "replace"), np.uint8)]


def decode(tokens: np.ndarray) -> str:
    """Returns a puzzle as text: digits, `.` for a blank cell, `?` for padding.

    Args:
      tokens: integer `[num_cells]`, for example from `encode` or a model's answer.
    """
    return "".join(_SYMBOLS[token] for token in np.asarray(tokens).tolist())


def draw(tokens: np.ndarray) -> str:
    """Returns a puzzle as rows of digits, with lines between the boxes.

    Args:
      tokens: integer `[num_cells]`, for example from `encode` or a model's answer.
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
    """Returns the cells of a drawn line, without spaces, box lines, rulers and `#` comments."""
    line = line.partition("#")[0]
    return "" if _RULER.fullmatch(line) else _DECORATION.sub("", line)


def question_faults(questions: np.ndarray) -> list[str]:
    """Returns the first fault of each question, or `""`, see `Rules.question_faults`."""
    grid = Grid.of_length(questions.shape[1])
    faults = [""] * len(questions)
    digits = np.left_shift(1, np.where(questions > BLANK, questions, 0), dtype=np.int32) & ~1
    for unit in reversed(range(len(grid.units))):
        cells = digits[:, grid.units[unit]]
        # Adding bits and joining them differ if and only if a digit occurs twice.
        repeats = cells.sum(-1) != np.bitwise_or.reduce(cells, -1)
        for index in np.flatnonzero(repeats):
            tokens, counts = np.unique(questions[index, grid.units[unit]], return_counts=True)
            token = tokens[(counts > 1) & (tokens > BLANK)][-1]
            faults[index] = f"has {_SYMBOLS[token]} more than once in {grid.unit_name(unit)}"
    return faults


def answer_faults(questions: np.ndarray, answers: np.ndarray) -> list[str]:
    """Returns the reason why each answer is not a solution, or `""`, see `Rules.answer_faults`."""
    grid = Grid.of_length(questions.shape[1])
    changed = (questions != BLANK) & (questions != answers)
    broken = grid.broken_units(answers.astype(np.uint8))
    faults = [""] * len(questions)
    for index in np.flatnonzero(broken.any(axis=1)):
        unit = broken[index].argmax()
        digits = decode(answers[index, grid.units[unit]])
        faults[index] = (
            f"has {digits} in {grid.unit_name(unit)}; expected every digit {grid.digits} once"
        )
    for index in np.flatnonzero(changed.any(axis=1)):
        cell = changed[index].argmax()
        clue, found = decode([questions[index, cell], answers[index, cell]])
        faults[index] = f"has {found} in cell {cell + 1}, where the question has the clue {clue}"
    return faults
