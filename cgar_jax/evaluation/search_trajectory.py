"""Search trajectories: what each pass of a search did to the candidates of one puzzle."""

import enum
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cgar_jax.recursion import Chains
from cgar_jax.recursion.candidate_reasoner import PassResult


class SearchEvent(enum.StrEnum):
    """How a pass of a search ended."""

    ELIMINATION = "only eliminates"
    GUESS = "guesses"
    DEAD_END = "meets a contradiction and takes back the last guess"
    RESTART = "starts again from the question"
    SOLVED = "finds the solution"


class SearchTrajectory(NamedTuple):
    """The candidates of one puzzle after each pass of a search with one chain.

    Attributes:
      question: tokens, int `[cells]`.
      before: candidates with which each pass began, bool `[passes, cells, symbols]`.
      after: candidates that it left, bool `[passes, cells, symbols]`; after a guess, only the
        guessed symbol is left in its cell; the last pass of a solved puzzle leaves the solution.
      guessed: cells with a guess that the candidates rest on, bool `[passes, cells]`.
      events: how each pass ended.
      answer: tokens that obey the rules, uint8 `[cells]`; None if the budget was spent.
    """

    question: np.ndarray
    before: np.ndarray
    after: np.ndarray
    guessed: np.ndarray
    events: tuple[SearchEvent, ...]
    answer: np.ndarray | None

    def count(self, event: SearchEvent) -> int:
        """Returns the number of passes that ended in some way.

        Args:
          event: the way.
        """
        return self.events.count(event)

    def excerpt(self, most: int = 60) -> np.ndarray:
        """Returns the indices of the passes to show: all, or the first and the last ones.

        Args:
          most: largest number of passes, even.
        """
        passes = np.arange(len(self.events))
        if len(passes) <= most:
            return passes
        return np.concatenate([passes[: most // 2], passes[-(most // 2) :]])


def symbol_rows(texts: Sequence[str]) -> list[str]:
    """Arranges a text for each symbol in a small square, as people note candidates in a cell.

    Args:
      texts: texts of the symbols in order; a space leaves the place of a symbol empty.

    Returns:
      The rows of the square.
    """
    columns = math.ceil(math.sqrt(len(texts)))
    return [" ".join(texts[i : i + columns]) for i in range(0, len(texts), columns)]


class Recorder:
    """Records the passes of the first chain of a search."""

    def __init__(self, question: np.ndarray):
        """Begins without a pass.

        Args:
          question: candidates of the question, bool `[cells, symbols]`.
        """
        self._before, self._after = [question], []
        self._guessed: list[np.ndarray] = []
        self._events: list[SearchEvent] = []
        self._guesses: list[int] = []  # cells of the guesses that were not taken back

    def note(self, chains: Chains, found: PassResult) -> None:
        """Records a pass.

        Args:
          chains: the chains after the pass.
          found: result of the pass.
        """
        following, left = np.asarray(chains.candidates[0]), np.asarray(found.left[0])
        event = SearchEvent.ELIMINATION
        if chains.passes_at_start[0] == chains.passes[0]:
            event = SearchEvent.RESTART
        elif found.dead[0]:
            event = SearchEvent.DEAD_END
        elif found.guessed[0]:
            event = SearchEvent.GUESS
            self._guesses += np.flatnonzero((left != following).any(1)).tolist()
        self._events.append(event)
        self._before.append(following)
        self._after.append(following if event is SearchEvent.GUESS else left)
        self._guessed.append(np.isin(np.arange(len(left)), self._guesses))
        if event is SearchEvent.DEAD_END:
            self._guesses.pop()
        elif event is SearchEvent.RESTART:
            self._guesses.clear()

    def trajectory(
        self, question: np.ndarray, answer: np.ndarray | None, solution: np.ndarray | None
    ) -> SearchTrajectory:
        """Returns the trajectory of all recorded passes.

        Args:
          question: tokens, int `[cells]`.
          answer: tokens that obey the rules, uint8 `[cells]`, or None.
          solution: candidates of the answer, bool `[cells, symbols]`, or None.
        """
        after, events = self._after, self._events
        if solution is not None:
            after, events = [*after[:-1], solution], [*events[:-1], SearchEvent.SOLVED]
        before, guessed = np.stack(self._before[:-1]), np.stack(self._guessed)
        return SearchTrajectory(question, before, np.stack(after), guessed, tuple(events), answer)
