"""Scores: what counts as right, and the accuracy of a model on a set of puzzles."""

from cgar_jax.evaluation.evaluator import Evaluator, Predictions, accuracy_by_difficulty
from cgar_jax.evaluation.metrics import Correctness, correctness

__all__ = ["Correctness", "Evaluator", "Predictions", "accuracy_by_difficulty", "correctness"]
