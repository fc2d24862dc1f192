"""Accuracy as a function of the numbers of supervision steps and of noisy rollouts.

All rollouts run once, for all their steps, and are kept in a `Record`; the accuracies of fewer and
shorter rollouts are read from the same record.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from cgar_jax.evaluation.solver import RolloutOptions, Verify, chosen_rollout
from cgar_jax.models import ModelParams
from cgar_jax.recursion import Prediction, Reasoner, Rollouts


class Record(NamedTuple):
    """The outcome of rollouts after each supervision step; arrays `[steps, num, rollouts]`.

    Attributes:
      right: bool, whether the answer equals the label.
      accepted: bool, whether the answer obeys the rules.
      halt_logits: float32.
      answers: int64 hashes, equal for equal answers to the same puzzle.
    """

    right: np.ndarray
    accepted: np.ndarray
    halt_logits: np.ndarray
    answers: np.ndarray


def record(
    reasoner: Reasoner,
    params: ModelParams,
    examples: Mapping[str, np.ndarray],
    verify: Verify | None,
    options: RolloutOptions,
    on_progress: Callable[[int], None] = lambda num_done: None,
) -> Record:
    """Runs rollouts of some puzzles for all supervision steps of the reasoner.

    Args:
      reasoner: the model with its depth, number of supervision steps and mesh.
      params: parameters of the model.
      examples: arrays `[num, ...]` named `inputs`, `labels` and `puzzle_identifiers`.
      verify: checks answers by the rules; None accepts only the labeled answer.
      options: number of rollouts, noise, batch size and seed.
      on_progress: called with the number of newly finished puzzles.
    """
    steps, size = reasoner.supervision_steps, options.batch_size
    noise = options.noise_for_rollouts()
    parts = []
    for start in range(0, len(examples["inputs"]), size):
        indices = np.arange(start, min(start + size, len(examples["inputs"])))
        asked = np.pad(indices, (0, size - len(indices)), mode="edge")
        plain = Rollouts.plain(examples["inputs"][asked], examples["puzzle_identifiers"][asked])
        rollouts = plain._replace(puzzle_indices=asked).repeated(options.num_rollouts)
        states = reasoner.empty_states(len(rollouts.inputs))
        _, found = reasoner.run(params, states, rollouts, noise)
        by_puzzle = (steps, size, options.num_rollouts)
        found = (x.reshape(*by_puzzle, *x.shape[2:]) for x in jax.device_get(found))
        found = Prediction(*(x[:, : len(indices)] for x in found))
        parts.append(_judged(found, examples, indices, verify))
        on_progress(len(indices))
    return Record(*(np.concatenate(column, axis=1) for column in zip(*parts, strict=True)))


def accuracies(found: Record, supervision_steps: int, num_rollouts: int) -> dict[str, float]:
    """Computes the accuracies of the first rollouts, each ended after some supervision steps.

    Args:
      found: a record of at least as many rollouts and steps.
      supervision_steps: number of steps of each rollout.
      num_rollouts: K, number of rollouts of each puzzle.

    Returns:
      Shares of the puzzles. `pass`: one of the K last answers is right. `halting`: the last answer
      with the highest halting logit is right. `majority`: the most frequent last answer is right
      (ties go to the highest halting logit). `verified`: an answer that obeys the rules came up
      at any step of any rollout, as when solving with a verifier.
    """
    last = Record(*(column[supervision_steps - 1, :, :num_rollouts] for column in found))

    def share(choose):
        picked = [
            right[chosen_rollout(answers[:, None], logits, np.zeros_like(right), choose)]
            for right, _, logits, answers in zip(*last, strict=True)
        ]
        return float(np.mean(picked))

    accepted = found.accepted[:supervision_steps, :, :num_rollouts]
    return {
        "pass": float(last.right.any(1).mean()),
        "halting": share("halting"),
        "majority": share("majority"),
        "verified": float(accepted.any((0, 2)).mean()),
    }


def mean_steps_to_verified(found: Record, supervision_steps: int, num_rollouts: int) -> float:
    """Averages the supervision steps per puzzle if all its rollouts end once one is verified.

    Args:
      found: as for `accuracies`.
      supervision_steps: budget of each rollout.
      num_rollouts: K, number of rollouts of each puzzle.

    Returns:
      The mean number of steps over the puzzles, summed over the rollouts of each.
    """
    right = found.accepted[:supervision_steps, :, :num_rollouts].any(2)
    steps = np.where(right.any(0), right.argmax(0) + 1, supervision_steps)
    return float(steps.mean() * num_rollouts)


def accuracy_and_cost(
    reasoner: Reasoner, found: Record, rollouts: Sequence[int], steps: Sequence[int]
) -> list[dict[str, float]]:
    """Tabulates accuracy and cost for each number of rollouts and of supervision steps.

    Args:
      reasoner: the model that made the record.
      found: a record of at least as many rollouts and steps.
      rollouts: numbers of rollouts per puzzle.
      steps: numbers of supervision steps per rollout.

    Returns:
      For each pair a dictionary with `rollouts`, `steps`, the `accuracies`, `flops` (model FLOPs
      per puzzle) and `flops_until_verified` (the same if a puzzle ends with its first answer that
      obeys the rules).
    """
    model = reasoner.model
    step_flops = reasoner.depth.network_calls * model.network_flops() + model.heads_flops()
    return [
        {
            "rollouts": num_rollouts,
            "steps": num_steps,
            **accuracies(found, num_steps, num_rollouts),
            "flops": num_rollouts * num_steps * step_flops,
            "flops_until_verified": step_flops
            * mean_steps_to_verified(found, num_steps, num_rollouts),
        }
        for num_rollouts in rollouts
        for num_steps in steps
    ]


def standard_error(accuracy: float, num: int) -> float:
    """Computes the standard error of a share found on `num` puzzles: `sqrt(p (1 - p) / num)`."""
    return math.sqrt(accuracy * (1 - accuracy) / num)


def _judged(
    found: Prediction,
    examples: Mapping[str, np.ndarray],
    indices: np.ndarray,
    verify: Verify | None,
) -> Record:
    answers = found.answers
    labels = examples["labels"][indices][None, :, None]
    right = (answers == labels).all(-1)
    accepted = right
    if verify is not None:
        questions = examples["inputs"][indices][None, :, None]
        questions = np.broadcast_to(questions, answers.shape).reshape(-1, answers.shape[-1])
        accepted = verify(questions, answers.reshape(questions.shape)).reshape(right.shape)
    # Each token of each cell has a random number. Different answers have equal sums with
    # probability 2**-64.
    table = np.random.default_rng(0).integers(2**63, size=(answers.shape[-1], 256))
    hashes = table[np.arange(answers.shape[-1]), answers].sum(-1)
    return Record(right, accepted, found.halt_logits, hashes)
