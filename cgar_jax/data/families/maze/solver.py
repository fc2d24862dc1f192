"""Exact shortest paths in many mazes at once, by breadth-first search on whole arrays."""

import numpy as np


def distances(is_open: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Returns the number of steps (up, down, left or right) from the start to each cell.

    Args:
      is_open: cells that may be entered, bool `[num, rows, columns]`.
      start: the start cells, bool `[num, rows, columns]`.

    Returns:
      int32 `[num, rows, columns]`; -1 for cells that cannot be reached.
    """
    steps = np.where(start, 0, -1).astype(np.int32)
    frontier, is_new = start, is_open & ~start
    for step in range(1, is_open[0].size if len(is_open) else 1):
        reached = np.zeros_like(is_open)
        reached[:, 1:] |= frontier[:, :-1]
        reached[:, :-1] |= frontier[:, 1:]
        reached[:, :, 1:] |= frontier[:, :, :-1]
        reached[:, :, :-1] |= frontier[:, :, 1:]
        frontier = reached & is_new
        if not frontier.any():
            break
        steps[frontier] = step
        is_new &= ~frontier
    return steps


def on_shortest_paths(is_open: np.ndarray, start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Returns the cells that lie on at least one shortest path, bool `[num, rows, columns]`.

    A maze has exactly one shortest path if there is one such cell more than the path has steps. If
    the goal cannot be reached, no cell is marked.

    Args:
      is_open: cells that may be entered, bool `[num, rows, columns]`.
      start: one cell of each maze, bool `[num, rows, columns]`.
      goal: one cell of each maze, bool `[num, rows, columns]`.
    """
    from_start, from_goal = distances(is_open, start), distances(is_open, goal)
    length = from_start.max(axis=(1, 2), keepdims=True, where=goal, initial=-1)
    return (from_start >= 0) & (length >= 0) & (from_start + from_goal == length)


def one_shortest_path(is_open: np.ndarray, start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Returns the cells of one shortest path of a maze, including both ends.

    Args:
      is_open: cells that may be entered, bool `[rows, columns]`.
      start: one cell, bool `[rows, columns]`.
      goal: one cell, bool `[rows, columns]`.

    Returns:
      bool `[rows, columns]`. Among several shortest paths, it is the one that, walked from the
      goal, prefers up to left, left to right, and right to down.

    Raises:
      ValueError: if the goal cannot be reached.
    """
    steps = distances(is_open[None], start[None])[0]
    cell = tuple(np.argwhere(goal)[0])
    if steps[cell] < 0:
        raise ValueError("the goal cannot be reached from the start")
    path = np.zeros_like(is_open)
    path[cell] = True
    around = np.pad(steps, 1, constant_values=-1)
    while steps[cell]:
        row, column = cell
        neighbors = [(row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column)]
        cell = next(c for c in neighbors if around[c[0] + 1, c[1] + 1] == steps[cell] - 1)
        path[cell] = True
    return path
