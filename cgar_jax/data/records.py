"""What is wrong with one of many records: parsers say it, readers of files add where."""

import pathlib
from collections.abc import Sequence

import numpy as np
from absl import logging

_NUM_LISTED = 20


class RecordError(ValueError):
    """One of several records is wrong; ``index`` says which."""

    def __init__(self, index: int, message: str):
        super().__init__(message)
        self.index = int(index)


def tell_left_out(path: pathlib.Path, what: str, faults: Sequence[str]) -> None:
    """Counts bad records of a file in the log, and lists the first of them; nothing without any.

    Args:
      path: of the file.
      what: the records are, in the plural.
      faults: where and what is wrong with each.
    """
    if faults:
        more = f"\nand {len(faults) - _NUM_LISTED} more" if len(faults) > _NUM_LISTED else ""
        listed = "\n".join(faults[:_NUM_LISTED])
        logging.warning("%s: %d bad %s are left out\n%s%s", path, len(faults), what, listed, more)


def equally_long(column: str, texts: Sequence[str], num_cells: int) -> None:
    """Checks that every text has one character for each cell.

    Raises:
      RecordError: if one has not.
    """
    for index, text in enumerate(texts):
        if len(text) != num_cells:
            raise RecordError(
                index,
                f"the {column} has {len(text)} characters; expected {num_cells}: "
                "one for each cell, as on the first line of puzzles",
            )


def no_strays(column: str, texts: Sequence[str], stray: np.ndarray, expected: str) -> None:
    """Checks that no character is one that the family does not have.

    Args:
      column: what the texts are, for the message.
      texts: equally long.
      stray: which characters are wrong, ``bool [num, num_cells]``.
      expected: what would be right.

    Raises:
      RecordError: for the first that is wrong.
    """
    if stray.any():
        index, cell = np.argwhere(stray)[0]
        raise RecordError(
            index,
            f"character {texts[index][cell]!r} in cell {cell + 1} of the {column}; "
            f"expected {expected}",
        )
