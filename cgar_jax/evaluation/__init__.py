"""Evaluation: scores of trained models, and solutions with proof.

The evaluator scores a model on examples, the solver answers puzzles and verifies the answers,
`rollout_accuracy` measures what more computation is worth, and `voting` combines the answers to
variants of one question. Training is not imported here; pictures and tables are in `reporting`.
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
