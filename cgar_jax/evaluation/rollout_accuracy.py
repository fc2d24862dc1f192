"""Accuracy as a function of the numbers of supervision steps and of noisy rollouts.

All rollouts run once, for all their steps, and are kept in a `Record`; the accuracies of fewer and
shorter rollouts are read from the same record.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from cgar_jax.evaluation.solver import (
    WINDOW,
    RolloutOptions,
    Verify,
    asked,
    chosen_rollout,
    mean_residual,
)
from cgar_jax.models import ModelParams
from cgar_jax.recursion import Prediction, Reasoner, Rollouts

CHOICES = ("pass", "halting", "first_halting", "majority", "residual", "verified")
"""The ways to choose among rollouts whose accuracies are measured, see `accuracies`."""


class Record(NamedTuple):
    """The outcome of rollouts after each supervision step; arrays `[steps, num, rollouts]`.

    Attributes:
      right: bool, whether the answer equals the label.
      accepted: bool, whether the answer obeys the rules.
      halt_logits: float32.
      answers: int64 hashes, equal for equal answers to the same puzzle.
      residuals: float32, how far the step has moved the logits.
    """

    right: np.ndarray
    accepted: np.ndarray
    halt_logits: np.ndarray
    answers: np.ndarray
    residuals: np.ndarray


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
      options: number of rollouts, what makes them differ, batch size and seed.
      on_progress: called with the number of newly finished puzzles.
    """
    steps, size = reasoner.supervision_steps, options.batch_size
    noise, views = options.noise_for_rollouts(), options.views()
    parts = []
    for start in range(0, len(examples["inputs"]), size):
        indices = np.arange(start, min(start + size, len(examples["inputs"])))
        rows = np.pad(indices, (0, size - len(indices)), mode="edge")
        plain = Rollouts.plain(examples["inputs"][rows], examples["puzzle_identifiers"][rows])
        rollouts = plain._replace(puzzle_indices=rows).repeated(options.num_rollouts)
        copies = asked(views, rollouts.inputs, (size, options.num_rollouts))
        rollouts = rollouts._replace(inputs=copies)
        states = reasoner.empty_states(len(rollouts.inputs))
        _, found = reasoner.run(params, states, rollouts, noise)
        by_puzzle = (steps, size, options.num_rollouts)
        found = (x.reshape(*by_puzzle, *x.shape[2:]) for x in jax.device_get(found))
        found = Prediction(*(x[:, : len(indices)] for x in found))
        if views is not None:
            answers = found.answers.reshape(-1, *found.answers.shape[2:])
            found = found._replace(answers=views.undo(answers).reshape(found.answers.shape))
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
      with the highest halting logit is right. `first_halting`: the answer of the first rollout
      with a positive halting logit is right (of several, the highest logit; of none, the first
      rollout's last answer). `majority`: the most frequent last answer is right (ties go to the
      highest halting logit). `residual`: the last answer of the rollout that moved least in the
      last steps is right. `verified`: an answer that obeys the rules came up at any step of any
      rollout, as when solving with a verifier.
    """
    until = Record(*(column[:supervision_steps, :, :num_rollouts] for column in found))
    last = Record(*(column[-1] for column in until))
    motion = mean_residual(np.moveaxis(until.residuals[-WINDOW:], 0, -1))

    def share(choose):
        picked = [
            right[chosen_rollout(answers[:, None], logits, np.zeros_like(right), moved, choose)]
            for right, logits, answers, moved in zip(
                last.right, last.halt_logits, last.answers, motion, strict=True
            )
        ]
        return float(np.mean(picked))

    return {
        "pass": float(last.right.any(1).mean()),
        "halting": share("halting"),
        "first_halting": float(_right_when_first_halted(until).mean()),
        "majority": share("majority"),
        "residual": share("residual"),
        "verified": float(until.accepted.any((0, 2)).mean()),
    }


def _right_when_first_halted(found: Record) -> np.ndarray:
    """Returns whether the answer of the first rollout that halts is right, bool `[num]`."""
    puzzles = np.arange(found.right.shape[1])
    halts = (found.halt_logits > 0).any(2)  # [steps, num]
    step = np.where(halts.any(0), halts.argmax(0), len(halts) - 1)
    rollout = np.where(halts.any(0), found.halt_logits[step, puzzles].argmax(1), 0)
    return found.right[step, puzzles, rollout]


def mean_steps_until(ends: np.ndarray, supervision_steps: int, num_rollouts: int) -> float:
    """Averages the supervision steps per puzzle if all its rollouts end once one of them ends.

    Args:
      ends: whether each rollout would end after each step, bool `[steps, num, rollouts]`.
      supervision_steps: budget of each rollout.
      num_rollouts: K, number of rollouts of each puzzle.

    Returns:
      The mean number of steps over the puzzles, summed over the rollouts of each.
    """
    any_ends = ends[:supervision_steps, :, :num_rollouts].any(2)
    steps = np.where(any_ends.any(0), any_ends.argmax(0) + 1, supervision_steps)
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
      per puzzle), `flops_until_halted` (the same if a puzzle ends once one of its rollouts halts)
      and `flops_until_verified` (if it ends with its first answer that obeys the rules).
    """
    model = reasoner.model
    step_flops = reasoner.depth.network_calls * model.network_flops() + model.heads_flops()
    return [
        {
            "rollouts": num_rollouts,
            "steps": num_steps,
            **accuracies(found, num_steps, num_rollouts),
            "flops": num_rollouts * num_steps * step_flops,
            "flops_until_halted": step_flops
            * mean_steps_until(found.halt_logits > 0, num_steps, num_rollouts),
            "flops_until_verified": step_flops
            * mean_steps_until(found.accepted, num_steps, num_rollouts),
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
    return Record(right, accepted, found.halt_logits, hashes, found.residuals)
