"""The Sudoku family: its rules as `Rules`, and its generator as a `PuzzleSource`."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from cgar_jax._core.relations import Relation
from cgar_jax.data.families.sudoku import grid as grids
from cgar_jax.data.families.sudoku.generation import clue_range, generate
from cgar_jax.data.families.sudoku.grid import BLANK, Grid
from cgar_jax.data.families.sudoku.solver import solve
from cgar_jax.data.families.sudoku.symmetry import canonical_form, solution_signatures
from cgar_jax.data.puzzle_source import PuzzleSource
from cgar_jax.data.records import check_characters
from cgar_jax.data.rules import Puzzle, Rules
from cgar_jax.data.symmetries import LineSymmetries


class SudokuRules(Rules):
    """The rules of Sudoku; the number of cells determines the grid."""

    blank = BLANK

    def vocab_size(self, num_cells: int) -> int:  # noqa: D102
        return Grid.of_length(num_cells).vocab_size

    def parse_questions(self, texts: Sequence[str]) -> np.ndarray:  # noqa: D102
        return _parse("question", texts, BLANK, ", or '.' or '0' for a blank")

    def parse_answers(self, texts: Sequence[str]) -> np.ndarray:  # noqa: D102
        return _parse("answer", texts, BLANK + 1)

    def to_text(self, tokens: np.ndarray) -> str:  # noqa: D102
        return grids.decode(tokens)

    def draw(self, tokens: np.ndarray) -> str:  # noqa: D102
        return grids.draw(tokens)

    def clean_line(self, line: str) -> str:  # noqa: D102
        return grids.clean_line(line)

    def question_faults(self, questions: np.ndarray) -> list[str]:  # noqa: D102
        return grids.question_faults(questions)

    def answer_faults(self, questions: np.ndarray, answers: np.ndarray) -> list[str]:  # noqa: D102
        return grids.answer_faults(questions, answers)

    def accepts(self, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:  # noqa: D102
        keeps_clues = ((questions == BLANK) | (questions == answers)).all(axis=1)
        broken = Grid.of_length(questions.shape[1]).broken_units(answers.astype(np.uint8))
        return keeps_clues & ~broken.any(axis=1)

    def wrong_cells(self, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:  # noqa: D102
        changed = (questions != BLANK) & (questions != answers)
        return changed | (answers <= BLANK) | Grid.of_length(answers.shape[1]).repeated(answers)

    def num_solutions(self, question: np.ndarray) -> int:  # noqa: D102
        return len(solve(Grid.of_length(len(question)), question).solutions)

    def relations(self, num_cells: int) -> tuple[Relation, ...]:
        """Returns the rows and columns as one relation, and the boxes as another."""
        units = Grid.of_length(num_cells).units.tolist()
        lines = tuple(map(tuple, units[: -len(units) // 3]))
        return Relation("line", lines), Relation("box", tuple(map(tuple, units[len(lines) :])))

    def split_class(self, pair: tuple[np.ndarray, np.ndarray]) -> bytes:
        """Returns the equivalence class of the solution grid, or of the puzzle if it is small.

        There are 5.5 billion essentially different solutions of 9x9, but only 49 of 6x6 and 2 of
        4x4. For 6x6 and 4x4 the key is therefore the class of the whole puzzle: scores on these
        sizes show how a model does on new puzzles, not on new solutions. A 16x16 grid has too many
        symmetries to try them all; its signature takes the place of the class, which keeps more
        grids apart than necessary, but only in theory.
        """
        if len(pair[1]) == 256:
            return solution_signatures(pair[1][None])[0]
        question, answer = canonical_form(*pair)
        return (question if len(answer) < 81 else answer).tobytes()

    def split_signatures(  # noqa: D102
        self, questions: np.ndarray, answers: np.ndarray
    ) -> list[bytes]:
        del questions
        return solution_signatures(answers)

    def symmetries(self, num_cells: int) -> LineSymmetries:  # noqa: D102
        grid = Grid.of_length(num_cells)
        is_square = grid.box_rows == grid.box_columns
        return LineSymmetries(grid.size, grid.box_rows, grid.box_columns, is_square, BLANK + 1)


@dataclasses.dataclass(frozen=True)
class SudokuSource(PuzzleSource):
    """The settings of a Sudoku data set. The difficulty is the exact solver's number of guesses.

    Attributes:
      size: 4, 6, 9, 12 or 16 for generated puzzles.
      num_clues: number of clues of generated puzzles, a range `(low, high)`, or 0 for as few as
        each puzzle allows.
    """

    name = "sudoku"
    rules = SudokuRules()

    size: int = 9
    num_clues: int | tuple[int, int] = 30

    def __post_init__(self):
        if np.ndim(self.num_clues):
            object.__setattr__(self, "num_clues", tuple(self.num_clues))
        super().__post_init__()

    @property
    def description(self) -> str:  # noqa: D102
        return f"{self.size}x{self.size} Sudokus with num_clues={self.num_clues}"

    def check_generator(self) -> None:  # noqa: D102
        clue_range(Grid.of_size(self.size), self.num_clues)

    def generate(self, indices: range) -> list[Puzzle]:  # noqa: D102
        grid = Grid.of_size(self.size)
        return generate(grid, indices, self.seed, self.num_clues, self.min_difficulty)


def _parse(column: str, texts: Sequence[str], first_token: int, others: str = "") -> np.ndarray:
    grid = Grid.of_length(len(texts[0]))
    tokens = grids.tokens_of_text("".join(texts)).reshape(-1, grid.num_cells)
    stray = (tokens < first_token) | (tokens >= grid.vocab_size)
    check_characters(column, texts, stray, f"a digit {grid.digits}{others}")
    return tokens
