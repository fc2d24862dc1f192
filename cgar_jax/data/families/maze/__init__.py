"""Square mazes: rules, exact solver, generator, symmetries and text.

No two splits share the walls of a maze, not even rotated or mirrored.
"""

from cgar_jax.data.families.maze.family import MazeRules, MazeSource
from cgar_jax.data.families.maze.generation import generate
from cgar_jax.data.families.maze.grid import decode, encode, solve
from cgar_jax.data.families.maze.solver import distances, on_shortest_paths, one_shortest_path

__all__ = [
    "MazeRules",
    "MazeSource",
    "decode",
    "distances",
    "encode",
    "generate",
    "on_shortest_paths",
    "one_shortest_path",
    "solve",
]
