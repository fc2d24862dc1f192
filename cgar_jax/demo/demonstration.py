"""Parses a visitor's text as a puzzle, and solves the puzzle in several modes.

There is a demonstration for each kind of supervision. This file is independent of HTML and Gradio.
"""

import abc
import math
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from cgar_jax import runs
from cgar_jax.data import Rules, read_questions
from cgar_jax.evaluation import Search, SearchOptions, SearchTrajectory, Solution
from cgar_jax.evaluation.candidate_evaluator import control_of
from cgar_jax.metrics import wilson_interval
from cgar_jax.recursion import CandidateReasoner, Trajectory
from cgar_jax.reporting.example_puzzles import puzzle_generator
from cgar_jax.trained_model import TrainedModel

Result = TypeVar("Result")


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


class SearchResult(NamedTuple):
    """The result of one search.

    Attributes:
      passes: number of passes that it took.
      solved: whether it found the solution.
      milliseconds: time that it took.
    """

    passes: int
    solved: bool
    milliseconds: float


class SearchOutcome(NamedTuple):
    """Everything that the page shows about one puzzle for a model that eliminates candidates.

    Attributes:
      trajectory: the search with the model.
      remark: a remark about the puzzle for the visitor, or "".
      results: results of the searches "network" and "singles".
    """

    trajectory: SearchTrajectory
    remark: str
    results: dict[str, SearchResult]


class Demonstration(abc.ABC):
    """A model that solves one puzzle after another; its programs stay compiled."""

    def __init__(self, model: TrainedModel):
        """Prepares the examples.

        Args:
          model: a trained model.

        Raises:
          ValueError: if the model can only answer puzzles that it was trained on.
        """
        self.name: str = model.config.data.name
        self.rules: Rules = model.rules
        self.num_cells: int = model.experiment.task.sequence_length
        self._model = model
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

    @abc.abstractmethod
    def ask(self, question: np.ndarray, remark: str = "") -> Outcome | SearchOutcome:
        """Solves a puzzle in all modes.

        Args:
          question: tokens of a valid puzzle, int `[num_cells]`.
          remark: remark for the outcome.
        """

    @abc.abstractmethod
    def accuracy(self, result: Mapping[str, Any]) -> str:
        """Returns a sentence about the results of the model.

        Args:
          result: content of `result.json`.
        """

    def warm_up(self) -> Outcome | SearchOutcome:
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
        return f"{sentence} {self.accuracy(result)}" if result else sentence


class RolloutDemonstration(Demonstration):
    """A model with deep supervision, which solves a puzzle with and without halting and noise."""

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
        super().__init__(model)
        self._modes = {
            "plain": (1, model.solver(stop="budget")),
            "halting": (1, model.solver(stop="halting")),
            "rollouts": (num_rollouts, model.solver(num_rollouts=num_rollouts, noise=noise)),
        }

    def ask(self, question: np.ndarray, remark: str = "") -> Outcome:  # noqa: D102
        trajectory, results = self._model.trajectory(question).by_supervision_step(), {}
        for name, (num_rollouts, solver) in self._modes.items():
            solution, milliseconds = _timed(lambda: solver(question[None])[0])  # noqa: B023
            results[name] = ModeResult(num_rollouts, solution, milliseconds)
        return Outcome(trajectory, remark, results)

    def accuracy(self, result: Mapping[str, Any]) -> str:  # noqa: D102
        share, num = result["exact_accuracy"], result["num_examples"]
        low, high = wilson_interval(round(share * num), num)
        return (
            f"It solves {share:.1%} (95% interval {low:.1%} to {high:.1%}) "
            f"of {num:,} puzzles that it was not trained on."
        )


class SearchDemonstration(Demonstration):
    """A model that eliminates candidates, next to the same search with singles in its place."""

    def __init__(self, model: TrainedModel, seconds: float = 30):
        """Prepares the searches; nothing is compiled before `warm_up`.

        Args:
          model: a trained model.
          seconds: largest number of seconds of each search.

        Raises:
          ValueError: if the number of seconds is not positive.
        """
        super().__init__(model)
        options = SearchOptions(seconds=seconds)
        self._searches = {
            "network": Search(model.reasoner, model.params, model.accepts, options),
            "singles": Search(*control_of(model.reasoner), model.accepts, options),
        }

    def ask(self, question: np.ndarray, remark: str = "") -> SearchOutcome:  # noqa: D102
        found, results = {}, {}
        for name, search in self._searches.items():
            found[name], milliseconds = _timed(lambda: search.trajectory(question))  # noqa: B023
            solved = found[name].answer is not None
            results[name] = SearchResult(len(found[name].events), solved, milliseconds)
        return SearchOutcome(found["network"], remark, results)

    def accuracy(self, result: Mapping[str, Any]) -> str:  # noqa: D102
        shown = f"It solves {result['accuracy_without_search']:.1%} of {result['num_examples']:,} "
        shown += "puzzles that it was not trained on without a guess"
        if "verified_fraction" in result:
            shown += f", and {result['verified_fraction']:.1%} of them with search"
        return f"{shown}."


def prepare(model: TrainedModel, num_rollouts: int, noise: float) -> Demonstration:
    """Returns the demonstration of a model.

    Args:
      model: a trained model.
      num_rollouts: number of rollouts of the mode "rollouts", which only deep supervision has.
      noise: standard deviation of the noise added to the latent state in these rollouts.
    """
    if isinstance(model.reasoner, CandidateReasoner):
        return SearchDemonstration(model)
    return RolloutDemonstration(model, num_rollouts, noise)


def _timed(function: Callable[[], Result]) -> tuple[Result, float]:
    """Returns the result of a function, and the milliseconds that it took."""
    begin = time.perf_counter()
    result = function()
    return result, 1e3 * (time.perf_counter() - begin)
