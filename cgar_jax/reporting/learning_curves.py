"""Learning curves, read from the metrics log of a run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

VALIDATED = "validation/exact_accuracy"


class LearningCurve(NamedTuple):
    """The course of a training run; all steps are optimizer steps, and missing numbers are NaN.

    Attributes:
      steps: step of each log entry.
      losses: mean training loss since the previous entry.
      validated_steps: step of each validation.
      accuracies: exact accuracy of each validation.
      validated_flops: model FLOPs of training until each validation.
      stages: stages of the curriculum: depth, first step, and the step after the last.
    """

    steps: Sequence[int]
    losses: Sequence[float]
    validated_steps: Sequence[int]
    accuracies: Sequence[float]
    validated_flops: Sequence[float]
    stages: Sequence[tuple[str, int, int]]


def read_learning_curve(metrics: Sequence[Mapping[str, Any]]) -> LearningCurve:
    """Extracts the learning curve from a metrics log.

    Args:
      metrics: entries of the log, see `cgar_jax.runs.read_metrics`.
    """
    trained = [entry for entry in metrics if "loss" in entry]
    validations = [entry for entry in metrics if VALIDATED in entry]
    spent = {entry["step"]: entry["train_flops"] for entry in trained}
    return LearningCurve(
        steps=[entry["step"] for entry in trained],
        losses=[_number(entry["loss"]) for entry in trained],
        validated_steps=[entry["step"] for entry in validations],
        accuracies=[_number(entry[VALIDATED]) for entry in validations],
        validated_flops=[spent[entry["step"]] for entry in validations],
        stages=_stages(trained),
    )


def _stages(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    last_steps = {}
    for entry in entries:
        last_steps[entry["depth"]] = entry["step"]
    ends = (0, *last_steps.values())
    return [(depth, *ends[i : i + 2]) for i, depth in enumerate(last_steps)]


def _number(value: float | None) -> float:
    return math.nan if value is None else value  # The log has null for NaN, which JSON lacks.
