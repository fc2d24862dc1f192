"""CSV files of puzzles in the schema of the public Sudoku-Extreme data, read, checked, written.

The header is ``source,question,answer,rating``. A question is written row by row with digits and
``.`` (or ``0``) for blank cells, its answer with digits; the rating is a solver's guess count.
Reading checks the format and the rules, not that solutions are unique.
"""

import csv
import itertools
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from cgar_jax.data.dataset import Examples
from cgar_jax.data.sudoku.grid import BLANK, Grid, decode, tokens_of_text

COLUMNS = ("source", "question", "answer", "rating")
_ROWS_AT_ONCE = 1 << 12  # bounds the memory that Python strings take


def read_csv(path: str | os.PathLike) -> Examples:
    """Reads the puzzles of one file, all of one size, which their length tells.

    Args:
      path: the file.

    Returns:
      ``inputs`` and ``labels``, tokens, ``uint8 [num, num_cells]``; ``difficulty``,
      ``float32 [num]``; ``source``, UTF-8 bytes ``[num]``.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if the file has no puzzles, or a line is malformed or breaks a rule of Sudoku;
        the message names the file and the line.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no puzzle file {path}; expected a CSV file with the header {','.join(COLUMNS)}"
        )
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        try:
            _check_header(path, next(rows, []))
            parts = list(_read_parts(path, rows))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path}, near line {rows.line_num + 1}: {error}; expected CSV in UTF-8"
            ) from error
    if not parts:
        raise ValueError(f"{path} has a header but no puzzles; expected one on every further line")
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def write_csv(path: str | os.PathLike, examples: Examples) -> None:
    """Writes puzzles, as `read_csv` returns them, to one file; ``source`` may be left out."""
    sources = examples.get("source", itertools.repeat(b""))
    columns = (examples["inputs"], examples["labels"], examples["difficulty"].tolist())
    with pathlib.Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for source, question, answer, rating in zip(sources, *columns, strict=False):
            rating = int(rating) if rating.is_integer() else rating
            writer.writerow([source.decode(), decode(question), decode(answer), rating])


def _check_header(path: pathlib.Path, header: list[str]) -> None:
    if tuple(header) != COLUMNS:
        found = f"the header is {','.join(header)!r}" if header else "there is no header"
        raise ValueError(f"{path}, line 1: {found}; expected {','.join(COLUMNS)!r}")


def _read_parts(path: pathlib.Path, rows: Iterator[list[str]]) -> Iterator[Examples]:
    """Yields the examples of up to ``_ROWS_AT_ONCE`` lines at a time."""
    grid, line = None, 2
    while part := list(itertools.islice(rows, _ROWS_AT_ONCE)):
        check = _Checker(path, line)
        check.lengths(part, len(COLUMNS), "the line has {} fields", ",".join(COLUMNS))
        sources, questions, answers, ratings = zip(*part, strict=True)
        grid = grid or check.grid(questions[0])
        inputs = check.tokens(grid, "question", questions)
        labels = check.tokens(grid, "answer", answers)
        check.rules(grid, inputs, labels)
        yield {
            "inputs": inputs,
            "labels": labels,
            "difficulty": check.ratings(ratings),
            "source": np.array([source.encode() for source in sources]),
        }
        line += len(part)


class _Checker:
    """Turns the columns of consecutive lines into arrays, or says which line is wrong and how."""

    def __init__(self, path: pathlib.Path, first_line: int):
        self._path = path
        self._first_line = first_line

    def _error(self, index: int, message: str) -> ValueError:
        return ValueError(f"{self._path}, line {self._first_line + int(index)}: {message}")

    def lengths(self, items: Sequence, length: int, found: str, expected: str) -> None:
        lengths = np.fromiter(map(len, items), int)
        if (lengths != length).any():
            index = (lengths != length).argmax()
            raise self._error(
                index, f"{found.format(lengths[index])}; expected {length}: {expected}"
            )

    def grid(self, question: str) -> Grid:
        try:
            return Grid.of_length(len(question))
        except ValueError as error:
            raise self._error(0, f"wrong length of the question: {error}") from None

    def tokens(self, grid: Grid, column: str, texts: tuple[str, ...]) -> np.ndarray:
        self.lengths(
            texts,
            grid.num_cells,
            f"the {column} has {{}} characters",
            "one for each cell, as on the first line of puzzles",
        )
        tokens = tokens_of_text(grid, "".join(texts)).reshape(-1, grid.num_cells)
        least = BLANK if column == "question" else BLANK + 1
        stray = (tokens < least) | (tokens >= grid.vocab_size)
        if stray.any():
            index, cell = np.argwhere(stray)[0]
            blanks = ", or '.' or '0' for a blank" if column == "question" else ""
            raise self._error(
                index,
                f"character {texts[index][cell]!r} in cell {cell + 1} of the {column}; "
                f"expected a digit 1..{grid.size}{blanks}",
            )
        return tokens

    def rules(self, grid: Grid, inputs: np.ndarray, labels: np.ndarray) -> None:
        contradicted = (inputs != BLANK) & (inputs != labels)
        if contradicted.any():
            index, cell = np.argwhere(contradicted)[0]
            raise self._error(
                index,
                f"the answer has {labels[index, cell] - BLANK} in cell {cell + 1}, where the "
                f"question has {inputs[index, cell] - BLANK}; expected the clue to be kept",
            )
        broken = grid.broken_units(labels)
        if broken.any():
            index, unit = np.argwhere(broken)[0]
            digits = decode(labels[index, grid.units[unit]])
            raise self._error(
                index,
                f"the answer has {digits} in {grid.unit_name(unit)}; "
                f"expected every digit 1..{grid.size} once",
            )

    def ratings(self, texts: tuple[str, ...]) -> np.ndarray:
        try:
            ratings = np.array(texts, np.float32)
        except ValueError:
            ratings = np.array([_number(text) for text in texts], np.float32)
        if not (finite := np.isfinite(ratings)).all():
            index = finite.argmin()
            raise self._error(index, f"the rating is {texts[index]!r}; expected a number")
        return ratings


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
