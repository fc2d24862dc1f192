"""Turns any text or table of puzzles into records with line numbers.

Tables are CSV with a header, JSON Lines and Parquet; they may have answers. Text has one puzzle per
line or puzzles drawn in rows, see `drawn_puzzles`. This module finds the cells and nothing more:
`Rules` know what they mean.
"""

import contextlib
import csv
import io
import itertools
import json
import operator
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from cgar_jax._core.extras import explain_missing
from cgar_jax.data.drawn_puzzles import read_drawn
from cgar_jax.data.records import Record
from cgar_jax.data.rules import Rules
from cgar_jax.data.text_files import PARQUET, begins_with, opened, read_lines

EXPECTED = "a file of puzzles"
# Names of the columns that fill the fields of a record, in this order of preference.
ALIASES = {
    "question": ("question", "puzzle", "quiz", "questions", "puzzles", "quizzes"),
    "answer": ("answer", "solution", "answers", "solutions"),
    "rating": ("rating", "difficulty"),
    "source": ("source", "name", "id"),
}
_DEFAULTS = {"answer": "", "rating": "0", "source": ""}
_ROWS_AT_ONCE = 1 << 12


class Columns(NamedTuple):
    """The columns of a table.

    Attributes:
      names: all column names, in order.
      indices: index of the column for each field of a record that the table has.
    """

    names: Sequence[str]
    indices: dict[str, int]

    @classmethod
    def of(cls, names: Sequence[str]) -> "Columns | None":
        """Returns the columns of a header; None if none of them holds questions."""
        plain = [name.strip().lower() for name in names]
        indices = {
            field: plain.index(alias)
            for field, aliases in ALIASES.items()
            for alias in reversed(aliases)
            if alias in plain
        }
        return cls(names, indices) if "question" in indices else None


def read_records(
    puzzles: str | os.PathLike | BinaryIO,
    rules: Rules,
    name: str,
    num_cells: int | None = None,
) -> Iterator[Record]:
    """Yields puzzles in the order of a text or file; malformed ones have a `fault`.

    Args:
      puzzles: a text, the path of a file, or an open file.
      rules: rules of the puzzle family.
      name: name of the text or file in error messages.
      num_cells: number of cells of every puzzle. If it is None, only tables with answers are read.

    Raises:
      FileNotFoundError, IsADirectoryError: if there is no such file.
      ValueError: if the file is damaged or is no text, or a table or its answers are missing.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(puzzles, str):
            lines = iter(io.StringIO(puzzles.removeprefix("\ufeff"), newline=""))
        else:
            if isinstance(puzzles, os.PathLike):
                puzzles = stack.enter_context(opened(puzzles, EXPECTED))
            if begins_with(puzzles, PARQUET):
                yield from _undrawn(_read_parquet(puzzles, name, num_cells is None), rules)
                return
            lines = read_lines(puzzles, name)
        skipped, first = _first_line(lines, rules)
        columns, delimiter = _header(first)
        if columns:
            _check_answers(columns, num_cells is None, f"{name}, line {skipped + 1}")
            rows = _csv_rows(lines, delimiter, skipped + 2, name)
            yield from _undrawn(_read_rows(columns, rows), rules)
        elif first.lstrip().startswith("{"):
            lines = itertools.chain([first], lines)
            yield from _undrawn(_read_json_lines(lines, skipped + 1, num_cells is None), rules)
        elif re.match(r"\s*\[\s*\{", first):
            raise ValueError(
                f"{name}, line {skipped + 1}: a JSON array of objects; expected one object per "
                "line, as `jq -c '.[]'` writes them"
            )
        elif num_cells is None:
            found = f"the header is {first.strip()[:200]!r}" if first else "there is no header"
            raise ValueError(f"{name}, line {skipped + 1}: {found}; expected {_expected()}")
        else:
            yield from read_drawn(itertools.chain([first], lines), skipped + 1, rules, num_cells)


def _expected() -> str:
    return "'source,question,answer,rating' or 'puzzle,solution'"


def _first_line(lines: Iterator[str], rules: Rules) -> tuple[int, str]:
    """Returns the number of lines before the first that has content, and this line, or ""."""
    for number, line in enumerate(lines):
        if rules.clean_line(line.rstrip("\r\n")):
            return number, line
    return 0, ""


def _header(line: str) -> tuple[Columns | None, str]:
    """Returns the columns that a line names, and the delimiter between them."""
    for delimiter in ",;\t|":
        with contextlib.suppress(csv.Error):
            columns = Columns.of(next(csv.reader([line], delimiter=delimiter), []))
            if columns:
                return columns, delimiter
    return None, ""


def _check_answers(columns: Columns, needs_answers: bool, where: str) -> None:
    if needs_answers and "answer" not in columns.indices:
        raise ValueError(
            f"{where}: the columns are {','.join(columns.names)!r}, without answers; "
            f"expected {_expected()}"
        )


def _csv_rows(
    lines: Iterator[str], delimiter: str, first: int, name: str
) -> Iterator[tuple[int, list[str]]]:
    """Yields the rows of CSV that are not blank, with the number of their first line."""
    reader, line = csv.reader(lines, delimiter=delimiter), first
    try:
        for row in reader:
            if row:
                yield line, row
            line = first + reader.line_num
    except csv.Error as error:
        raise ValueError(f"{name}, line {line}: {error}; is a quotation mark unclosed?") from error


def _read_rows(columns: Columns, rows: Iterable[tuple[int, list[str]]]) -> Iterator[Record]:
    width, indices = len(columns.names), columns.indices
    # Missing columns are taken from values that are appended to every row.
    missing = {field: text for field, text in _DEFAULTS.items() if field not in indices}
    defaults = list(missing.values())
    places = indices | {field: width + place for place, field in enumerate(missing)}
    pick = operator.itemgetter(*(places[field] for field in ALIASES))
    for line, row in rows:
        if len(row) == width:
            yield Record(line, *pick(row + defaults if defaults else row))
        elif not row[0].startswith("#"):  # a comment
            fields = f"{len(row)} field{'s' if len(row) > 1 else ''}"
            expected = f"expected {width}: {','.join(columns.names)}"
            yield Record(line, "", fault=f"the line has {fields}; {expected}")


def _undrawn(records: Iterable[Record], rules: Rules) -> Iterator[Record]:
    """Removes the decoration of puzzles that a table holds as drawings or as lists."""
    has_spaces = bool(rules.clean_line(" "))  # as cells
    is_drawn = re.compile(r"[\r\n]" if has_spaces else r"[\s|\[(]").search

    def plain(text: str) -> str:
        text = text if has_spaces else re.sub(r"""[\[\](),'"]""", "", text)
        return "".join(map(rules.clean_line, text.splitlines()))

    usual = 0  # the length of questions without decoration, for which nothing is searched
    for record in records:
        _, question, answer, *_ = record
        if len(question) != usual or len(answer) not in (0, usual):
            if is_drawn(question) or is_drawn(answer):
                record = record._replace(question=plain(question), answer=plain(answer))
            else:
                usual = len(question)
        yield record


def _read_json_lines(lines: Iterable[str], first: int, needs_answers: bool) -> Iterator[Record]:
    for line, text in enumerate(lines, first):
        if not text.strip():
            continue
        try:
            content = json.loads(text)
            columns = Columns.of(list(content))
            if columns is None:
                raise ValueError("the object has no question")
            if needs_answers and "answer" not in columns.indices:
                raise ValueError("the object has no answer")
            yield from _read_rows(columns, [(line, [_as_text(v) for v in content.values()])])
        except (ValueError, TypeError, RecursionError, AttributeError) as error:
            reason = (
                f"{error}; expected one JSON object per line, with the keys 'question' and 'answer'"
            )
            yield Record(line, "", fault=reason)


def _read_parquet(file: BinaryIO, name: str, needs_answers: bool) -> Iterator[Record]:
    """Reads a Parquet file; its rows count as lines from 1."""
    with explain_missing():
        import pyarrow  # optional, and slow to import
        import pyarrow.parquet
    try:
        table = pyarrow.parquet.ParquetFile(file if file.seekable() else io.BytesIO(file.read()))
        names = table.schema_arrow.names
        columns = Columns.of(names)
        if columns is None:
            raise ValueError(f"{name}: the columns are {','.join(names)!r}; expected {_expected()}")
        _check_answers(columns, needs_answers, name)
        kept = [names[index] for index in columns.indices.values()]
        columns = Columns(kept, {field: index for index, field in enumerate(columns.indices)})
        first = 1
        for batch in table.iter_batches(_ROWS_AT_ONCE, columns=kept):
            values = [map(_as_text, batch.column(each).to_pylist()) for each in kept]
            rows = map(list, zip(*values, strict=True))
            yield from _read_rows(columns, enumerate(rows, first))
            first += len(batch)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{name} is a damaged Parquet file ({error})") from error


def _as_text(value: Any) -> str:
    """Returns the cells of a value, which may be a list of rows, as text."""
    texts, waiting = [], [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += reversed(value)
        else:
            texts.append("." if value is None else str(value))
    return "".join(texts)
