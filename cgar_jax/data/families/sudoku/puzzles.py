"""Sudoku as a family of puzzles: how it is made, read from text, and compared."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from cgar_jax.data.families.sudoku.generation import clue_range, generate
from cgar_jax.data.families.sudoku.grid import (
    BLANK,
    Grid,
    clean_line,
    decode,
    pretty,
    question_faults,
    tokens_of_text,
)
from cgar_jax.data.families.sudoku.solver import solve
from cgar_jax.data.families.sudoku.symmetry import solution_signatures, split_class
from cgar_jax.data.puzzles import Puzzle, Puzzles
from cgar_jax.data.records import RecordError, equally_long, no_strays


@dataclasses.dataclass(frozen=True)
class Sudokus(Puzzles):
    """Which Sudokus to take.

    Attributes:
      size: 4, 6 or 9; for generated puzzles only.
      num_clues: number of clues, a range of it ``(low, high)``, or 0 for as few as each puzzle
        allows; for generated puzzles only.
    """

    size: int = 9
    num_clues: int | tuple[int, int] = 0

    split_class = staticmethod(split_class)

    def __post_init__(self):
        if np.ndim(self.num_clues):
            object.__setattr__(self, "num_clues", tuple(self.num_clues))
        super().__post_init__()

    @property
    def kind(self) -> str:  # noqa: D102
        return f"{self.size}x{self.size} Sudokus with num_clues={self.num_clues}"

    def check_generator(self) -> None:  # noqa: D102
        clue_range(Grid.of_size(self.size), self.num_clues)

    def generate(self, num_puzzles: int, start: int) -> list[Puzzle]:  # noqa: D102
        grid = Grid.of_size(self.size)
        return generate(
            grid, num_puzzles, self.seed, self.num_clues, self.min_difficulty, start=start
        )

    @staticmethod
    def vocab_size(num_cells: int) -> int:  # noqa: D102
        return Grid.of_length(num_cells).vocab_size

    @staticmethod
    def parse(  # noqa: D102
        num_cells: int, questions: Sequence[str], answers: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        grid = Grid.of_length(num_cells)
        inputs = _tokens(grid, "question", questions)
        labels = _tokens(grid, "answer", answers)
        _check_rules(grid, inputs, labels)
        return inputs, labels

    clean_line = staticmethod(clean_line)
    question_faults = staticmethod(question_faults)
    text = staticmethod(decode)
    draw = staticmethod(pretty)

    @staticmethod
    def parse_questions(texts: Sequence[str]) -> np.ndarray:  # noqa: D102
        return _tokens(Grid.of_length(len(texts[0])), "question", texts)

    @staticmethod
    def num_solutions(question: np.ndarray) -> int:  # noqa: D102
        return len(solve(Grid.of_length(len(question)), question).solutions)

    @staticmethod
    def split_signatures(  # noqa: D102
        questions: np.ndarray, answers: np.ndarray
    ) -> list[bytes]:
        del questions
        return solution_signatures(answers)

    @staticmethod
    def answer_faults(questions: np.ndarray, answers: np.ndarray) -> list[str]:  # noqa: D102
        grid = Grid.of_length(questions.shape[1])
        changed = (questions != BLANK) & (questions != answers)
        broken = grid.broken_units(answers.astype(np.uint8))
        faults = [""] * len(questions)
        for index in np.flatnonzero(broken.any(axis=1)):
            unit = grid.unit_name(broken[index].argmax())
            faults[index] = f"does not have every digit 1..{grid.size} once in {unit}"
        for index in np.flatnonzero(changed.any(axis=1)):
            faults[index] = f"changes the clue in cell {changed[index].argmax() + 1}"
        return faults

    @staticmethod
    def accepts(questions: np.ndarray, answers: np.ndarray) -> np.ndarray:  # noqa: D102
        keeps_clues = ((questions == BLANK) | (questions == answers)).all(axis=1)
        broken = Grid.of_length(questions.shape[1]).broken_units(answers.astype(np.uint8))
        return keeps_clues & ~broken.any(axis=1)

    @staticmethod
    def wrong_cells(questions: np.ndarray, answers: np.ndarray) -> np.ndarray:  # noqa: D102
        changed = (questions != BLANK) & (questions != answers)
        return changed | (answers <= BLANK) | Grid.of_length(answers.shape[1]).repeated(answers)

    @staticmethod
    def augmentation() -> Callable:  # noqa: D102
        # Imported here because the processes that generate puzzles load this file, and need no JAX.
        from cgar_jax.data.families.sudoku.augmentation import augment

        return augment


def _tokens(grid: Grid, column: str, texts: Sequence[str]) -> np.ndarray:
    equally_long(column, texts, grid.num_cells)
    tokens = tokens_of_text(grid, "".join(texts)).reshape(-1, grid.num_cells)
    least = BLANK if column == "question" else BLANK + 1
    stray = (tokens < least) | (tokens >= grid.vocab_size)
    blanks = ", or '.' or '0' for a blank" if column == "question" else ""
    no_strays(column, texts, stray, f"a digit 1..{grid.size}{blanks}")
    return tokens


def _check_rules(grid: Grid, inputs: np.ndarray, labels: np.ndarray) -> None:
    contradicted = (inputs != BLANK) & (inputs != labels)
    if contradicted.any():
        index, cell = np.argwhere(contradicted)[0]
        raise RecordError(
            index,
            f"the answer has {labels[index, cell] - BLANK} in cell {cell + 1}, where the "
            f"question has {inputs[index, cell] - BLANK}; expected the clue to be kept",
        )
    broken = grid.broken_units(labels)
    if broken.any():
        index, unit = np.argwhere(broken)[0]
        digits = decode(labels[index, grid.units[unit]])
        raise RecordError(
            index,
            f"the answer has {digits} in {grid.unit_name(unit)}; "
            f"expected every digit 1..{grid.size} once",
        )
