"""Generates random Sudoku puzzles, each with exactly one solution.

A full grid is drawn at random, and clues are removed in random order as long as the puzzle stays
unique. If no puzzle drawn so is difficult enough, the hardest one is changed little by little: a
few blank cells become clues, other clues are removed, and the result is kept unless it is easier.
Each puzzle is drawn from its own random stream, so it depends neither on other puzzles nor on the
number of worker processes.
"""

import functools

import numpy as np

from cgar_jax._core.ranges import check_integer
from cgar_jax.data.families.sudoku.grid import BLANK, Grid
from cgar_jax.data.families.sudoku.solver import Searcher, random_solution, solve
from cgar_jax.data.parallel import parallel_map
from cgar_jax.data.rules import Puzzle

# The smallest number of clues of a unique puzzle, where it is known. For 9x9: McGuire, Tugemann and
# Civario, "There is no 16-clue Sudoku", 2012, arXiv:1201.0749. In any size, two digits without a
# clue could be swapped, so all digits but one need a clue.
_FEWEST_CLUES = {4: 4, 6: 8, 9: 17}
_MAX_ATTEMPTS = 1_000
_ROUND = 150  # attempts after which the hardest puzzle is given up
_FRESH = 50  # attempts of a round before its hardest puzzle is changed
_CHANGED_CELLS = 3


def generate(
    grid: Grid,
    indices: int | range,
    seed: int,
    num_clues: int | tuple[int, int] = 0,
    min_difficulty: float = 0,
    num_workers: int | None = None,
) -> list[Puzzle]:
    """Generates puzzles on all cores.

    Args:
      grid: shape of the puzzles.
      indices: number of puzzles, or the range of their indices.
      seed: random seed, not negative; a puzzle depends on it and on its index.
      num_clues: number of clues; `(low, high)` draws it for each puzzle, both ends included; 0
        removes clues until none can be spared.
      min_difficulty: smallest rating.
      num_workers: number of processes, see `parallel_map`; it does not change the puzzles.

    Returns:
      Puzzles with their solutions; the rating is the number of guesses that the exact solver needs
      to prove the solution unique.

    Raises:
      ValueError: if such puzzles cannot exist, or were not found.
    """
    low, high = clue_range(grid, num_clues)
    make = functools.partial(_generate_puzzle, grid, seed, low, high, min_difficulty)
    indices = range(indices) if isinstance(indices, int) else indices
    return parallel_map(make, indices, num_workers)


def clue_range(grid: Grid, num_clues: int | tuple[int, int]) -> tuple[int, int]:
    """Returns `num_clues` as a range `(low, high)`, which is `(0, 0)` for minimal puzzles.

    Raises:
      ValueError: if no puzzle with one solution has that number of clues.
    """
    low, high = (num_clues, num_clues) if np.ndim(num_clues) == 0 else num_clues
    fewest = _FEWEST_CLUES.get(grid.size, grid.size - 1)
    for bound in (low, high):
        check_integer("data", "num_clues", bound, "[0, inf)")
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
    fewest, hardest, best = grid.num_cells, 0, None
    for attempt in range(_MAX_ATTEMPTS):
        if attempt % _ROUND == 0:
            best = None
        if best is None or attempt % _ROUND < _FRESH:
            answer = random_solution(grid, rng)
            question = _remove_clues(grid, answer, answer, num_clues, rng)
        else:
            answer, question = best.answer, _change(grid, best, num_clues, rng)
        found = int((question != BLANK).sum())
        fewest = min(fewest, found)
        if num_clues and found > num_clues:
            continue
        rating = solve(grid, question).num_guesses
        hardest = max(hardest, rating)
        if rating >= min_difficulty:
            return Puzzle(question, answer, rating)
        if best is None or rating >= best.rating:
            best = Puzzle(question, answer, rating)
    raise ValueError(
        f"found no {grid.size}x{grid.size} puzzle with num_clues={num_clues} and "
        f"min_difficulty={min_difficulty:g} in {_MAX_ATTEMPTS} attempts, which reached "
        f"{fewest} clues and difficulty {hardest}; ask for "
        + ("more clues" if fewest > num_clues > 0 else "a lower difficulty or fewer clues")
    )


def _change(grid: Grid, puzzle: Puzzle, num_clues: int, rng: np.random.Generator) -> np.ndarray:
    """Returns another question with the same answer: some blank cells are clues, others not."""
    question = puzzle.question.copy()
    chosen = rng.permutation(np.flatnonzero(question == BLANK))[:_CHANGED_CELLS]
    question[chosen] = puzzle.answer[chosen]
    return _remove_clues(grid, puzzle.answer, question, num_clues, rng, last=chosen)


def _remove_clues(
    grid: Grid,
    answer: np.ndarray,
    question: np.ndarray,
    num_clues: int,
    rng: np.random.Generator,
    last: np.ndarray | tuple[()] = (),
) -> np.ndarray:
    """Removes clues from `question` until `num_clues` are left or none can be spared.

    A clue that cannot be spared now cannot be spared later either, so one pass is enough. The cells
    in `last` are tried after all others.
    """
    searcher = Searcher.of(grid)
    question = question.copy()
    _, clues = searcher.clues(question)
    order = rng.permutation(grid.num_cells)
    order = order[np.isin(order, last).argsort(kind="stable")]
    for cell in order.tolist():
        if clues.bit_count() == num_clues:
            break
        if question[cell] == BLANK:
            continue
        question[cell] = BLANK
        possible, clues_left = searcher.clues(question)
        # The puzzle is still unique unless some solution has another digit in this cell.
        others = possible & ~(clues ^ clues_left)
        if len(searcher.search(others, clues_left, limit=1).solutions):
            question[cell] = answer[cell]
        else:
            clues = clues_left
    return question
