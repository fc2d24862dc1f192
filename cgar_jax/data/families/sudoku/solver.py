"""An exact Sudoku solver, fast enough to prove every generated puzzle unique.

A *candidate* is a digit in a cell. The state of a search is one Python integer with one bit per
candidate, `digit * num_cells + cell`, which is set while the candidate is possible. Sudoku then has
four families of constraints ("each cell has a digit", "each digit has a place in each row / column
/ box"), and in every family the candidates of a constraint lie at the same offsets from its first
one. Shifting the state by each offset and adding bit by bit therefore counts the candidates of all
constraints of a family at once, and a branch of the search is a copy of one integer.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cgar_jax.data.families.sudoku.grid import BLANK, Grid


class SearchResult(NamedTuple):
    """The result of a search."""

    solutions: np.ndarray  # tokens, uint8 [num, num_cells]
    num_guesses: int  # number of guesses, a measure of difficulty


def solve(grid: Grid, question: np.ndarray, limit: int = 2) -> SearchResult:
    """Finds up to `limit` solutions; with the default limit, one solution means a unique one.

    Args:
      grid: shape of the puzzle.
      question: tokens, uint8 `[num_cells]`.
      limit: number of solutions after which the search stops.

    Returns:
      The solutions, and the number of points in the search where no candidate was forced. A puzzle
      with zero guesses is solved by looking for single candidates only.
    """
    searcher = Searcher.of(grid)
    return searcher.search(*searcher.clues(question), limit)


def random_solution(grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Returns a random full grid, tokens uint8 `[num_cells]`.

    The empty grid is solved with guesses in random order, so every grid can occur, though not all
    equally often. Shuffling one grid by its symmetries would only reach its own class.
    """
    searcher = Searcher.of(grid)
    blank = np.full(grid.num_cells, BLANK, np.uint8)
    return searcher.search(*searcher.clues(blank), limit=1, rng=rng).solutions[0]


@dataclasses.dataclass(frozen=True)
class Searcher:
    """The search over candidates for one grid shape; `Searcher.of(grid)` builds it once.

    Attributes:
      grid: shape of the puzzles.
      kept: for each candidate, the mask of candidates that remain possible once it is placed.
      families: for each family of constraints, the mask of the first candidate of every
        constraint, and the offsets of all candidates of a constraint.
    """

    grid: Grid
    kept: tuple[int, ...]
    families: tuple[tuple[int, tuple[int, ...]], ...]

    @staticmethod
    @functools.cache
    def of(grid: Grid) -> "Searcher":
        """Returns the searcher for a grid shape."""
        size, cells = grid.size, grid.num_cells
        first_of_digit = np.arange(size) * cells
        constraints = [np.arange(cells)[:, None] + first_of_digit]  # [constraint, candidate]
        for units in np.split(grid.units, 3):
            constraints.append((first_of_digit[:, None, None] + units).reshape(-1, size))
        kept = [(1 << size * cells) - 1] * (size * cells)
        families = []
        for family in constraints:
            for constraint in family.tolist():
                for candidate in constraint:
                    kept[candidate] &= ~(_mask(constraint) ^ (1 << candidate))
            families.append(
                (_mask(family[:, 0].tolist()), tuple((family[0] - family[0, 0]).tolist()))
            )
        return Searcher(grid, tuple(kept), tuple(families))

    def clues(self, question: np.ndarray) -> tuple[int, int]:
        """Returns two masks: the candidates that the clues leave possible, and the clues."""
        state, placed = (1 << len(self.kept)) - 1, 0
        for cell, token in enumerate(question.tolist()):
            if token > BLANK:
                candidate = (token - BLANK - 1) * len(question) + cell
                state &= self.kept[candidate]
                placed |= 1 << candidate
        return state, placed

    def search(
        self, state: int, placed: int, limit: int, rng: np.random.Generator | None = None
    ) -> SearchResult:
        """Finds up to `limit` solutions within `state`.

        Args:
          state: mask of the possible candidates.
          placed: mask of the candidates whose consequences `state` already includes.
          limit: number of solutions after which the search stops.
          rng: random generator that shuffles every guess; None keeps their order.
        """
        solutions, num_guesses = [], 0
        stack = [(state, placed)]
        while stack and len(solutions) < limit:
            settled = self._settle(*stack.pop())
            if settled is None:
                continue
            state, placed, options = settled
            if not options:
                solutions.append(self._tokens(state))
                continue
            num_guesses += 1
            if rng is not None:
                rng.shuffle(options)
            stack += [(state & self.kept[option], placed) for option in options]
        return SearchResult(
            np.array(solutions, np.uint8).reshape(-1, self.grid.num_cells), num_guesses
        )

    def _settle(self, state: int, placed: int) -> tuple[int, int, list[int]] | None:
        """Places forced candidates until none is left.

        Returns:
          The state, the placed candidates, and the candidates to guess from (none if the puzzle is
          solved); or None if some constraint has no candidate left.
        """
        while True:
            guess, is_pair = None, False
            for first, offsets in self.families:
                one = two = three = 0  # masks of the constraints with at least that many candidates
                for offset in offsets:
                    present = (state >> offset) & first
                    three |= two & present
                    two |= one & present
                    one |= present
                if one != first:
                    return None
                forced, single = 0, first ^ two
                if single:
                    for offset in offsets:
                        forced |= ((state >> offset) & single) << offset
                if forced & ~placed:
                    break
                # Guessing between two candidates halves the search, so such a constraint is
                # preferred to other open ones.
                pairs = two & ~three
                if pairs and not is_pair:
                    guess, is_pair = (pairs, offsets), True
                elif two and guess is None:
                    guess = two, offsets
            else:
                break
            for candidate in _members(forced & ~placed):
                state &= self.kept[candidate]
            placed |= forced
        if guess is None:
            return state, placed, []
        constraints, offsets = guess
        start = (constraints & -constraints).bit_length() - 1
        return state, placed, [start + o for o in offsets if state >> (start + o) & 1]

    def _tokens(self, solved: int) -> np.ndarray:
        digits, cells = np.divmod(list(_members(solved)), self.grid.num_cells)
        tokens = np.empty(self.grid.num_cells, np.uint8)
        tokens[cells] = digits + BLANK + 1
        return tokens


def _mask(candidates: list[int]) -> int:
    """Returns the state in which only these candidates are possible."""
    return sum(1 << candidate for candidate in candidates)


def _members(state: int) -> Iterator[int]:
    """Yields the possible candidates of a state."""
    while state:
        lowest = state & -state
        yield lowest.bit_length() - 1
        state ^= lowest
