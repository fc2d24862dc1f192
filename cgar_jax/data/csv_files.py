"""Reads and writes tables of puzzles with answers, usually CSV as in the public data sets.

The header is `source,question,answer,rating`. Question and answer have one character per cell, row
by row; the rating is the difficulty. Other tables that `puzzle_text` reads do as well. Reading
checks the format and the rules of the family, but not that solutions are unique.
"""

import csv
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cgar_jax.data.puzzle_text import read_records
from cgar_jax.data.records import Record, RecordError, parse_valid, report_bad
from cgar_jax.data.rules import Puzzle, Rules, columns_of
from cgar_jax.data.schema import Examples

COLUMNS = ("source", "question", "answer", "rating")
_ROWS_AT_ONCE = 1 << 12  # bounds the memory of Python strings
_MOST_ERRORS = 1_000  # a file with more is not read to its end


def read_csv(path: str | os.PathLike, rules: Rules, skip_bad: bool = False) -> Examples:
    """Reads the puzzles of one file, which must all have the size of the first.

    Args:
      path: path of a table with questions and answers: CSV, JSON Lines or Parquet, also compressed.
      rules: rules of the puzzle family.
      skip_bad: whether bad lines are skipped with a warning instead of raising an error.

    Returns:
      `inputs` and `labels`, tokens, uint8 `[num, num_cells]`; `difficulty`, float32 `[num]`, zeros
      without ratings; `source`, UTF-8 bytes `[num]`.

    Raises:
      FileNotFoundError, IsADirectoryError: if the file does not exist.
      ValueError: if the file has no puzzles, or lines are malformed or break a rule of the family;
        the message names the file and the lines.
    """
    path = pathlib.Path(path).expanduser()
    records, faults, parts, num_cells = read_records(path, rules, str(path)), [], [], None
    while chunk := list(itertools.islice(records, _ROWS_AT_ONCE)):
        faults += [record for record in chunk if record.fault]
        valid = [record for record in chunk if not record.fault]
        while valid and num_cells is None:
            # The first good puzzle determines the size.
            parts += parse_valid(functools.partial(_parse, rules, None), valid[:1], faults)
            num_cells = parts[0]["inputs"].shape[1] if parts else None
            del valid[0]
        parts += parse_valid(functools.partial(_parse, rules, num_cells), valid, faults)
        if len(faults) >= _MOST_ERRORS and not skip_bad:
            break
    errors = [f"{path}, line {record.line}: {record.fault}" for record in sorted(faults)]
    report_bad(path, "lines", errors, skip_bad)
    if not parts:
        kind = "valid puzzles" if errors else "puzzles"
        raise ValueError(f"{path} has a header but no {kind}; expected one puzzle per line")
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def write_csv(
    path: str | os.PathLike,
    examples: Examples | Sequence[Puzzle],
    to_text: Callable[[np.ndarray], str],
) -> None:
    """Writes puzzles to one CSV file, which `read_csv` reads back.

    Args:
      path: path of the file to write.
      examples: columns as from `read_csv`, of which `source` may be missing; or puzzles as from
        `PuzzleSource.generate`.
      to_text: function from the tokens of one grid to its text, such as `Rules.to_text`.
    """
    examples = examples if isinstance(examples, Mapping) else columns_of(examples)
    sources = examples.get("source", itertools.repeat(b""))
    columns = (examples["inputs"], examples["labels"], examples["difficulty"].tolist())
    with pathlib.Path(path).expanduser().open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for source, question, answer, rating in zip(sources, *columns, strict=False):
            rating = int(rating) if rating.is_integer() else rating
            writer.writerow([source.decode(), to_text(question), to_text(answer), rating])


def _parse(rules: Rules, num_cells: int | None, records: Sequence[Record]) -> Examples:
    _, questions, answers, ratings, sources, _ = zip(*records, strict=True)
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


def _parse_ratings(texts: Sequence[str]) -> np.ndarray:
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
