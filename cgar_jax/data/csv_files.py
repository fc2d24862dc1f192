"""Reads and writes CSV files of puzzles in the format of the public data sets.

The header is `source,question,answer,rating`. Question and answer have one character per cell, row
by row; the rating is the difficulty. Reading checks the format and the rules of the family, but not
that solutions are unique.
"""

import csv
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from cgar_jax.data.records import RecordError, log_skipped
from cgar_jax.data.rules import Rules
from cgar_jax.data.schema import Examples

COLUMNS = ("source", "question", "answer", "rating")
_ROWS_AT_ONCE = 1 << 12  # bounds the memory of Python strings


def read_csv(path: str | os.PathLike, rules: Rules, skip_bad: bool = False) -> Examples:
    """Reads the puzzles of one file, which must all have the size of the first.

    Args:
      path: path of the CSV file.
      rules: rules of the puzzle family.
      skip_bad: whether bad lines are skipped with a warning instead of raising an error.

    Returns:
      `inputs` and `labels`, tokens, uint8 `[num, num_cells]`; `difficulty`, float32 `[num]`;
      `source`, UTF-8 bytes `[num]`.

    Raises:
      FileNotFoundError: if the file does not exist.
      ValueError: if the file has no puzzles, or a line is malformed or breaks a rule of the family;
        the message names the file and the line.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no puzzle file {path}; expected a CSV file with the header {','.join(COLUMNS)}"
        )
    errors = [] if skip_bad else None
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        try:
            _check_header(path, next(rows, []))
            parts = list(_read_parts(path, rows, rules, errors))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path}, near line {rows.line_num + 1}: {error}; expected CSV in UTF-8"
            ) from error
    log_skipped(path, "lines", errors or ())
    if not parts:
        kind = "valid puzzles" if errors else "puzzles"
        raise ValueError(f"{path} has a header but no {kind}; expected one puzzle per line")
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def write_csv(
    path: str | os.PathLike, examples: Examples, to_text: Callable[[np.ndarray], str]
) -> None:
    """Writes puzzles to one CSV file, which `read_csv` reads back.

    Args:
      path: path of the file to write.
      examples: columns as from `read_csv`; `source` may be missing.
      to_text: function from the tokens of one grid to its text, such as `Rules.to_text`.
    """
    sources = examples.get("source", itertools.repeat(b""))
    columns = (examples["inputs"], examples["labels"], examples["difficulty"].tolist())
    with pathlib.Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for source, question, answer, rating in zip(sources, *columns, strict=False):
            rating = int(rating) if rating.is_integer() else rating
            writer.writerow([source.decode(), to_text(question), to_text(answer), rating])


def _check_header(path: pathlib.Path, header: list[str]) -> None:
    if tuple(header) != COLUMNS:
        found = f"the header is {','.join(header)!r}" if header else "there is no header"
        raise ValueError(f"{path}, line 1: {found}; expected {','.join(COLUMNS)!r}")


def _read_parts(
    path: pathlib.Path, rows: Iterator[list[str]], rules: Rules, errors: list[str] | None
) -> Iterator[Examples]:
    """Yields the examples of up to `_ROWS_AT_ONCE` lines at a time.

    The errors of bad lines are appended to `errors`; if it is None, the first one is raised.
    """
    num_cells = None
    numbered = enumerate(rows, start=2)
    while part := list(itertools.islice(numbered, _ROWS_AT_ONCE)):
        while part:
            try:
                examples = _parse(rules, num_cells, [row for _, row in part])
                break
            except RecordError as error:
                line, _ = part.pop(error.index)
                message = f"{path}, line {line}: {error}"
                if errors is None:
                    raise ValueError(message) from None
                errors.append(message)
        if part:
            num_cells = examples["inputs"].shape[1]
            yield examples


def _parse(rules: Rules, num_cells: int | None, rows: list[list[str]]) -> Examples:
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
            rules.vocab_size(num_cells)
        except ValueError as error:
            raise RecordError(0, f"wrong length of the question: {error}") from None
    inputs, labels = rules.parse_puzzles(num_cells, questions, answers)
    return {
        "inputs": inputs,
        "labels": labels,
        "difficulty": _parse_ratings(ratings),
        "source": np.array([source.encode() for source in sources]),
    }


def _parse_ratings(texts: tuple[str, ...]) -> np.ndarray:
    try:
        ratings = np.array(texts, np.float32)
    except ValueError:
        ratings = np.array([_parse_number(text) for text in texts], np.float32)
    if not (finite := np.isfinite(ratings)).all():
        index = finite.argmin()
        raise RecordError(index, f"the rating is {texts[index]!r}; expected a number")
    return ratings


def _parse_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
