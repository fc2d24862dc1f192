"""Errors in one of many records: parsers describe the error, readers of files add its location."""

import itertools
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
from absl import logging

_NUM_LISTED = 20


class RecordError(ValueError):
    """One of several records is malformed; `index` is its position among them."""

    def __init__(self, index: int, message: str):
        super().__init__(message)
        self.index = int(index)


def log_skipped(path: pathlib.Path, kind: str, errors: Sequence[str]) -> None:
    """Logs a warning with the number of skipped records and the first errors; silent without any.

    Args:
      path: file that holds the records.
      kind: plural noun for the records, such as "lines".
      errors: location and reason of each skipped record.
    """
    if errors:
        more = f"\nand {len(errors) - _NUM_LISTED} more" if len(errors) > _NUM_LISTED else ""
        listed = "\n".join(errors[:_NUM_LISTED])
        logging.warning("%s: skipped %d bad %s\n%s%s", path, len(errors), kind, listed, more)


def named(names: Iterable[str]) -> str:
    """Lists names for a message, quoted, and only the first of many."""
    names = iter(names)
    listed = ", ".join(map(repr, itertools.islice(names, _NUM_LISTED)))
    more = sum(1 for _ in names)
    return f"{listed} and {more} more" if more else listed


def check_lengths(column: str, texts: Sequence[str], num_cells: int) -> None:
    """Checks that every text has one character per cell.

    Args:
      column: name of the texts in error messages, such as "question".
      texts: texts to check.
      num_cells: expected number of characters.

    Raises:
      RecordError: for the first text of another length.
    """
    for index, text in enumerate(texts):
        if len(text) != num_cells:
            raise RecordError(
                index,
                f"the {column} has {len(text)} characters; expected {num_cells}, one per cell, "
                "as in the first puzzle",
            )


def check_characters(column: str, texts: Sequence[str], stray: np.ndarray, expected: str) -> None:
    """Checks that no text has a stray character.

    Args:
      column: name of the texts in error messages, such as "question".
      texts: texts of equal length.
      stray: mask of the characters that the family does not have, bool `[num, num_cells]`.
      expected: description of the valid characters.

    Raises:
      RecordError: for the first stray character.
    """
    if stray.any():
        index, cell = np.argwhere(stray)[0]
        raise RecordError(
            index,
            f"character {texts[index][cell]!r} in cell {cell + 1} of the {column}; "
            f"expected {expected}",
        )
