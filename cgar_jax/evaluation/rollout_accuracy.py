"""Thinking longer: how accuracy grows with more supervision steps and more noisy rollouts.

All rollouts of all lengths are run once and kept; the accuracies of fewer and shorter ones are read
off the same record.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from cgar_jax.curricula import Depth
from cgar_jax.evaluation.solver import Verify, chosen
from cgar_jax.recursion.thinking import Attempt, attempt, compiled, empty_states, rows_of
from cgar_jax.training.state import Weights


class Record(NamedTuple):
    """What rollouts came to after each supervision step; arrays `[steps, num, rollouts]`."""

    right: np.ndarray  # bool, the answer is the labelled one
    accepted: np.ndarray  # bool, it obeys the rules
    halt_logits: np.ndarray  # float32
    answers: np.ndarray  # int64, equal for the same answers to a puzzle


def record(
    model: Any,
    depth: Depth,
    weights: Weights,
    examples: dict[str, np.ndarray],
    verify: Verify | None,
    *,
    num_steps: int,
    num_rollouts: int,
    noise: float,
    batch_size: int,
    seed: int = 0,
    report: Callable[[int], None] = lambda num_done: None,
) -> Record:
    """Runs the rollouts of some puzzles; all of one puzzle, all steps, in one compiled call.

    Args:
      model: a flax module of `cgar_jax.models`.
      depth: of each deep recursion.
      weights: of the model.
      examples: arrays `[num, ...]`: `inputs`, `labels`, `puzzle_identifiers`.
      verify: `(questions, answers) -> bool [num]`; None takes no answer but the labelled one.
      num_steps: supervision steps of each.
      num_rollouts: K, for each puzzle; the first without noise.
      noise: standard deviation of what is added to the latent before each deep recursion.
      batch_size: puzzles in one call.
      seed: of the noise.
      report: called with the number of puzzles that a call has done.
    """
    program = compiled(model, depth, num_steps, attempt)
    key = jax.random.key(seed)
    parts = []
    for start in range(0, len(examples["inputs"]), batch_size):
        numbers = np.arange(start, min(start + batch_size, len(examples["inputs"])))
        asked = np.pad(numbers, (0, batch_size - len(numbers)), mode="edge")
        columns = (examples[name][asked] for name in ("inputs", "puzzle_identifiers"))
        rows = rows_of(*columns, asked, np.zeros(batch_size), num_rollouts)
        states = empty_states(model, len(rows.inputs))
        _, found = program(weights, states, rows, noise, key)
        by_puzzle = (num_steps, batch_size, num_rollouts)
        found = (x.reshape(*by_puzzle, *x.shape[2:]) for x in jax.device_get(found))
        found = Attempt(*(x[:, : len(numbers)] for x in found))
        parts.append(_judged(found, examples, numbers, verify))
        report(len(numbers))
    return Record(*(np.concatenate(column, axis=1) for column in zip(*parts, strict=True)))


def accuracies(found: Record, num_steps: int, num_rollouts: int) -> dict[str, float]:
    """The accuracies of the first rollouts, each ended after so many steps.

    Args:
      found: of at least as many of both.
      num_steps: of each rollout.
      num_rollouts: K.

    Returns:
      Shares of the puzzles: `pass`, one of the K last answers is right; `halting`, that of the
      highest halting logit is; `majority`, the most frequent one is, of equally frequent ones that
      of the highest halting logit; `verified`, an answer that obeys the rules came up at any step
      of any of them: what solving with a verifier finds.
    """
    last = Record(*(column[num_steps - 1, :, :num_rollouts] for column in found))

    def share(choose):
        picked = [
            right[chosen(answers[:, None], logits, np.zeros_like(right), choose)]
            for right, _, logits, answers in zip(*last, strict=True)
        ]
        return float(np.mean(picked))

    return {
        "pass": float(last.right.any(1).mean()),
        "halting": share("halting"),
        "majority": share("majority"),
        "verified": float(found.accepted[:num_steps, :, :num_rollouts].any((0, 2)).mean()),
    }


def mean_steps_to_verified(found: Record, num_steps: int, num_rollouts: int) -> float:
    """Supervision steps per puzzle, over all its rollouts, if they end as soon as one is right.

    Args:
      found: as for `accuracies`.
      num_steps: budget of each rollout.
      num_rollouts: K.
    """
    right = found.accepted[:num_steps, :, :num_rollouts].any(2)
    steps = np.where(right.any(0), right.argmax(0) + 1, num_steps)
    return float(steps.mean() * num_rollouts)


def standard_error(accuracy: float, num: int) -> float:
    """Of a share found on `num` puzzles: sqrt(p (1 - p) / num)."""
    return math.sqrt(accuracy * (1 - accuracy) / num)


def _judged(found: Attempt, examples: dict[str, np.ndarray], numbers, verify) -> Record:
    answers = found.answers
    labels = examples["labels"][numbers][None, :, None]
    right = (answers == labels).all(-1)
    accepted = right
    if verify is not None:
        questions = examples["inputs"][numbers][None, :, None]
        questions = np.broadcast_to(questions, answers.shape).reshape(-1, answers.shape[-1])
        accepted = verify(questions, answers.reshape(questions.shape)).reshape(right.shape)
    # One random number for each token of each cell: equal sums mean equal answers, but for a chance
    # of 2**-64.
    table = np.random.default_rng(0).integers(2**63, size=(answers.shape[-1], 256))
    names = table[np.arange(answers.shape[-1]), answers].sum(-1)
    return Record(right, accepted, found.halt_logits, names)
