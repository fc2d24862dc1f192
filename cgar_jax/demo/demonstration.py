"""Parses a visitor's text as a puzzle, and solves the puzzle in three modes.

This file is independent of HTML and Gradio.
"""

import math
import secrets
import time
from typing import NamedTuple

import jax
import numpy as np

from cgar_jax import runs
from cgar_jax.data import Rules, read_questions
from cgar_jax.evaluation import Solution
from cgar_jax.metrics import wilson_interval
from cgar_jax.recursion import Trajectory
from cgar_jax.reporting.example_puzzles import puzzle_generator
from cgar_jax.trained_model import TrainedModel


class ModeResult(NamedTuple):
    """The result of one solving mode.

    Attributes:
      num_rollouts: number of rollouts of the mode.
      solution: its answer.
      milliseconds: time that it took.
    """

    num_rollouts: int
    solution: Solution
    milliseconds: float


class Outcome(NamedTuple):
    """Everything that the page shows about one puzzle.

    Attributes:
      trajectory: the plain rollout, with one reading for each supervision step.
      remark: a remark about the puzzle for the visitor, or "".
      results: results by name of the solving mode.
    """

    trajectory: Trajectory
    remark: str
    results: dict[str, ModeResult]


class Demonstration:
    """A model that solves one puzzle after another; its programs stay compiled."""

    def __init__(self, model: TrainedModel, num_rollouts: int = 8, noise: float = 0.3):
        """Prepares the solving modes; nothing is compiled before `warm_up`.

        Args:
          model: a trained model.
          num_rollouts: number of rollouts of the mode "rollouts".
          noise: standard deviation of the noise added to the latent state in these rollouts.

        Raises:
          ValueError: if the model can only answer puzzles that it was trained on, or a setting is
            out of range.
        """
        self.name: str = model.config.data.name
        self.rules: Rules = model.rules
        self.num_cells: int = model.experiment.task.sequence_length
        self._model = model
        self._modes = {
            "plain": (1, model.solver(stop="budget")),
            "halting": (1, model.solver(stop="halting")),
            "rollouts": (num_rollouts, model.solver(num_rollouts=num_rollouts, noise=noise)),
        }
        seed = secrets.randbelow(2**31)
        self._examples = puzzle_generator(model.config.data, self.num_cells, seed)

    @property
    def size(self) -> int:
        """The number of rows and of columns."""
        return math.isqrt(self.num_cells)

    @property
    def max_characters(self) -> int:
        """The longest text that a visitor may enter, enough for a puzzle drawn with box lines."""
        return 1_000 + 4 * self.num_cells

    def example(self) -> np.ndarray:
        """Generates a puzzle of the model's size, tokens uint8 `[num_cells]`."""
        start = secrets.randbelow(2**31)
        return self._examples.generate(range(start, start + 1))[0].question

    def read(self, text: str) -> tuple[np.ndarray, str]:
        """Parses a text that contains one puzzle.

        Args:
          text: text that a visitor entered.

        Returns:
          Tokens uint8 `[num_cells]`, and a remark for the visitor, or "".

        Raises:
          ValueError: if the text does not contain exactly one puzzle that can be solved; the
            message explains why.
        """
        if len(text) > self.max_characters:
            raise ValueError(
                f"the text has {len(text):,} characters; at most {self.max_characters:,} are read"
            )
        if not text.strip():
            raise ValueError("there is no puzzle yet; type, paste or draw one, or take an example")
        questions = read_questions(text, self.rules, self.num_cells, "your puzzle")
        if len(questions.tokens) > 1:
            raise ValueError(f"there are {len(questions.tokens)} puzzles; enter one at a time")
        question = questions.tokens[0]
        if (question == question[0]).all():
            raise ValueError("the grid is empty; fill in some cells first")
        return question, questions.remarks[0]

    def ask(self, question: np.ndarray, remark: str = "") -> Outcome:
        """Solves a puzzle in all modes.

        Args:
          question: tokens of a valid puzzle, int `[num_cells]`.
          remark: remark for the outcome.
        """
        trajectory, results = self._model.trajectory(question).by_supervision_step(), {}
        for name, (num_rollouts, solver) in self._modes.items():
            begin = time.perf_counter()
            solution = solver(question[None])[0]
            elapsed = 1e3 * (time.perf_counter() - begin)
            results[name] = ModeResult(num_rollouts, solution, elapsed)
        return Outcome(trajectory, remark, results)

    def warm_up(self) -> Outcome:
        """Compiles all programs, so that no visitor waits for them, and solves an example."""
        question = self.example()
        self.ask(question)
        return self.ask(question)

    def about(self) -> str:
        """Returns what the model is and how good it is, in one or two sentences."""
        parameters = sum(leaf.size for leaf in jax.tree.leaves(self._model.params.variables))
        trained = f", trained for {self._model.step:,} steps" if self._model.step else ""
        sentence = f"A model of {parameters:,} parameters{trained}."
        result = runs.read_result(self._model.folder) if self._model.folder else None
        if not result:
            return sentence
        accuracy, num = result["exact_accuracy"], result["num_examples"]
        low, high = wilson_interval(round(accuracy * num), num)
        return (
            f"{sentence} It solves {accuracy:.1%} (95% interval {low:.1%} to {high:.1%}) "
            f"of {num:,} puzzles that it was not trained on."
        )
