"""The recursion, and everything that training and evaluation share.

This room has the deep recursion and the supervision steps of any model, the halting rule, the
correctness of answers, and the `Reasoner`, which binds a model to its depth, halting rule, answer
loss and mesh. It does not depend on the trainer.
"""

from cgar_jax._core.depth import Depth
from cgar_jax.recursion.backtracking import Chains, SearchRule
from cgar_jax.recursion.candidate_reasoner import CandidateReasoner
from cgar_jax.recursion.correctness import Correctness, correctness, correctness_of_answers
from cgar_jax.recursion.deep_recursion import (
    STATES_BEFORE_GRADIENT,
    Question,
    States,
    deep_recursion,
    latent_recursion,
    supervision_step,
)
from cgar_jax.recursion.elimination import EliminationRule
from cgar_jax.recursion.halting import (
    Carry,
    HaltingRule,
    advance,
    draw_seeds,
    initial_carry,
    replace_halted,
)
from cgar_jax.recursion.hypotheses import (
    as_rows,
    best_of,
    by_example,
    by_hypothesis,
    initial_states,
    keys_by_hypothesis,
    share_answer,
)
from cgar_jax.recursion.options import (
    PLAIN,
    Draws,
    RecursionOptions,
    draw,
    keys_of_step,
)
from cgar_jax.recursion.reasoner import HaltedPredictions, Reasoner
from cgar_jax.recursion.rollouts import (
    Noise,
    Prediction,
    Rollouts,
    read_prediction,
    residual,
)
from cgar_jax.recursion.trajectory import Trajectory

__all__ = [
    "PLAIN",
    "STATES_BEFORE_GRADIENT",
    "CandidateReasoner",
    "Carry",
    "Chains",
    "Correctness",
    "Depth",
    "Draws",
    "EliminationRule",
    "HaltedPredictions",
    "HaltingRule",
    "Noise",
    "Prediction",
    "Question",
    "Reasoner",
    "RecursionOptions",
    "Rollouts",
    "SearchRule",
    "States",
    "Trajectory",
    "advance",
    "as_rows",
    "best_of",
    "by_example",
    "by_hypothesis",
    "correctness",
    "correctness_of_answers",
    "deep_recursion",
    "draw",
    "draw_seeds",
    "initial_carry",
    "initial_states",
    "keys_by_hypothesis",
    "keys_of_step",
    "latent_recursion",
    "read_prediction",
    "replace_halted",
    "residual",
    "share_answer",
    "supervision_step",
]
