"""Records of puzzles as text, and errors in some of many records.

Parsers describe an error; readers of files add its location, and report all of them at once.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

_NUM_LISTED = 20


class RecordError(ValueError):
    """One of several records is malformed; `index` is its position among them."""

    def __init__(self, index: int, message: str):
        super().__init__(message)
        self.index = int(index)


class Record(NamedTuple):
    """One puzzle as text.

    Attributes:
      line: line on which it begins, from 1.
      question: cells of the question, row by row.
      answer: cells of the answer; "" if there is none.
      rating: the difficulty.
      source: origin or name of the puzzle.
      fault: the reason why it cannot be read, or "".
    """

    line: int
    question: str
    answer: str = ""
    rating: str = "0"
    source: str = ""
    fault: str = ""


def parse_valid(
    parse: Callable[[Sequence[Record]], Any], records: Sequence[Record], faults: list[Record]
) -> list[Any]:
    """Parses as many records at once as have no errors among them.

    Args:
      parse: function of several records that raises a `RecordError` if one of them is malformed.
      records: records to parse.
      faults: list to which the malformed records are appended, with their `fault`.

    Returns:
      The results of `parse`, in order.
    """
    if not records:
        return []
    try:
        return [parse(records)]
    except RecordError as error:
        if len(records) == 1:
            faults.append(records[0]._replace(fault=str(error)))
            return []
    # Halving keeps the number of calls low both for few and for many errors.
    middle = len(records) // 2
    return [
        *parse_valid(parse, records[:middle], faults),
        *parse_valid(parse, records[middle:], faults),
    ]


def report_bad(name: Any, kind: str, errors: Sequence[str], skip_bad: bool) -> None:
    """Reports bad records, of which the first ones are listed; does nothing without any.

    Args:
      name: name of the text or file that holds the records.
      kind: plural noun for the records, such as "lines".
      errors: location and reason of each bad record.
      skip_bad: whether the report is a logged warning rather than an error.

    Raises:
      ValueError: if there is a bad record and `skip_bad` is false.
    """
    if not errors:
        return
    more = f"\nand {len(errors) - _NUM_LISTED} more" if len(errors) > _NUM_LISTED else ""
    listed = "\n".join(errors[:_NUM_LISTED]) + more
    if skip_bad:
        logging.warning("%s: skipped %d bad %s\n%s", name, len(errors), kind, listed)
    elif len(errors) == 1:
        raise ValueError(listed)
    else:
        raise ValueError(f"{name} has {len(errors)} bad {kind}; skip_bad leaves them out\n{listed}")


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
