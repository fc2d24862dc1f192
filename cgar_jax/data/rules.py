"""The interface of a puzzle family's rules, which `Rules` defines and documents.

Rules are pure functions on text and tokens: they read no files, have no settings and import no JAX.
`sources` decides which puzzles to load; `augmentation` applies the symmetries on the device.
"""

import abc
import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from cgar_jax._core.relations import Relation
from cgar_jax.data.records import RecordError, check_lengths
from cgar_jax.data.schema import Examples
from cgar_jax.data.symmetries import Symmetries


class Puzzle(NamedTuple):
    """A puzzle with its solution."""

    question: np.ndarray  # tokens, uint8 [num_cells]
    answer: np.ndarray  # tokens, uint8 [num_cells]
    rating: float  # difficulty


def columns_of(puzzles: Sequence[Puzzle]) -> Examples:
    """Returns generated puzzles as columns, in the form of `cgar_jax.data.read_csv`."""
    questions, answers, ratings = zip(*puzzles, strict=True)
    return {
        "inputs": np.array(questions),
        "labels": np.array(answers),
        "difficulty": np.array(ratings, np.float32),
        "source": np.full(len(puzzles), b"generated"),
    }


class Rules(abc.ABC):
    """The rules of one puzzle family whose question and answer are grids with the same cells.

    Question and answer are arrays of tokens, one per cell, row by row; token 0 is padding. Methods
    that take `questions` and `answers` work on many puzzles of one size at once, integer
    `[num, num_cells]`. The messages they return complete a sentence whose subject is the question
    or the answer: "has no S; expected exactly one".

    Subclasses have no state, so their bound methods can be sent to worker processes.

    Attributes:
      blank: token of the cells that are to be filled in.
    """

    blank: ClassVar[int]

    # Layout and text

    @abc.abstractmethod
    def vocab_size(self, num_cells: int) -> int:
        """Returns the number of tokens, padding included.

        Raises:
          ValueError: if the family has no grid with `num_cells` cells.
        """

    def grid_shape(self, num_cells: int) -> tuple[int, int]:
        """Returns the rows and columns of a grid; square unless a family overrides this.

        Raises:
          ValueError: if the family has no grid with `num_cells` cells.
        """
        size = math.isqrt(num_cells)
        if size * size != num_cells:
            raise ValueError(f"{num_cells} cells do not form a square; expected 16, 25, 36, ...")
        return size, size

    @abc.abstractmethod
    def parse_questions(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the tokens of questions of equal length, uint8 `[num, num_cells]`.

        Raises:
          RecordError: for the first text with a character that no question has.
        """

    @abc.abstractmethod
    def parse_answers(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the tokens of answers of equal length, uint8 `[num, num_cells]`.

        Raises:
          RecordError: for the first text with a character that no answer has.
        """

    @abc.abstractmethod
    def to_text(self, tokens: np.ndarray) -> str:
        """Returns one grid as text, one character per cell, as in CSV files.

        Args:
          tokens: integer `[num_cells]`; a model's answer is fine, padding becomes `?`.
        """

    def draw(self, tokens: np.ndarray) -> str:
        """Returns one grid as lines of text for people to read.

        Args:
          tokens: integer `[num_cells]`, as for `to_text`.
        """
        text = self.to_text(tokens)
        _, width = self.grid_shape(len(text))
        return "\n".join(text[start : start + width] for start in range(0, len(text), width))

    def clean_line(self, line: str) -> str:
        """Returns the cells in one line of a drawn puzzle, without decoration such as box lines."""
        return line

    # Rules

    @abc.abstractmethod
    def question_faults(self, questions: np.ndarray) -> list[str]:
        """Returns the first contradiction in each question, or `""` if it has none.

        Args:
          questions: tokens, uint8 `[num, num_cells]`.
        """

    @abc.abstractmethod
    def answer_faults(self, questions: np.ndarray, answers: np.ndarray) -> list[str]:
        """Returns the rule that each answer breaks first, or `""` if the answer is a solution.

        Args:
          questions: tokens of questions without faults, integer `[num, num_cells]`.
          answers: tokens, integer `[num, num_cells]`; a model's answers are fine.
        """

    def accepts(self, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Returns whether each answer is a solution, labeled or not, bool `[num]`.

        Args:
          questions: as for `answer_faults`.
          answers: as for `answer_faults`.
        """
        return np.array([not fault for fault in self.answer_faults(questions, answers)], bool)

    @abc.abstractmethod
    def wrong_cells(self, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Returns the cells of each answer that break a rule, bool `[num, num_cells]`.

        Args:
          questions: as for `answer_faults`.
          answers: as for `answer_faults`.
        """

    @abc.abstractmethod
    def num_solutions(self, question: np.ndarray) -> int | None:
        """Returns 0, 1, or 2 for two or more solutions; None if the family does not count them.

        Args:
          question: tokens of a question without faults, uint8 `[num_cells]`.
        """

    def relations(self, num_cells: int) -> tuple[Relation, ...]:
        """Returns the groups of cells whose symbols must all differ, by relation.

        Candidate models need them. A family without such groups returns none.

        Raises:
          ValueError: if the family has no grid with `num_cells` cells.
        """
        del num_cells
        return ()

    # Symmetries

    @abc.abstractmethod
    def split_class(self, pair: tuple[np.ndarray, np.ndarray]) -> bytes:
        """Returns a key that near-duplicates share; no two splits may share a key.

        Args:
          pair: tokens of question and answer, uint8 `[num_cells]` each.
        """

    def split_signatures(self, questions: np.ndarray, answers: np.ndarray) -> list[bytes]:
        """Returns fast keys that are equal wherever `split_class` is, and rarely elsewhere.

        A family overrides this if `split_class` is slow; it is then called only where signatures
        are equal.

        Args:
          questions: tokens, uint8 `[num, num_cells]`.
          answers: tokens, uint8 `[num, num_cells]`.
        """
        del answers
        return [b""] * len(questions)

    def symmetries(self, num_cells: int) -> Symmetries | None:
        """Returns the symmetries that augmentation draws from; None if the family has none.

        Raises:
          ValueError: if the family has no grid with `num_cells` cells.
        """
        del num_cells
        return None

    # Derived

    def parse_puzzles(
        self, num_cells: int, questions: Sequence[str], answers: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Parses questions with their answers and checks the rules of the family.

        Args:
          num_cells: number of cells of each grid.
          questions: texts as from `to_text`.
          answers: texts as from `to_text`.

        Returns:
          Tokens of questions and answers, uint8 `[num, num_cells]` each.

        Raises:
          RecordError: for a puzzle that is malformed, or whose answer is not a solution.
        """
        check_lengths("question", questions, num_cells)
        check_lengths("answer", answers, num_cells)
        inputs, labels = self.parse_questions(questions), self.parse_answers(answers)
        _raise_first("question", self.question_faults(inputs))
        _raise_first("answer", self.answer_faults(inputs, labels))
        return inputs, labels


def _raise_first(column: str, faults: Sequence[str]) -> None:
    for index, fault in enumerate(faults):
        if fault:
            raise RecordError(index, f"the {column} {fault}")
