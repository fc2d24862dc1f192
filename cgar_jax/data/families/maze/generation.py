"""Generates random square mazes, each with exactly one shortest path from start to goal.

A random walk with backtracking joins rooms on every second cell, which gives long winding
corridors; then some of the walls left between rooms are opened, so that there are several routes.
Each maze is drawn from its own random stream, so it depends neither on other mazes nor on the
number of worker processes.
"""

import functools

import numpy as np

from cgar_jax._core.ranges import check_integer, check_number
from cgar_jax.data.families.maze.grid import GOAL, OPEN, PATH, START, WALL
from cgar_jax.data.families.maze.solver import distances, on_shortest_paths
from cgar_jax.data.parallel import parallel_map
from cgar_jax.data.rules import Puzzle

SMALLEST = 5
_MAX_ATTEMPTS = 100
_GOALS_PER_MAZE = 8


def generate(
    size: int,
    indices: int | range,
    seed: int,
    lengths: tuple[float, float] = (1, np.inf),
    loops: float = 0.05,
    num_workers: int | None = None,
) -> list[Puzzle]:
    """Generates mazes on all cores.

    Args:
      size: rows and columns, including walls.
      indices: number of mazes, or the range of their indices.
      seed: random seed, not negative; a maze depends on it and on its index.
      lengths: smallest and largest number of steps of the shortest path.
      loops: share of the walls left between rooms that are opened, in [0, 1].
      num_workers: number of processes, see `parallel_map`; it does not change the mazes.

    Returns:
      Mazes with answers; the rating is the number of steps of the shortest path.

    Raises:
      ValueError: if a setting is out of range, or no such maze was found.
    """
    check_settings(size, lengths, loops)
    make = functools.partial(_generate_maze, size, seed, *lengths, loops)
    indices = range(indices) if isinstance(indices, int) else indices
    return parallel_map(make, indices, num_workers)


def check_settings(size: int, lengths: tuple[float, float], loops: float) -> None:
    """Raises `ValueError` if no maze can have these settings, see `generate`."""
    low, high = lengths
    check_integer("data", "size", size, f"[{SMALLEST}, inf)")
    check_number("data", "loops", loops, "[0, 1]")
    check_number("data", "max_difficulty", high, "(0, inf]")
    if not low <= high:
        raise ValueError(f"shortest paths of {low:g} to {high:g} steps; expected low <= high")


def _generate_maze(
    size: int, seed: int, low: float, high: float, loops: float, index: int
) -> Puzzle:
    rng = np.random.default_rng([seed, index])
    longest = 0
    for _ in range(_MAX_ATTEMPTS):
        is_open = _carve(size, loops, rng)
        start = _one_of(is_open, rng)
        steps = distances(is_open[None], start[None])[0]
        if steps.max() < low:  # move the start to a dead end as far away as possible
            start = _one_of(steps == steps.max(), rng)
            steps = distances(is_open[None], start[None])[0]
        longest = max(longest, steps.max())
        goals = (steps >= max(low, 1)) & (steps <= high)
        for _ in range(min(_GOALS_PER_MAZE, goals.sum())):
            goal = _one_of(goals, rng)
            path = on_shortest_paths(is_open[None], start[None], goal[None])[0]
            if path.sum() == steps[goal].item() + 1:
                return _maze(is_open, start, goal, path)
    raise ValueError(
        f"found no {size}x{size} maze with one shortest path of {low:g} to {high:g} steps in "
        f"{_MAX_ATTEMPTS} attempts (loops={loops:g}), the longest path had {longest}; ask for a "
        "larger size or a wider range of difficulty"
    )


def _carve(size: int, loops: float, rng: np.random.Generator) -> np.ndarray:
    """Returns the open cells of a maze, which are all connected, bool `[size, size]`."""
    num_rooms = (size - 1) // 2
    first = rng.integers(0, size - 2 * num_rooms, 2) + 1  # an even size has a row to spare
    is_open = np.zeros((size, size), bool)
    rooms = is_open[first[0] :, first[1] :][: 2 * num_rooms - 1, : 2 * num_rooms - 1]
    position = tuple(2 * rng.integers(0, num_rooms, 2))
    rooms[position] = True
    trail, turns = [position], iter(rng.random(4 * num_rooms**2))
    while trail:
        row, column = trail[-1]
        around = ((row - 2, column), (row + 2, column), (row, column - 2), (row, column + 2))
        free = [
            (r, c)
            for r, c in around
            if 0 <= r < len(rooms) and 0 <= c < len(rooms) and not rooms[r, c]
        ]
        if not free:
            trail.pop()
            continue
        room = free[int(next(turns) * len(free))]
        rooms[(row + room[0]) // 2, (column + room[1]) // 2] = rooms[room] = True
        trail.append(room)
    rows, columns = np.indices(rooms.shape)
    between_rooms = (rows + columns) % 2 == 1
    rooms |= between_rooms & (rng.random(rooms.shape) < loops)
    return is_open


def _one_of(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    chosen = np.zeros(cells.size, bool)
    chosen[rng.choice(np.flatnonzero(cells))] = True
    return chosen.reshape(cells.shape)


def _maze(is_open: np.ndarray, start: np.ndarray, goal: np.ndarray, path: np.ndarray) -> Puzzle:
    question = np.where(is_open, OPEN, WALL).astype(np.uint8)
    question[start], question[goal] = START, GOAL
    answer = np.where(path & (question == OPEN), PATH, question).astype(np.uint8)
    return Puzzle(question.reshape(-1), answer.reshape(-1), int(path.sum()) - 1)
