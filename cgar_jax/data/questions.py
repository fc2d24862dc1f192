"""Questions without answers, as people type, paste and keep them: text and CSV to tokens."""

import csv
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cgar_jax.data.parallel import parallel_map
from cgar_jax.data.puzzles import Puzzles
from cgar_jax.data.records import RecordError


class Questions(NamedTuple):
    """Puzzles to solve."""

    tokens: np.ndarray  # uint8 [num, num_cells]
    places: list[str]  # [num], where each was found, for messages
    remarks: list[str]  # [num], what its asker should know, else ""


def read_questions(
    text: str, family: type[Puzzles], num_cells: int, where: str = "the input"
) -> Questions:
    """Reads puzzles: one on a line, drawn in several lines, or CSV with a column `question`.

    Args:
      text: of all of them.
      family: which puzzles they are.
      num_cells: of each; other sizes are refused.
      where: the text comes from, for messages.

    Raises:
      ValueError: there is none, or one is malformed, of another size, contradicts itself, or has
        no solution; the message names the line.
    """
    try:
        found = _of_csv(text) if _is_csv(text) else _of_lines(text, family, num_cells)
        if not found:
            raise ValueError(f"{where} has no puzzle")
        for line, question in found:
            if len(question) != num_cells:
                raise RecordError(line, _wrong_length(len(question), num_cells))
        lines, texts = zip(*found, strict=True)
        tokens = _parsed(family, lines, texts)
    except RecordError as error:
        raise ValueError(f"{where}, line {error.index}: {error}") from None
    places = [f"{where}, line {line}" for line in lines]
    return Questions(tokens, places, check_questions(tokens, family, places))


def check_questions(
    tokens: np.ndarray, family: type[Puzzles], places: Sequence[str] | None = None
) -> list[str]:
    """Checks that puzzles can be solved.

    Args:
      tokens: of the puzzles, `uint8 [num, num_cells]`.
      family: which puzzles they are.
      places: what to call each in a message.

    Returns:
      For each what its asker should know, as that it has several solutions; else `""`.

    Raises:
      ValueError: one contradicts itself or has no solution; the message names it.
    """
    places = places or [f"puzzle {number}" for number in range(1, len(tokens) + 1)]
    for place, fault in zip(places, family.question_faults(tokens), strict=True):
        if fault:
            raise ValueError(f"{place}: the puzzle {fault}")
    counts = parallel_map(family.num_solutions, list(tokens))
    for place, count in zip(places, counts, strict=True):
        if count == 0:
            raise ValueError(f"{place}: the puzzle has no solution")
    several = "the puzzle has several solutions; any of them counts"
    return [several if (count or 0) > 1 else "" for count in counts]


def _parsed(family: type[Puzzles], lines: Sequence[int], texts: Sequence[str]) -> np.ndarray:
    try:
        return family.parse_questions(texts)
    except RecordError as error:
        raise RecordError(lines[error.index], str(error)) from None


def _of_lines(text: str, family: type[Puzzles], num_cells: int) -> list[tuple[int, str]]:
    """The number of the first line of each puzzle, and its cells, row by row."""
    size = math.isqrt(num_cells)
    found, rows = [], []
    for number, line in enumerate(text.splitlines(), 1):
        cells = family.clean_line(line)
        if len(cells) == num_cells and not rows:
            found.append((number, cells))
        elif len(cells) == size:
            rows.append((number, cells))
        elif cells:
            raise RecordError(number, _wrong_length(len(cells), num_cells))
        if len(rows) == size:
            found.append((rows[0][0], "".join(row for _, row in rows)))
            rows = []
    if rows:
        raise RecordError(rows[0][0], f"a grid begins that has {len(rows)} of {size} rows")
    return found


def _wrong_length(found: int, num_cells: int) -> str:
    size = math.isqrt(num_cells)
    return (
        f"{found} cells; expected {num_cells}, or {size} as one of {size} rows: the model was "
        f"trained on {size}x{size}"
    )


def _is_csv(text: str) -> bool:
    return "question" in text.partition("\n")[0].split(",")


def _of_csv(text: str) -> list[tuple[int, str]]:
    rows = csv.DictReader(io.StringIO(text))
    found = []
    for row in rows:
        if row["question"] is None:
            raise RecordError(rows.line_num, "the line has no question")
        found.append((rows.line_num, row["question"]))
    return found
