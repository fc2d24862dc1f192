"""From what a visitor enters to what a model makes of it: each supervision step, and three modes.

Knows nothing of HTML and of Gradio.
"""

import dataclasses
import math
import secrets
import time
from typing import Any, NamedTuple

import numpy as np

from cgar_jax.data import PuzzleSource, Rules, family_of, read_questions
from cgar_jax.evaluation import Solution
from cgar_jax.recursion import Trajectory
from cgar_jax.trained_model import TrainedModel


class Try(NamedTuple):
    """How one mode of solving did."""

    num_rollouts: int
    solution: Solution
    milliseconds: float


class Outcome(NamedTuple):
    """All that the page tells of one puzzle."""

    trajectory: Trajectory  # of the plain run, with a reading for each supervision step
    remark: str  # what its asker should know, else ""
    tries: dict[str, Try]  # by the name of the mode


class Demonstration:
    """A model that can be asked one puzzle after another; its programs stay compiled."""

    def __init__(self, model: TrainedModel, num_rollouts: int = 8, noise: float = 0.3):
        """Prepares; nothing is compiled before `warm_up`.

        Args:
          model: a trained model.
          num_rollouts: of the mode "rollouts".
          noise: standard deviation of what is added to the latent in them.

        Raises:
          ValueError: the model cannot be asked puzzles that it was not trained on, or a setting is
            out of range.
        """
        config, task = model.config, model.experiment.task
        self.name: str = config.data.name
        self.family: Rules = model.rules
        self.num_cells: int = task.sequence_length
        self._model = model
        solver = model.solver
        self._modes = {
            "plain": (1, solver(stop="budget")),
            "halting": (1, solver(stop="halting")),
            "rollouts": (num_rollouts, solver(num_rollouts=num_rollouts, noise=noise)),
        }
        self._examples = _generator(family_of(self.name), config.data, self.size)

    @property
    def size(self) -> int:
        """The number of rows and of columns."""
        return math.isqrt(self.num_cells)

    @property
    def max_characters(self) -> int:
        """Of what a visitor may enter: a puzzle drawn with blanks and lines, and some more."""
        return 1_000 + 4 * self.num_cells

    def example(self) -> np.ndarray:
        """Generates a puzzle of the model's size: tokens `[num_cells]`."""
        index = secrets.randbelow(2**31)
        return self._examples.generate(range(index, index + 1))[0].question

    def read(self, text: str) -> tuple[np.ndarray, str]:
        """Reads the one puzzle in a text.

        Returns:
          Its tokens, and what its asker should know, else "".

        Raises:
          ValueError: there is not exactly one that can be solved; the message says what is wrong.
        """
        if len(text) > self.max_characters:
            raise ValueError(
                f"the text has {len(text):,} characters; at most {self.max_characters:,} are read"
            )
        if not text.strip():
            raise ValueError("there is no puzzle yet; type, paste or draw one, or take an example")
        questions = read_questions(text, self.family, self.num_cells, "your puzzle")
        if len(questions.tokens) > 1:
            raise ValueError(f"there are {len(questions.tokens)} puzzles; enter one at a time")
        question = questions.tokens[0]
        if (question == question[0]).all():
            raise ValueError("the grid is empty; give the model something to go by")
        return question, questions.remarks[0]

    def ask(self, question: np.ndarray, remark: str = "") -> Outcome:
        """Asks the model a puzzle in all modes.

        Args:
          question: tokens `[num_cells]`, without faults.
          remark: for the outcome.
        """
        tries = {}
        trajectory = self._model.trajectory(question).by_supervision_step()
        for name, (num_rollouts, solver) in self._modes.items():
            begin = time.perf_counter()
            solution = solver(question[None])[0]
            tries[name] = Try(num_rollouts, solution, 1e3 * (time.perf_counter() - begin))
        return Outcome(trajectory, remark, tries)

    def warm_up(self) -> None:
        """Compiles all programs, so that the first visitor does not wait for it."""
        self.ask(self.example())


def _generator(family: type[PuzzleSource], config: Any, size: int) -> PuzzleSource:
    """Generates puzzles like those of training, or where these come from files, of their size."""
    generated = config.source == "generated"
    puzzles = family.from_config(config) if generated else family(size=size)
    return dataclasses.replace(puzzles, seed=secrets.randbelow(2**31))
