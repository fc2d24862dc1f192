"""The learning rate as a function of the optimizer update.

>>> from cgar_jax import optimizers
>>> rate = optimizers.learning_rate_schedule(1.0, warmup_steps=2, total_steps=6)
>>> [round(float(rate(index)), 2) for index in range(3)]
[0.5, 1.0, 1.0]

Warm-up and decay of the learning rate belong here; optimizers take the result as `learning_rate`.
"""

from typing import Any, Literal

import optax

from cgar_jax._core.ranges import check_integer, check_number
from cgar_jax._core.registry import check_name


def shortened_warmup(warmup_steps: int, total_steps: int) -> int:
    """Returns the length of a warm-up: half of the run if it would not end before the run.

    `learning_rate_schedule` uses it, so that one setting shortens a run.

    Args:
      warmup_steps: number of updates of the warm-up that was asked for.
      total_steps: number of updates of the run.

    Returns:
      The number of updates of the warm-up.

    Example:
      >>> from cgar_jax import optimizers
      >>> optimizers.shortened_warmup(100, 1000), optimizers.shortened_warmup(2000, 1000)
      (100, 500)
    """
    return warmup_steps if warmup_steps < total_steps else total_steps // 2


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
      learning_rate: peak learning rate, at least 0.
      warmup_steps: number of updates until the peak; 0 starts at the peak. A warm-up that does
        not end before the run is shortened to half of it, so that one setting shortens a run.
      total_steps: number of updates of the run.
      schedule: `"constant"` (TRM; `final_fraction` is ignored) or `"cosine"`.
      final_fraction: fraction of the peak that remains at the last update, in [0, 1].

    Returns:
      An optax schedule, from the update's index (which optax counts from 0) to the learning rate.

    Raises:
      ValueError: if `schedule` is unknown or a setting is out of its range.

    Example:
      >>> from cgar_jax import optimizers
      >>> rate = optimizers.learning_rate_schedule(1.0, 2, 6, schedule="cosine")
      >>> [round(float(rate(index)), 2) for index in range(6)]
      [0.5, 1.0, 0.85, 0.5, 0.15, 0.0]

    Reference:
      The published code of TRM, Jolicoeur-Martineau, 2025, arXiv 2510.04871.
    """
    check_name("schedule", schedule, ("constant", "cosine"))
    owner = "learning_rate_schedule"
    check_number(owner, "learning_rate", learning_rate, "[0, inf)")
    check_integer(owner, "warmup_steps", warmup_steps, "[0, inf)")
    check_integer(owner, "total_steps", total_steps, "[1, inf)")
    check_number(owner, "final_fraction", final_fraction, "[0, 1]")
    warmup_steps = shortened_warmup(warmup_steps, total_steps)
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
