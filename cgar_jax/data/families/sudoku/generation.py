"""Makes random Sudoku puzzles, each with exactly one solution.

A full grid is drawn at random and clues are taken away in random order, each only if the puzzle
stays unique without it. Puzzle ``index`` of ``seed`` is drawn from a stream of its own, so that it
depends neither on the other puzzles nor on how many processes share the work.
"""

import functools

import numpy as np

from cgar_jax.data.families.sudoku.grid import BLANK, Grid
from cgar_jax.data.families.sudoku.solver import Searcher, random_solution, solve
from cgar_jax.data.parallel import parallel_map
from cgar_jax.data.puzzles import Puzzle

# The fewest clues with which a puzzle can be unique. For 9x9: McGuire, Tugemann and Civario,
# "There is no 16-clue Sudoku" (2012).
_FEWEST_CLUES = {4: 4, 6: 8, 9: 17}
_MAX_ATTEMPTS = 200


def generate(
    grid: Grid,
    num_puzzles: int,
    seed: int,
    num_clues: int | tuple[int, int] = 0,
    min_difficulty: float = 0,
    start: int = 0,
    num_workers: int | None = None,
) -> list[Puzzle]:
    """Generates puzzles ``start`` to ``start + num_puzzles - 1`` of ``seed``, on all cores.

    Args:
      grid: the geometry.
      num_puzzles: how many.
      seed: not negative.
      num_clues: exactly so many clues; with ``(low, high)`` a number drawn for each puzzle, both
        ends included; with 0, as few as it takes until no clue can be spared.
      min_difficulty: the least rating.
      start: number of the first puzzle.
      num_workers: see `parallel_map`; the puzzles do not depend on it.

    Returns:
      Puzzles whose rating is how often our solver has to guess until it has proven the solution
      unique.

    Raises:
      ValueError: if such puzzles cannot exist, or could not be found.
    """
    low, high = clue_range(grid, num_clues)
    make = functools.partial(_generate_puzzle, grid, seed, low, high, min_difficulty)
    return parallel_map(make, range(start, start + num_puzzles), num_workers)


def clue_range(grid: Grid, num_clues: int | tuple[int, int]) -> tuple[int, int]:
    """Returns ``num_clues`` as a range ``(low, high)``, ``(0, 0)`` for minimal puzzles.

    Raises:
      ValueError: if no puzzle can have so few or so many clues.
    """
    low, high = (num_clues, num_clues) if np.ndim(num_clues) == 0 else num_clues
    fewest = _FEWEST_CLUES[grid.size]
    if (low, high) != (0, 0) and not fewest <= low <= high <= grid.num_cells:
        raise ValueError(
            f"num_clues={num_clues} for {grid.size}x{grid.size} Sudoku; expected a number or a "
            f"range within {fewest}..{grid.num_cells}, or 0 for as few as each puzzle allows "
            f"(with fewer than {fewest} clues no puzzle is unique)"
        )
    return low, high


def _generate_puzzle(
    grid: Grid, seed: int, low: int, high: int, min_difficulty: float, index: int
) -> Puzzle:
    rng = np.random.default_rng([seed, index])
    num_clues = int(rng.integers(low, high, endpoint=True))
    fewest, hardest = grid.num_cells, 0
    for _ in range(_MAX_ATTEMPTS):
        answer = random_solution(grid, rng)
        question = _without_clues(grid, answer, num_clues, rng)
        found = int((question != BLANK).sum())
        fewest = min(fewest, found)
        if num_clues and found > num_clues:
            continue
        rating = solve(grid, question).num_guesses
        hardest = max(hardest, rating)
        if rating >= min_difficulty:
            return Puzzle(question, answer, rating)
    raise ValueError(
        f"no {grid.size}x{grid.size} puzzle with num_clues={num_clues} and "
        f"min_difficulty={min_difficulty:g} in {_MAX_ATTEMPTS} attempts, which came down to "
        f"{fewest} clues and up to difficulty {hardest}; ask for "
        + ("more clues" if fewest > num_clues > 0 else "less difficulty or fewer clues")
    )


def _without_clues(
    grid: Grid, answer: np.ndarray, num_clues: int, rng: np.random.Generator
) -> np.ndarray:
    """Takes clues from ``answer`` until ``num_clues`` are left or none can be spared.

    A clue that cannot be spared now cannot be spared later either, so one pass is enough.
    """
    searcher = Searcher.of(grid)
    question = answer.copy()
    _, clues = searcher.clues(question)
    for cell in rng.permutation(grid.num_cells).tolist():
        if clues.bit_count() == num_clues:
            break
        question[cell] = BLANK
        possible, clues_left = searcher.clues(question)
        # Still unique, unless some solution has another digit in this cell.
        others = possible & ~(clues ^ clues_left)
        if len(searcher.search(others, clues_left, limit=1).solutions):
            question[cell] = answer[cell]
        else:
            clues = clues_left
    return question
