"""Reads questions without answers, as people type, paste and store them, and checks them.

The formats are those of `puzzle_text`; answers in a file are left out. Files of puzzles with
answers, for training and evaluation, are read by `csv_files`.
"""

import os
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

import numpy as np

from cgar_jax.data.drawn_puzzles import wrong_length
from cgar_jax.data.parallel import parallel_map
from cgar_jax.data.puzzle_text import read_records
from cgar_jax.data.records import Record, RecordError, parse_valid, report_bad
from cgar_jax.data.rules import Rules

SEVERAL = "the puzzle has several solutions; any of them counts"


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


def read_questions(
    puzzles: str | os.PathLike | BinaryIO,
    rules: Rules,
    num_cells: int,
    where: str = "the input",
    skip_bad: bool = False,
) -> Questions:
    """Reads puzzles and checks that each has a solution.

    Args:
      puzzles: a text, the path of a file, or an open file, in a format of `puzzle_text`.
      rules: rules of the puzzle family.
      num_cells: number of cells that each puzzle must have.
      where: name of the text in error messages.
      skip_bad: whether bad puzzles are skipped with a warning instead of raising an error.

    Raises:
      ValueError: if there is no puzzle, or some are malformed, have the wrong size, contradict
        themselves or have no solution; the message names their lines.
      FileNotFoundError, IsADirectoryError: if the file does not exist.
    """

    def parse(some: Sequence[Record]) -> tuple[Sequence[Record], np.ndarray]:
        for index, record in enumerate(some):
            if len(record.question) != num_cells:
                fault = wrong_length(len(record.question), rules, num_cells)
                raise RecordError(index, fault)
        return some, rules.parse_questions([record.question for record in some])

    records = list(read_records(puzzles, rules, where, num_cells))
    bad = [record for record in records if record.fault]
    parts = parse_valid(parse, [record for record in records if not record.fault], bad)
    good = [record for some, _ in parts for record in some]
    tokens = np.concatenate([*(part for _, part in parts), np.zeros((0, num_cells), np.uint8)])
    faults, remarks = _judge(tokens, rules)
    bad += [record._replace(fault=f) for record, f in zip(good, faults, strict=True) if f]
    errors = [f"{where}, line {record.line}: {record.fault}" for record in sorted(bad)]
    report_bad(where, "puzzles", errors, skip_bad)
    kept = [index for index, fault in enumerate(faults) if not fault]
    if not kept:
        raise ValueError(f"{where} has no {'valid ' if bad else ''}puzzle")
    lines = [good[index].line for index in kept]
    return Questions(tokens[kept], [where] * len(kept), lines, [remarks[index] for index in kept])


def check_questions(tokens: np.ndarray, rules: Rules) -> list[str]:
    """Checks that puzzles have solutions.

    Args:
      tokens: questions, uint8 `[num, num_cells]`.
      rules: rules of the puzzle family.

    Returns:
      A remark for each puzzle that has several solutions, else `""`.

    Raises:
      ValueError: if puzzles contradict themselves or have no solution; the message numbers them.
    """
    faults, remarks = _judge(tokens, rules)
    errors = [f"puzzle {number}: {fault}" for number, fault in enumerate(faults, 1) if fault]
    report_bad("the array", "puzzles", errors, skip_bad=False)
    return remarks


def _judge(tokens: np.ndarray, rules: Rules) -> tuple[list[str], list[str]]:
    """Returns, for each puzzle, the reason why it has no solution, and a remark about it."""
    faults = [fault and f"the puzzle {fault}" for fault in rules.question_faults(tokens)]
    consistent = [index for index, fault in enumerate(faults) if not fault]
    remarks = [""] * len(tokens)
    counts = parallel_map(rules.num_solutions, [tokens[index] for index in consistent])
    for index, count in zip(consistent, counts, strict=True):
        if count == 0:
            faults[index] = "the puzzle has no solution"
        elif count is not None and count > 1:
            remarks[index] = SEVERAL
    return faults, remarks
