"""Evaluation: scores of trained models, and solutions with proof.

The evaluator scores a model on examples, the solver answers puzzles and verifies the answers,
`rollout_accuracy` measures the accuracy that more computation buys, and `voting` combines the
answers to variants of one question. This package does not import training; pictures and tables are
in `reporting`.
"""

from cgar_jax.evaluation.accuracy import StepPredictions, accuracy_by_difficulty
from cgar_jax.evaluation.evaluator import Evaluator
from cgar_jax.evaluation.solver import RolloutOptions, Solution, Solver, SolverOptions

__all__ = [
    "Evaluator",
    "RolloutOptions",
    "Solution",
    "Solver",
    "SolverOptions",
    "StepPredictions",
    "accuracy_by_difficulty",
]
