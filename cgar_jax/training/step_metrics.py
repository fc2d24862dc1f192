"""Metrics of a training step, and their means over the steps of a dispatch."""

from typing import Any

import jax
import jax.numpy as jnp

from cgar_jax.training.supervision import Slots, StepOutput

# These are summed over the examples that finished in a step; all other metrics over the steps.
PER_FINISHED_EXAMPLE = (
    "exact_accuracy",
    "cell_accuracy",
    "halting_accuracy",
    "supervision_steps",
)


def loss_metrics(losses: dict[str, jax.Array], info: dict[str, Any]) -> dict[str, jax.Array]:
    """Computes the means of the losses and the statistics of their weights.

    Args:
      losses: losses of each example by loss term, `[batch]`.
      info: statistics of the loss weights by loss term, as from `weighting.weighted_mean`.
    """
    metrics = {f"{name}_loss": jnp.mean(values) for name, values in losses.items()}
    for term, statistics in info.items():
        spread = statistics._asdict().items()
        metrics |= {f"{term}_weight_{name}": value for name, value in spread}
    return metrics


def finished_metrics(where: jax.Array, output: StepOutput, slots: Slots) -> dict[str, jax.Array]:
    """Computes sums over the examples that finished in this step, as the published code does.

    Args:
      where: slots that count, bool `[batch]`.
      output: result of the forward pass.
      slots: slots after the step.
    """
    right = output.right
    finished = slots.halted & right.counts & where
    return {
        "finished": masked_sum(finished, 1),
        "exact_accuracy": masked_sum(finished, right.exact),
        "cell_accuracy": masked_sum(finished, right.cell_accuracy),
        "supervision_steps": masked_sum(finished, slots.supervision_step),
    }


def masked_sum(where: jax.Array, values: Any) -> jax.Array:
    """Returns the sum of `values` over the slots where `where`, bool `[batch]`, holds; float32."""
    return jnp.sum(jnp.where(where, values, 0), dtype=jnp.float32)


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
