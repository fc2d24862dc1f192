"""Canonical forms of Sudokus, which decide whether two puzzles are equivalent.

Renaming digits, permuting rows within a band, bands, columns within a stack and stacks, and (if
boxes are square) transposing give an equivalent puzzle: whoever can solve one can solve the other.
Splits must therefore be kept apart by equivalence class.
"""

import functools
import itertools

import numpy as np

from cgar_jax.data.families.sudoku.grid import BLANK, Grid


def canonical_form(question: np.ndarray, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the representative of a puzzle's equivalence class.

    Two puzzles are equivalent if and only if their canonical questions are equal, and their
    solution grids are equivalent if and only if their canonical answers are equal.

    The representative is the smallest equivalent answer, row by row, among those whose first row is
    1, 2, 3, ... Choosing the first row, the order of the columns and whether to transpose
    determines everything else: the first row names the digits, and the first column sorts the rows
    and bands. Comparing second rows rules out nearly all of these choices. If the answer is
    symmetric, several choices tie, and the pattern of clues decides.

    Args:
      question: tokens, uint8 `[num_cells]`.
      answer: tokens of its solution, uint8 `[num_cells]`.

    Returns:
      The canonical question and answer, uint8 `[num_cells]` each.

    Raises:
      ValueError: for 16x16, whose symmetries are too many to try.
    """
    grid = Grid.of_length(len(answer))
    if grid.size > 12:
        raise ValueError("a 16x16 Sudoku has too many symmetries to find its canonical form")
    cells, first = _best_choices(grid, answer)
    choice = np.arange(len(cells))[:, None]
    digits = answer[cells]
    names = np.empty((len(cells), grid.vocab_size), np.uint8)
    names[choice, digits[choice[:, 0], first]] = np.arange(BLANK + 1, grid.vocab_size)
    digits = names[choice[:, None], digits]
    leaders = digits[:, :, 0].astype(int)
    bands = leaders.reshape(len(cells), -1, grid.box_rows).min(axis=-1)
    order = (bands.repeat(grid.box_rows, axis=1) * grid.vocab_size + leaders).argsort(axis=1)
    digits = digits[choice, order].reshape(len(cells), -1)
    is_clue = (question > BLANK)[cells][choice, order].reshape(len(cells), -1)

    least = min(row.tobytes() for row in np.concatenate([digits, is_clue], axis=1))
    digits, is_clue = np.frombuffer(least, np.uint8).reshape(2, -1)
    return np.where(is_clue, digits, BLANK).astype(np.uint8), digits.copy()


def solution_signatures(answers: np.ndarray) -> list[bytes]:
    """Returns keys that are equal for equivalent solution grids, and differ for nearly all others.

    Two rows define a permutation of the digits: each digit of the first row maps to the digit below
    it in the second. For every pair of rows, and of columns, the key counts how many digits return
    to themselves after two and after three steps. Symmetries only reorder these counts, within
    pairs from one band and within the other pairs; transposing swaps rows and columns.

    Args:
      answers: tokens of solutions, uint8 `[num, num_cells]`.
    """
    starts = range(0, len(answers), _SIGNED_AT_ONCE)
    return [key for s in starts for key in _signatures(answers[s : s + _SIGNED_AT_ONCE])]


_SIGNED_AT_ONCE = 4096  # bounds the memory for all pairs of lines


def _signatures(answers: np.ndarray) -> list[bytes]:
    grid = Grid.of_length(answers.shape[1])
    rows = (answers - np.uint8(BLANK + 1)).reshape(-1, grid.size, grid.size)
    first, second = np.triu_indices(grid.size, 1)
    halves = []
    for lines, thickness in ((rows, grid.box_rows), (rows.swapaxes(1, 2), grid.box_columns)):
        places = lines.argsort(axis=-1)
        step = np.take_along_axis(lines[:, second], places[:, first], -1).astype(np.intp)
        twice = np.take_along_axis(step, step, -1)
        thrice = np.take_along_axis(step, twice, -1)
        here = np.arange(grid.size)
        counts = (grid.size + 1) * (twice == here).sum(-1) + (thrice == here).sum(-1)
        together = first // thickness == second // thickness
        parts = [np.sort(counts[:, chosen], axis=1) for chosen in (together, ~together)]
        halves.append(np.concatenate(parts, axis=1).astype(np.uint16))
    pairs = zip(*halves, strict=True)
    return [b"".join(sorted((a.tobytes(), b.tobytes()))) for a, b in pairs]


def _best_choices(grid: Grid, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the choices of first row, column order and transposition with the least second row.

    Returns:
      For every choice, the cells of its grid before rows are sorted, `[num_choices, size, size]`,
      and the index of the row that becomes the first, `[num_choices]`.
    """
    cells = np.arange(grid.num_cells).reshape(grid.size, grid.size)
    firsts, seconds = _rows_of_a_band(grid)
    choices = []
    for view in [cells, cells.T] if grid.box_rows == grid.box_columns else [cells]:
        digits = (answer.astype(np.int64) - BLANK - 1)[view]
        column_of = digits.argsort(axis=1)  # [row, digit]
        moves = np.take_along_axis(column_of[firsts], digits[seconds], axis=1)
        for first, move in zip(firsts, moves, strict=True):
            choices.append((*_best_column_orders(grid, move.tobytes()), view, first))
    least = min(second_row for second_row, *_ in choices)
    best = [
        (view[:, orders].swapaxes(0, 1), np.full(len(orders), first))
        for second_row, orders, view, first in choices
        if second_row == least
    ]
    return tuple(map(np.concatenate, zip(*best, strict=True)))


@functools.cache
def _rows_of_a_band(grid: Grid) -> np.ndarray:
    """Returns every ordered pair of rows in one band, `[2, num_pairs]`."""
    bands = np.arange(grid.size).reshape(-1, grid.box_rows)
    return np.array([pair for band in bands for pair in itertools.permutations(band, 2)]).T


@functools.cache
def _column_orders(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Returns every order of the columns, and the new places of columns, `[num_orders, size]`."""
    stacks = np.arange(grid.size).reshape(-1, grid.box_columns).tolist()
    orders = np.array(
        [
            sum(columns, ())
            for order in itertools.permutations(stacks)
            for columns in itertools.product(*map(itertools.permutations, order))
        ]
    )
    return orders, orders.argsort(axis=1)


@functools.cache
def _best_column_orders(grid: Grid, move: bytes) -> tuple[int, np.ndarray]:
    """Finds the column orders with the least second row, if the first row names the digits.

    Only `move` matters: the column of the first row in which each digit of the second row stands.
    It has only 12,096 values for 9x9 and 36 for 6x6, so results are cached.

    Returns:
      The least second row, read as a number, and the orders that lead to it, `[num_best, size]`.
    """
    orders, places = _column_orders(grid)
    move = np.frombuffer(move, np.int64)
    least, left = 0, np.arange(len(orders))
    for column in range(grid.size):
        entries = places[left, move[orders[left, column]]]
        left = left[entries == entries.min()]
        least = least * grid.size + int(entries.min())
    return least, orders[left]
