"""Figures of a set of predictions: accuracies, their interval, and accuracy by difficulty."""

from typing import Any, NamedTuple

import numpy as np

from cgar_jax.metrics import wilson_interval
from cgar_jax.recursion import Correctness


class StepPredictions(NamedTuple):
    """The predictions for some examples after each supervision step.

    Attributes:
      answers: tokens after the last step, int32 `[num, sequence_length]`.
      halting_probabilities: after the last step, float32 `[num]`.
      halts: whether the model would halt, bool `[steps, num]`.
      exact: see `Correctness`, bool `[steps, num]`.
      cell_accuracy: see `Correctness`, float32 `[steps, num]`.
      counts: whether the example has a cell that counts, bool `[num]`.
    """

    answers: np.ndarray
    halting_probabilities: np.ndarray
    halts: np.ndarray
    exact: np.ndarray
    cell_accuracy: np.ndarray
    counts: np.ndarray


EXAMPLE_AXES = StepPredictions(0, 0, halts=1, exact=1, cell_accuracy=1, counts=0)
"""The axis of the examples in each field of `StepPredictions`."""


def figures(right: Correctness, halts: np.ndarray, halting_steps: np.ndarray) -> dict[str, Any]:
    """Computes the figures of a set of answers.

    Args:
      right: correctness of the answers, leaves `[num]`.
      halts: whether the model would halt with each answer, bool `[num]`.
      halting_steps: supervision step at which each example halted, `[num]`.

    Returns:
      `exact_accuracy`, `exact_accuracy_interval`, `cell_accuracy`, `halting_accuracy`,
      `mean_halting_step` and `num_examples`, over the examples that count.
    """
    counts = right.counts
    num = int(counts.sum())
    return {
        "exact_accuracy": mean_over(right.exact, counts),
        "exact_accuracy_interval": list(wilson_interval(int(right.exact[counts].sum()), num)),
        "cell_accuracy": mean_over(right.cell_accuracy, counts),
        "halting_accuracy": mean_over(halts == right.exact, counts),
        "mean_halting_step": mean_over(halting_steps, counts),
        "num_examples": num,
    }


def figures_by_step(predictions: StepPredictions) -> dict[str, Any]:
    """Computes `figures` after the last supervision step, and both accuracies after each step."""
    counts, halts = predictions.counts, predictions.halts
    last = Correctness(counts, predictions.exact[-1], predictions.cell_accuracy[-1])
    first_halt = np.minimum(first_halting_steps(halts), len(halts))
    return figures(last, halts[-1], first_halt) | {
        "exact_accuracy_by_step": mean_over(predictions.exact, counts),
        "cell_accuracy_by_step": mean_over(predictions.cell_accuracy, counts),
    }


def mean_over(values: np.ndarray, counts: np.ndarray) -> Any:
    """Averages the last axis over the examples that count; 0 if none does.

    Args:
      values: `[..., num]`.
      counts: bool `[num]`.

    Returns:
      A float, or nested lists of floats with the leading axes of `values`.
    """
    return (values[..., counts].sum(-1, dtype=np.float64) / max(int(counts.sum()), 1)).tolist()


def first_halting_steps(halts: np.ndarray) -> np.ndarray:
    """Finds the first supervision step, counted from 1, at which each example would halt.

    Args:
      halts: bool `[steps, num]`.

    Returns:
      int `[num]`; `steps + 1` for an example that never would.
    """
    return np.where(halts.any(0), halts.argmax(0), len(halts)) + 1


def accuracy_by_difficulty(
    exact: np.ndarray, difficulty: np.ndarray, num_groups: int = 10
) -> list[dict[str, float]]:
    """Computes the accuracy in groups of about equal size, from easy to hard.

    Examples of equal difficulty are never separated, so there are fewer groups if there are few
    different difficulties.

    Args:
      exact: bool `[num]`.
      difficulty: `[num]`.
      num_groups: maximum number of groups; 10 gives deciles.

    Returns:
      For each group its `low` and `high` difficulty, `num_examples` and `exact_accuracy`.
    """
    return [
        {
            "low": float(difficulty[group].min()),
            "high": float(difficulty[group].max()),
            "num_examples": int(group.sum()),
            "exact_accuracy": float(exact[group].mean()),
        }
        for group in difficulty_groups(difficulty, num_groups)
    ]


def difficulty_groups(difficulty: np.ndarray, num_groups: int = 10) -> list[np.ndarray]:
    """Divides examples into groups of about equal size, from easy to hard.

    Args:
      difficulty: `[num]`.
      num_groups: maximum number of groups; 10 gives deciles.

    Returns:
      Masks of the groups, bool `[num]` each.
    """
    num = len(difficulty)
    firsts = -(-np.arange(1, num_groups) * num // num_groups)  # ranks that begin a group
    begins = np.unique(np.sort(difficulty)[firsts[firsts < num]])
    group_of = np.searchsorted(begins, difficulty, side="right")
    return [group_of == group for group in np.unique(group_of)]
