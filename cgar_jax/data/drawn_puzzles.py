"""Reads puzzles from text without columns: one per line, drawn in rows, or written as lists.

Rows of one grid may be divided by rulers and blank lines. Headings such as `Grid 01` and the
sections of SadMan Sudoku files divide puzzles. A line with a puzzle may have a rating, a name or
the answer beside it. A malformed row never shifts the rows of the puzzles after it.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from cgar_jax.data.records import Record, RecordError
from cgar_jax.data.rules import Rules

_HEADING = re.compile(
    r"\W*(grid|puzzle|sudoku|board|game|problem|level|maze|no|nr)\b\W*\w{0,6}\W*", re.IGNORECASE
)
_SECTION = re.compile(r"\s*\[([A-Za-z]\w*)\]\s*")
_LIST = re.compile(r"""\s*([A-Za-z_][\w.]*\s*[=:(]\s*)*\[\s*($|[\[("'\d.\-]|None\b|null\b)""")
_TOKEN = re.compile(r"""[\[(]|[\])]|"[^"]*"|'[^']*'|[^\s,\[\]()"']+""")
_WORD = re.compile(r"[A-WY-Za-wy-z]{3}")  # x stands for a blank
_MAX_DEPTH = 6
_SEPARATORS = (",", ";", "\t")


class _Item(NamedTuple):
    """A part of the text.

    Attributes:
      kind: "puzzle", "row", "gap" (a blank line) or "break" (a heading).
      record: the puzzle or row.
    """

    kind: str
    record: Record = Record(0, "")


_GAP, _BREAK = _Item("gap"), _Item("break")


def read_drawn(lines: Iterable[str], first: int, rules: Rules, num_cells: int) -> Iterator[Record]:
    """Yields the puzzles of a text; malformed ones have a `fault`.

    Args:
      lines: lines of the text.
      first: number of the first line.
      rules: rules of the puzzle family.
      num_cells: number of cells of every puzzle.
    """
    num_rows, _ = rules.grid_shape(num_cells)
    yield from _assemble(_Reader(rules, num_cells).items(enumerate(lines, first)), num_rows)


class _Reader:
    """Divides a text into puzzles, rows and what lies between them."""

    def __init__(self, rules: Rules, num_cells: int):
        self._rules, self._num_cells = rules, num_cells
        self._num_rows, self._width = rules.grid_shape(num_cells)
        self._blank = rules.to_text(np.array([rules.blank]))

    def items(self, lines: Iterable[tuple[int, str]]) -> Iterator[_Item]:
        """Yields the parts of numbered lines."""
        lines, is_read = iter(lines), True
        for number, line in lines:
            line = line.rstrip("\r\n")
            if section := _SECTION.fullmatch(line):
                is_read = section[1].lower() == "puzzle"  # others hold states of half the way
                yield _BREAK
            elif not is_read:
                continue
            elif _LIST.match(line):
                yield _BREAK
                yield from self._read_list(number, line, lines)
                yield _BREAK
            elif _HEADING.fullmatch(line):
                yield _BREAK
            elif not line.strip() and len(line) != self._width:
                yield _GAP
            else:
                yield from self._read_line(number, line)

    def _read_line(self, number: int, line: str) -> Iterator[_Item]:
        cells = self._rules.clean_line(line)
        if not cells:
            return  # a ruler or a comment
        if len(cells) not in (self._width, self._num_cells):
            cells = self._separated_cells(line) or cells
        if len(cells) not in (self._width, self._num_cells) and (
            record := self._fields(number, line)
        ):
            yield _Item("puzzle", record)
        else:
            yield from self._cells(number, cells, line)

    def _cells(self, number: int, cells: str, shown: str) -> Iterator[_Item]:
        """Yields the item for the cells of one line, which may be too few or too many."""
        if len(cells) == self._num_cells:
            yield _Item("puzzle", Record(number, cells))
        elif len(cells) == self._width:
            yield _Item("row", Record(number, cells))
        else:
            fault = wrong_length(len(cells), self._rules, self._num_cells)
            if _WORD.search(cells):
                fault = f"the line {shown.strip()[:40]!r} is not a puzzle: {fault}"
            record = Record(number, cells, fault=fault)
            if abs(len(cells) - self._width) <= 2:
                yield _Item("row", record)
            else:
                yield from (_BREAK, _Item("puzzle", record))

    def _separated_cells(self, line: str) -> str:
        """Returns the cells of a line such as `5,3,,,7,,,,`; "" if it is none."""
        for separator in _SEPARATORS:
            parts = [part.strip().strip("\"'") for part in line.split(separator)]
            if len(parts) in (self._width, self._num_cells) and max(map(len, parts)) <= 1:
                return "".join(part or self._blank for part in parts)
        return ""

    def _fields(self, number: int, line: str) -> Record | None:
        """Returns the puzzle of a line with more fields, such as a rating; None if it has none."""
        separators = "".join(_SEPARATORS)
        if not self._rules.clean_line(" "):  # spaces are no cells
            separators += " "
        fields = [field.strip() for field in re.split(f"[{separators}]+", line)]
        cells = [self._rules.clean_line(field.strip("\"'")) for field in fields]
        found = [index for index, each in enumerate(cells) if len(each) == self._num_cells]
        if not found:
            return None
        others = [field for index, field in enumerate(fields) if index not in found and field]
        answer = cells[found[1]] if len(found) > 1 else ""
        try:
            self._rules.parse_answers([answer] if answer else [])
        except (RecordError, IndexError):
            fault = "two puzzles on one line; expected one" if answer else ""
        else:
            fault = ""
        return Record(number, cells[found[0]], answer, "0", " ".join(others), fault)

    def _read_list(
        self, first: int, line: str, lines: Iterator[tuple[int, str]]
    ) -> Iterator[_Item]:
        """Yields the rows of a list literal, which ends with its last bracket."""
        depth, cells, begin, has_lists, fault = 0, "", first, False, ""
        number = first
        while True:
            for token in _TOKEN.findall(line):
                if token in "[(":
                    depth += 1
                    has_lists = False
                    if depth > _MAX_DEPTH and not fault:
                        fault = f"lists are nested more than {_MAX_DEPTH} deep; expected rows"
                elif token in "])":
                    depth -= 1
                    if cells and not fault:
                        yield from self._cells(begin, cells, cells)
                    cells = ""
                    if has_lists:
                        yield _BREAK
                    has_lists = True
                elif depth and "=" not in token and not fault:  # not dtype=...
                    text = self._cell(token)
                    if len(text) > 1:
                        yield from self._cells(number, self._rules.clean_line(text), text)
                    else:
                        begin = begin if cells else number
                        cells += text
            if depth <= 0:
                break
            try:
                number, line = next(lines)
            except StopIteration:
                fault = fault or "the list that begins here has no end"
                break
        if fault:
            yield from (_BREAK, _Item("puzzle", Record(first, "", fault=fault)))

    def _cell(self, token: str) -> str:
        """Returns the text of one value in a list."""
        if token[0] in "\"'":
            return token[1:-1] or self._blank
        if token in ("None", "null"):
            return self._blank
        return re.sub(r"(?<=\d)\.0*$", "", token)  # 5.0 is 5


def wrong_length(found: int, rules: Rules, num_cells: int) -> str:
    """Returns the fault of a puzzle or line with `found` cells."""
    num_rows, width = rules.grid_shape(num_cells)
    return (
        f"{found} cells; expected {num_cells}, or {width} in each of {num_rows} rows, because the "
        f"model was trained on {num_rows}x{width}"
    )


def _assemble(items: Iterable[_Item], num_rows: int) -> Iterator[Record]:
    """Yields the puzzles on one line each, and those that their rows make up."""
    block: list[Record] = []  # rows without a gap between them
    bands: list[list[Record]] = []  # blocks of equal size that begin a grid
    for kind, record in (*items, _BREAK):
        if kind == "row":
            block.append(record)
            continue
        if block:
            if bands and len(block) != len(bands[0]):
                yield from _incomplete(bands, num_rows)
                bands = []
            if len(block) % num_rows == 0:
                for start in range(0, len(block), num_rows):
                    yield from _grid(block[start : start + num_rows])
            else:
                bands.append(block)
                if len(block) * len(bands) == num_rows:
                    yield from _grid([row for band in bands for row in band])
                    bands = []
                elif num_rows % len(block):
                    yield from _incomplete(bands, num_rows)
                    bands = []
            block = []
        if kind != "gap" and bands:
            yield from _incomplete(bands, num_rows)
            bands = []
        if kind == "puzzle":
            yield record


def _grid(rows: list[Record]) -> Iterator[Record]:
    faulty = [row for row in rows if row.fault]
    yield from faulty or [Record(rows[0].line, "".join(row.question for row in rows))]


def _incomplete(bands: list[list[Record]], num_rows: int) -> Iterator[Record]:
    rows = [row for band in bands for row in band]
    of = "of" if len(rows) < num_rows else "rows; expected"
    fault = f"the grid that begins here has {len(rows)} {of} {num_rows}"
    fault += " rows" if len(rows) < num_rows else ""
    faulty = [row for row in rows if row.fault]
    yield from faulty or [Record(rows[0].line, "", fault=fault)]
