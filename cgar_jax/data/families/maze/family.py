"""The maze family: its rules as `Rules`, and its generator as a `PuzzleSource`."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from cgar_jax.data.families.maze import grid
from cgar_jax.data.families.maze.generation import check_settings, generate
from cgar_jax.data.puzzle_source import PuzzleSource
from cgar_jax.data.rules import Puzzle, Rules
from cgar_jax.data.symmetries import SquareSymmetries, transformed_cells


class MazeRules(Rules):
    """The rules of square mazes; any shortest path is a solution."""

    blank = grid.OPEN

    def vocab_size(self, num_cells: int) -> int:  # noqa: D102
        grid.size_of(num_cells)
        return grid.VOCAB_SIZE

    def parse_questions(self, texts: Sequence[str]) -> np.ndarray:  # noqa: D102
        return grid.tokens_of(texts, "question", grid.QUESTION_SYMBOLS)

    def parse_answers(self, texts: Sequence[str]) -> np.ndarray:  # noqa: D102
        return grid.tokens_of(texts, "answer", grid.ANSWER_SYMBOLS)

    def to_text(self, tokens: np.ndarray) -> str:  # noqa: D102
        return grid.decode(tokens)

    def question_faults(self, questions: np.ndarray) -> list[str]:  # noqa: D102
        return grid.question_faults(questions)

    def answer_faults(self, questions: np.ndarray, answers: np.ndarray) -> list[str]:  # noqa: D102
        return grid.answer_faults(questions, answers)

    def wrong_cells(self, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:  # noqa: D102
        return grid.wrong_cells(questions, answers)

    def num_solutions(self, question: np.ndarray) -> None:
        """Returns None: all shortest paths are equally good, so their number does not matter."""
        del question

    def split_class(self, pair: tuple[np.ndarray, np.ndarray]) -> bytes:
        """Returns a key that mazes share if rotating or mirroring makes their walls equal.

        Start and goal do not matter: a model that learned the way between two cells of a maze has
        learned much of the way between two others. The answer does not matter either.
        """
        walls = np.where(pair[0] == grid.WALL, grid.WALL, grid.OPEN).astype(np.uint8)
        cells = transformed_cells(grid.size_of(len(walls)))
        return min(transformed.tobytes() for transformed in walls[cells])

    def symmetries(self, num_cells: int) -> SquareSymmetries:  # noqa: D102
        return SquareSymmetries(grid.size_of(num_cells))


@dataclasses.dataclass(frozen=True)
class MazeSource(PuzzleSource):
    """The settings of a maze data set. The difficulty is the number of steps of a shortest path.

    Attributes:
      size: rows and columns of generated mazes, including walls.
      max_difficulty: largest number of steps of generated mazes.
      loops: share of the walls between rooms that are opened in generated mazes, so that several
        routes lead to the goal.
    """

    name = "maze"
    rules = MazeRules()

    size: int = 30
    max_difficulty: float = math.inf
    loops: float = 0.05

    @property
    def description(self) -> str:  # noqa: D102
        low, high = self._lengths
        return f"{self.size}x{self.size} mazes of {low:g} to {high:g} steps"

    def check_generator(self) -> None:  # noqa: D102
        check_settings(self.size, self._lengths, self.loops)

    def generate(self, indices: range) -> list[Puzzle]:  # noqa: D102
        return generate(self.size, indices, self.seed, self._lengths, self.loops)

    @property
    def _lengths(self) -> tuple[float, float]:
        return max(self.min_difficulty, 1), self.max_difficulty
