"""The learning rate as a function of the optimizer update.

>>> from cgar_jax import optimizers
>>> rate = optimizers.learning_rate_schedule(1.0, warmup_steps=2, total_steps=6)
>>> [round(float(rate(index)), 2) for index in range(3)]
[0.5, 1.0, 1.0]

Warm-up and decay of the learning rate belong here; optimizers take the result as `learning_rate`.
"""

from typing import Any, Literal

import optax

from cgar_jax._core.registry import check_name


def learning_rate_schedule(
    learning_rate: float,
    warmup_steps: int,
    total_steps: int,
    schedule: Literal["constant", "cosine"] = "constant",
    final_fraction: float = 0.0,
) -> optax.Schedule:
    """Returns a linear warm-up, followed by a constant rate or a half cosine.

        k <= warmup_steps:  lr k / warmup_steps
        afterwards:         lr,   or   lr (f + (1 - f)(1 + cos(pi q)) / 2)

    where `k = 1, 2, ...` is the number of the update, `f = final_fraction` and
    `q = (k - warmup_steps) / (total_steps - warmup_steps)`. The first update is not wasted on a
    learning rate of 0, and the last update has exactly `f lr`.

    Args:
      learning_rate: peak learning rate, positive.
      warmup_steps: number of updates until the peak; 0 starts at the peak.
      total_steps: number of updates of the run, more than `warmup_steps`.
      schedule: `"constant"` (TRM; `final_fraction` is ignored) or `"cosine"`.
      final_fraction: fraction of the peak that remains at the last update, in [0, 1].

    Returns:
      An optax schedule, from the update's index (which optax counts from 0) to the learning rate.

    Raises:
      ValueError: if `schedule` is unknown, a setting is out of range, or the warm-up does not end
        before the run.

    Example:
      >>> from cgar_jax import optimizers
      >>> rate = optimizers.learning_rate_schedule(1.0, 2, 6, schedule="cosine")
      >>> [round(float(rate(index)), 2) for index in range(6)]
      [0.5, 1.0, 0.85, 0.5, 0.15, 0.0]

    Reference:
      The published code of TRM, Jolicoeur-Martineau, 2025, arXiv 2510.04871.
    """
    check_name("schedule", schedule, ("constant", "cosine"))
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"warmup_steps is {warmup_steps}, but it must be at least 0 and less than the "
            f"{total_steps} steps of the run; shorten the warm-up or lengthen the run"
        )
    if not 0 <= final_fraction <= 1:
        raise ValueError(f"final_fraction is {final_fraction}, but it must be in [0, 1]")
    after = (
        optax.constant_schedule(learning_rate)
        if schedule == "constant"
        else optax.cosine_decay_schedule(learning_rate, total_steps - warmup_steps, final_fraction)
    )
    if warmup_steps > 0:
        warmup = optax.linear_schedule(0.0, learning_rate, warmup_steps)
        after = optax.join_schedules([warmup, after], [warmup_steps])

    def at_update(count: Any) -> Any:
        return after(count + 1)

    return at_update
