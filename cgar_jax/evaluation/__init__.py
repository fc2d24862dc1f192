"""Scores and solutions: what counts as right, how right a model is, and solving with proof."""

from cgar_jax.evaluation.evaluator import Evaluator, Predictions, accuracy_by_difficulty
from cgar_jax.evaluation.solver import Solution, Solver
from cgar_jax.recursion.correctness import Correctness, correctness

__all__ = [
    "Correctness",
    "Evaluator",
    "Predictions",
    "Solution",
    "Solver",
    "accuracy_by_difficulty",
    "correctness",
]
