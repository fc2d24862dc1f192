"""Reads questions without answers, as people type, paste and store them, and checks them.

The text has one puzzle per line, puzzles drawn in several lines, or is CSV with a column
`question`. Files of puzzles with answers are read by `csv_files`.
"""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cgar_jax.data.parallel import parallel_map
from cgar_jax.data.records import RecordError
from cgar_jax.data.rules import Rules


class Questions(NamedTuple):
    """Puzzles to solve."""

    tokens: np.ndarray  # uint8 [num, num_cells]
    sources: list[str]  # [num], the name of the text that holds each puzzle
    lines: list[int]  # [num], the line on which each puzzle begins, from 1
    remarks: list[str]  # [num], a note about each puzzle, such as "several solutions", or ""

    @property
    def places(self) -> list[str]:
        """The location of each puzzle, for messages."""
        places = zip(self.sources, self.lines, strict=True)
        return [f"{source}, line {line}" for source, line in places]

    @classmethod
    def join(cls, parts: "Sequence[Questions]") -> "Questions":
        """Returns the puzzles of several `Questions` as one."""
        return cls(
            np.concatenate([part.tokens for part in parts]),
            [source for part in parts for source in part.sources],
            [line for part in parts for line in part.lines],
            [remark for part in parts for remark in part.remarks],
        )


def read_questions(text: str, rules: Rules, num_cells: int, where: str = "the input") -> Questions:
    """Reads puzzles and checks that each has a solution.

    Args:
      text: one puzzle per line, puzzles drawn in several lines, or CSV with a column `question`.
      rules: rules of the puzzle family.
      num_cells: number of cells that each puzzle must have.
      where: name of the text in error messages.

    Raises:
      ValueError: if there is no puzzle, or one is malformed, has the wrong size, contradicts itself
        or has no solution; the message names the line.
    """
    try:
        found = _read_rows(text) if _is_csv(text) else _read_lines(text, rules, num_cells)
        if not found:
            raise ValueError(f"{where} has no puzzle")
        for line, question in found:
            if len(question) != num_cells:
                raise RecordError(line, _wrong_length(len(question), rules, num_cells))
        lines, texts = zip(*found, strict=True)
        tokens = _parse(rules, lines, texts)
    except RecordError as error:
        raise ValueError(f"{where}, line {error.index}: {error}") from None
    found = Questions(tokens, [where] * len(tokens), list(lines), [])
    return found._replace(remarks=check_questions(tokens, rules, found.places))


def check_questions(
    tokens: np.ndarray, rules: Rules, places: Sequence[str] | None = None
) -> list[str]:
    """Checks that puzzles have solutions.

    Args:
      tokens: questions, uint8 `[num, num_cells]`.
      rules: rules of the puzzle family.
      places: name of each puzzle in error messages; by default they are numbered.

    Returns:
      A remark for each puzzle that has several solutions, else `""`.

    Raises:
      ValueError: if a puzzle contradicts itself or has no solution; the message names it.
    """
    places = places or [f"puzzle {number}" for number in range(1, len(tokens) + 1)]
    for place, fault in zip(places, rules.question_faults(tokens), strict=True):
        if fault:
            raise ValueError(f"{place}: the puzzle {fault}")
    counts = parallel_map(rules.num_solutions, list(tokens))
    for place, count in zip(places, counts, strict=True):
        if count == 0:
            raise ValueError(f"{place}: the puzzle has no solution")
    several = "the puzzle has several solutions; any of them counts"
    return [several if (count or 0) > 1 else "" for count in counts]


def _parse(rules: Rules, lines: Sequence[int], texts: Sequence[str]) -> np.ndarray:
    try:
        return rules.parse_questions(texts)
    except RecordError as error:
        raise RecordError(lines[error.index], str(error)) from None


def _read_lines(text: str, rules: Rules, num_cells: int) -> list[tuple[int, str]]:
    """Returns the first line number of each puzzle, and its cells row by row."""
    num_rows, width = rules.grid_shape(num_cells)
    found, rows = [], []
    for number, line in enumerate(text.splitlines(), 1):
        cells = rules.clean_line(line)
        if len(cells) == num_cells and not rows:
            found.append((number, cells))
        elif len(cells) == width:
            rows.append((number, cells))
        elif cells:
            raise RecordError(number, _wrong_length(len(cells), rules, num_cells))
        if len(rows) == num_rows:
            found.append((rows[0][0], "".join(row for _, row in rows)))
            rows = []
    if rows:
        raise RecordError(
            rows[0][0], f"the grid that begins here has {len(rows)} of {num_rows} rows"
        )
    return found


def _wrong_length(found: int, rules: Rules, num_cells: int) -> str:
    num_rows, width = rules.grid_shape(num_cells)
    return (
        f"{found} cells; expected {num_cells}, or {width} in each of {num_rows} rows, because the "
        f"model was trained on {num_rows}x{width}"
    )


def _is_csv(text: str) -> bool:
    return "question" in text.partition("\n")[0].split(",")


def _read_rows(text: str) -> list[tuple[int, str]]:
    rows = csv.DictReader(io.StringIO(text))
    found = []
    for row in rows:
        if row["question"] is None:
            raise RecordError(rows.line_num, "the line has no question")
        found.append((rows.line_num, row["question"]))
    return found
