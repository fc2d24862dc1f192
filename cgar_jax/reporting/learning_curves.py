"""Learning curves and further signals of training, read from the metrics log of a run."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cgar_jax.reporting.estimates import Estimate

VALIDATED = "validation/exact_accuracy"


class LearningCurve(NamedTuple):
    """The course of a training run; all steps are optimizer steps, and missing numbers are NaN.

    Attributes:
      steps: step of each log entry.
      losses: mean training loss since the previous entry.
      validated_steps: step of each validation.
      accuracies: exact accuracy of each validation, with its interval.
      validated_flops: model FLOPs of training until each validation.
      stages: stages of the curriculum: depth, first step, and the step after the last.
    """

    steps: Sequence[int]
    losses: Sequence[float]
    validated_steps: Sequence[int]
    accuracies: Estimate
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
        accuracies=_accuracies(validations),
        validated_flops=[spent.get(entry["step"], math.nan) for entry in validations],
        stages=_stages(trained),
    )


class TrainingSignals(NamedTuple):
    """Further numbers of each log entry of a run; missing ones are NaN.

    Attributes:
      steps: optimizer step of each log entry.
      learning_rates: learning rate at this step, from the config.
      gradient_norms: mean gradient norm since the previous entry.
      halting_accuracies: share of finished examples whose halting decision was right.
      speeds: examples per second of training since the previous entry.
    """

    steps: Sequence[int]
    learning_rates: Sequence[float]
    gradient_norms: Sequence[float]
    halting_accuracies: Sequence[float]
    speeds: Sequence[float]

    @property
    def has_halting(self) -> bool:
        """Whether the model decides when to halt, and the log says how well."""
        return bool(np.isfinite(self.halting_accuracies).any())


def read_training_signals(
    metrics: Sequence[Mapping[str, Any]], schedule: Callable[[int], Any], batch_size: int
) -> TrainingSignals:
    """Extracts further signals of training from a metrics log.

    Args:
      metrics: entries of the log, see `cgar_jax.runs.read_metrics`.
      schedule: learning rate by index of the update, from 0.
      batch_size: number of examples per step.
    """
    trained = [entry for entry in metrics if "loss" in entry]
    steps = [entry["step"] for entry in trained]
    seconds = np.diff([0.0, *(entry["train_seconds"] for entry in trained)])
    return TrainingSignals(
        steps=steps,
        learning_rates=[float(schedule(step - 1)) for step in steps],
        gradient_norms=[_number(entry.get("gradient_norm")) for entry in trained],
        halting_accuracies=[_number(entry.get("halting_accuracy")) for entry in trained],
        speeds=(
            batch_size * np.diff([0, *steps]) / np.where(seconds > 0, seconds, np.nan)
        ).tolist(),
    )


def _accuracies(validations: Sequence[Mapping[str, Any]]) -> Estimate:
    unknown = (None, None)
    bounds = [entry.get(f"{VALIDATED}_interval", unknown) for entry in validations]
    low, high = np.reshape([[_number(end) for end in pair] for pair in bounds], (-1, 2)).T
    return Estimate(np.array([_number(entry[VALIDATED]) for entry in validations]), low, high)


def _stages(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    last_steps = {}
    for entry in entries:
        last_steps[entry["depth"]] = entry["step"]
    ends = (0, *last_steps.values())
    return [(depth, *ends[i : i + 2]) for i, depth in enumerate(last_steps)]


def _number(value: float | None) -> float:
    return math.nan if value is None else value  # The log has null for NaN, which JSON lacks.
