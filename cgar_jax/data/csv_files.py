"""CSV files of puzzles in the schema of the public data, read, checked, written.

The header is ``source,question,answer,rating``. Question and answer have one character for each
cell, row by row; the rating says how hard the puzzle is. Reading checks format and rules of the
family, not that solutions are unique.
"""

import csv
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from cgar_jax.data.dataset import Examples
from cgar_jax.data.puzzles import Puzzles
from cgar_jax.data.records import RecordError, tell_left_out

COLUMNS = ("source", "question", "answer", "rating")
_ROWS_AT_ONCE = 1 << 12  # bounds the memory that Python strings take


def read_csv(path: str | os.PathLike, family: type[Puzzles], skip_bad: bool = False) -> Examples:
    """Reads the puzzles of one file, all of one size, which their length tells.

    Args:
      path: the file.
      family: which puzzles they are.
      skip_bad: whether bad lines are left out, counted and listed in the log, and not errors.

    Returns:
      ``inputs`` and ``labels``, tokens, ``uint8 [num, num_cells]``; ``difficulty``,
      ``float32 [num]``; ``source``, UTF-8 bytes ``[num]``.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if the file has no puzzles, or a line is malformed or breaks a rule of the
        family; the message names the file and the line.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no puzzle file {path}; expected a CSV file with the header {','.join(COLUMNS)}"
        )
    bad = [] if skip_bad else None
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        try:
            _check_header(path, next(rows, []))
            parts = list(_read_parts(path, rows, family, bad))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path}, near line {rows.line_num + 1}: {error}; expected CSV in UTF-8"
            ) from error
    tell_left_out(path, "lines", bad or ())
    if not parts:
        what = "good puzzles" if bad else "puzzles"
        raise ValueError(f"{path} has a header but no {what}; expected one on every further line")
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def write_csv(
    path: str | os.PathLike, examples: Examples, decode: Callable[[np.ndarray], str]
) -> None:
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


def _read_parts(
    path: pathlib.Path, rows: Iterator[list[str]], family: type[Puzzles], bad: list[str] | None
) -> Iterator[Examples]:
    """Yields the examples of up to ``_ROWS_AT_ONCE`` lines at a time; ``bad`` gets the bad."""
    num_cells = None
    numbered = enumerate(rows, start=2)
    while part := list(itertools.islice(numbered, _ROWS_AT_ONCE)):
        while part:
            try:
                examples = _parse(family, num_cells, [row for _, row in part])
                break
            except RecordError as error:
                line, _ = part.pop(error.index)
                message = f"{path}, line {line}: {error}"
                if bad is None:
                    raise ValueError(message) from None
                bad.append(message)
        if part:
            num_cells = examples["inputs"].shape[1]
            yield examples


def _parse(family: type[Puzzles], num_cells: int | None, rows: list[list[str]]) -> Examples:
    for index, row in enumerate(rows):
        if len(row) != len(COLUMNS):
            fields = ",".join(COLUMNS)
            raise RecordError(
                index, f"the line has {len(row)} fields; expected {len(COLUMNS)}: {fields}"
            )
    sources, questions, answers, ratings = zip(*rows, strict=True)
    if num_cells is None:
        num_cells = len(questions[0])
        try:
            family.vocab_size(num_cells)
        except ValueError as error:
            raise RecordError(0, f"wrong length of the question: {error}") from None
    inputs, labels = family.parse(num_cells, questions, answers)
    return {
        "inputs": inputs,
        "labels": labels,
        "difficulty": _ratings(ratings),
        "source": np.array([source.encode() for source in sources]),
    }


def _ratings(texts: tuple[str, ...]) -> np.ndarray:
    try:
        ratings = np.array(texts, np.float32)
    except ValueError:
        ratings = np.array([_number(text) for text in texts], np.float32)
    if not (finite := np.isfinite(ratings)).all():
        index = finite.argmin()
        raise RecordError(index, f"the rating is {texts[index]!r}; expected a number")
    return ratings


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
