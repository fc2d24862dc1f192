"""Metrics of a training step, and their means over the steps of a dispatch."""

from typing import Any

import jax
import jax.numpy as jnp

from cgar_jax.recursion import halting
from cgar_jax.training.forward import StepOutput

# These are summed over the examples that finished in a step; all other metrics over the steps.
PER_FINISHED_EXAMPLE = (
    "exact_accuracy",
    "cell_accuracy",
    "halting_accuracy",
    "supervision_steps",
)


def batch_metrics(
    output: StepOutput, info: dict[str, Any], carry: halting.Carry
) -> dict[str, jax.Array]:
    """Computes the metrics of one step.

    As in the published code, accuracies are sums over the examples that halted in this step.

    Args:
      output: result of the supervision step.
      info: statistics of the loss weights by loss term, as from `weighting.weighted_mean`.
      carry: slots after the step.
    """
    right = output.right
    finished = carry.halted & right.counts
    predicts_solved = output.halt_logits > 0

    def total(values):
        return jnp.sum(jnp.where(finished, values, 0), dtype=jnp.float32)

    metrics = {f"{name}_loss": jnp.mean(values) for name, values in output.losses.items()}
    for term, statistics in info.items():
        spread = statistics._asdict().items()
        metrics |= {f"{term}_weight_{name}": value for name, value in spread}
    return metrics | {
        "finished": total(1),
        "exact_accuracy": total(right.exact),
        "cell_accuracy": total(right.cell_accuracy),
        "halting_accuracy": total(predicts_solved == right.exact),
        "supervision_steps": total(carry.supervision_step),
    }


def finish_metrics(sums: dict[str, Any]) -> dict[str, float]:
    """Returns means of the metrics that `TrainStep.run` has summed.

    Metrics in `PER_FINISHED_EXAMPLE` are divided by the number of finished examples, all others by
    the number of steps. A mean over zero examples is NaN.

    Args:
      sums: sums of the metrics, with their counts `steps` and `finished`.

    Returns:
      The means, and `examples_finished`.
    """
    sums = {name: float(value) for name, value in sums.items()}
    steps, finished = sums.pop("steps"), sums.pop("finished")

    def mean(name, value):
        count = finished if name in PER_FINISHED_EXAMPLE else steps
        return value / count if count else float("nan")

    return {name: mean(name, value) for name, value in sums.items()} | {
        "examples_finished": finished
    }
