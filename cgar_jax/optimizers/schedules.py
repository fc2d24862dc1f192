"""The learning rate over training."""

from typing import Literal

import chex
import optax

from cgar_jax._core.registry import check_name


def learning_rate_schedule(
    learning_rate: float,
    warmup_steps: int,
    total_steps: int,
    schedule: Literal["constant", "cosine"] = "constant",
    final_fraction: float = 0.0,
) -> optax.Schedule:
    """Linear warm-up, then constant or a half cosine down to a fraction of the peak.

    With ``k = 1, 2, ...`` the number of the update: ``lr k / warmup_steps`` up to ``warmup_steps``;
    then ``lr``, or ``lr (f + (1 - f)(1 + cos(pi q)) / 2)`` with ``f = final_fraction`` and
    ``q = (k - warmup_steps) / (total_steps - warmup_steps)``. The first update is not wasted on a
    learning rate of 0, and the last one has exactly ``f lr``.

    Args:
      learning_rate: the peak, positive.
      warmup_steps: updates until the peak; 0 starts there.
      total_steps: updates in all, more than ``warmup_steps``.
      schedule: ``"constant"`` (TRM; ``final_fraction`` is not used) or ``"cosine"``.
      final_fraction: in [0, 1], what is left of the peak at the last update.

    Returns:
      An optax schedule: from the update's index, which optax counts from 0, to the learning rate.

    Raises:
      ValueError: a setting out of its range; a run that would end within its warm-up.

    Source: the published code of TRM, arXiv 2510.04871; certain.
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

    def at_update(count: chex.Numeric) -> chex.Numeric:
        return after(count + 1)

    return at_update
