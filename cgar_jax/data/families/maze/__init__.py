"""Square mazes: rules, exact solver, generator, symmetries and text.

Splits never share the walls of a maze, not even turned or mirrored.
"""

from cgar_jax.data.families.maze.generation import generate
from cgar_jax.data.families.maze.grid import answer_faults, decode, encode, question_faults, solve
from cgar_jax.data.families.maze.puzzles import Mazes, split_class
from cgar_jax.data.families.maze.solver import distances, on_shortest_paths, one_shortest_path

__all__ = [
    "Mazes",
    "answer_faults",
    "decode",
    "distances",
    "encode",
    "generate",
    "on_shortest_paths",
    "one_shortest_path",
    "question_faults",
    "solve",
    "split_class",
]
