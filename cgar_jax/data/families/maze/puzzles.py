"""Mazes as a family of puzzles: how they are made, read from text, and compared."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from cgar_jax.data.dihedral import cell_orders
from cgar_jax.data.families.maze.generation import check_settings, generate
from cgar_jax.data.families.maze.grid import (
    OPEN,
    VOCAB_SIZE,
    WALL,
    answer_faults,
    decode,
    parse,
    parse_questions,
    question_faults,
    size_of,
    wrong_cells,
)
from cgar_jax.data.puzzles import Puzzle, Puzzles


def split_class(puzzle: tuple[np.ndarray, np.ndarray]) -> bytes:
    """Returns a key that mazes share whose walls are the same up to rotation and reflection.

    Start and goal do not matter: who has learnt the way through one has learnt much of the other.

    Args:
      puzzle: question and answer, ``uint8 [num_cells]`` each; the answer is not looked at.
    """
    walls = np.where(puzzle[0] == WALL, WALL, OPEN).astype(np.uint8)
    return min(cells.tobytes() for cells in walls[cell_orders(size_of(len(walls)))])


@dataclasses.dataclass(frozen=True)
class Mazes(Puzzles):
    """Which mazes to take. Their difficulty is the number of steps of a shortest path.

    Attributes:
      size: number of rows and of columns, walls included; for generated mazes only.
      max_difficulty: the greatest number of steps; for generated mazes only.
      loops: share of the walls between rooms that are opened, so that several ways lead to the
        goal; for generated mazes only.
    """

    size: int = 30
    max_difficulty: float = math.inf
    loops: float = 0.05

    split_class = staticmethod(split_class)

    @property
    def kind(self) -> str:  # noqa: D102
        low, high = self._lengths
        return f"{self.size}x{self.size} mazes of {low:g} to {high:g} steps"

    def check_generator(self) -> None:  # noqa: D102
        check_settings(self.size, self._lengths, self.loops)

    def generate(self, num_puzzles: int, start: int) -> list[Puzzle]:  # noqa: D102
        return generate(self.size, num_puzzles, self.seed, self._lengths, self.loops, start=start)

    @staticmethod
    def vocab_size(num_cells: int) -> int:  # noqa: D102
        size_of(num_cells)
        return VOCAB_SIZE

    @staticmethod
    def parse(  # noqa: D102
        num_cells: int, questions: Sequence[str], answers: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        return parse(num_cells, questions, answers)

    parse_questions = staticmethod(parse_questions)
    question_faults = staticmethod(question_faults)
    text = staticmethod(decode)
    answer_faults = staticmethod(answer_faults)
    wrong_cells = staticmethod(wrong_cells)

    @staticmethod
    def num_solutions(question: np.ndarray) -> None:  # noqa: D102
        # Every shortest path is as good, and a maze without faults has one.
        del question

    @staticmethod
    def draw(tokens: np.ndarray) -> str:  # noqa: D102
        return decode(tokens, line_breaks=True)

    @staticmethod
    def accepts(questions: np.ndarray, answers: np.ndarray) -> np.ndarray:  # noqa: D102
        return np.array([not fault for fault in answer_faults(questions, answers)])

    @staticmethod
    def augmentation() -> Callable:  # noqa: D102
        # Imported here because the processes that generate puzzles load this file, and need no JAX.
        from cgar_jax.data.families.maze.augmentation import augment

        return augment

    @property
    def _lengths(self) -> tuple[float, float]:
        return max(self.min_difficulty, 1), self.max_difficulty
