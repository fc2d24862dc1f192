"""Evaluation: scores of trained models, and solutions with proof.

An evaluator scores a model on examples, the solver answers puzzles and verifies the answers, the
search proves the answers of candidate models, `rollout_accuracy` measures the accuracy that more
computation buys, and `voting` combines the answers to variants of one question. This package does
not import training; pictures and tables are in `reporting`.
"""

from cgar_jax.evaluation.accuracy import StepPredictions, accuracy_by_difficulty
from cgar_jax.evaluation.candidate_evaluator import CandidateEvaluator
from cgar_jax.evaluation.evaluator import Evaluator
from cgar_jax.evaluation.search import Proof, Search, SearchOptions
from cgar_jax.evaluation.search_trajectory import SearchEvent, SearchTrajectory
from cgar_jax.evaluation.solver import RolloutOptions, Solution, Solver, SolverOptions

__all__ = [
    "CandidateEvaluator",
    "Evaluator",
    "Proof",
    "RolloutOptions",
    "Search",
    "SearchEvent",
    "SearchOptions",
    "SearchTrajectory",
    "Solution",
    "Solver",
    "SolverOptions",
    "StepPredictions",
    "accuracy_by_difficulty",
]
