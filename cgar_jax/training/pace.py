"""The pace of a run: seconds per step, time left, and the number of steps per dispatch.

Speed is measured in seconds per model FLOP, so that one measurement predicts the stages of other
depths too. Dispatches are kept so short that a run can stop soon after a signal; they never change
what is computed.
"""

import collections
import math
import statistics
from collections.abc import Callable, Sequence

from cgar_jax.curricula import Stage, StageDepth, as_depth_choice
from cgar_jax.training import processes

TARGET_SECONDS = 4.0  # duration of a dispatch
# The host lets one dispatch run ahead only if dispatches are shorter: with longer ones, that would
# save nothing noticeable, and a signal would have to wait for two of them.
BRIEF_SECONDS = 1.0
# A first dispatch includes one-off costs of the device; if it is longer, they hardly matter.
_LONG_FIRST_SECONDS = 5.0
_NUM_MEASUREMENTS = 15


class Pace:
    """Measures dispatches, and predicts the duration of the remaining steps."""

    def __init__(self, stages: Sequence[Stage], step_flops: Callable[[StageDepth], float]):
        """Starts without a measurement.

        Args:
          stages: the curriculum in optimizer steps.
          step_flops: model FLOPs of an optimizer step at a depth.
        """
        self._stages, self._step_flops = stages, step_flops
        # Seconds per FLOP of the last dispatches; their median ignores a single slow one.
        self._rates: collections.deque[float] = collections.deque(maxlen=_NUM_MEASUREMENTS)
        self._agreed_rate: float | None = None
        self._num_dispatches, self._first_seconds = 0, 0.0

    def measure(self, flops: float, seconds: float) -> None:
        """Adds the measurement of one dispatch.

        Args:
          flops: model FLOPs of its steps.
          seconds: duration.
        """
        self._num_dispatches += 1
        if self._num_dispatches == 1:
            self._first_seconds = seconds
        elif self._num_dispatches == 2:
            self._rates.clear()
        self._rates.append(seconds / max(flops, 1.0))
        # All processes must choose the same sizes. They agree at ever longer intervals,
        # because each agreement makes every process wait for its devices.
        power_of_two = self._num_dispatches & (self._num_dispatches - 1) == 0
        if power_of_two or not processes.several():
            self._agreed_rate = processes.from_first(self._rate)

    def dispatch_size(self, depth: StageDepth, most: int) -> int:
        """Returns the number of steps of the next dispatch: 1 until there is a measurement.

        Args:
          depth: depth of the stage.
          most: upper limit; dispatches of the returned size divide it about evenly.
        """
        if self._agreed_rate is None:
            return 1
        fitting = int(TARGET_SECONDS / max(self._agreed_seconds(depth), 1e-9))
        num_dispatches = math.ceil(most / min(max(fitting, 1), most))
        return math.ceil(most / num_dispatches)

    def is_brief(self, depth: StageDepth, num_steps: int) -> bool:
        """Returns whether a dispatch is short enough for the host to prepare the next one."""
        if self._agreed_rate is None:
            return False
        return num_steps * self._agreed_seconds(depth) < BRIEF_SECONDS

    def seconds_left(self, step: int) -> float | None:
        """Returns the predicted duration of all steps from `step` on; None if not yet known."""
        if not self._rates:
            return None
        if self._num_dispatches == 1 and self._first_seconds < _LONG_FIRST_SECONDS:
            return None
        flops = sum(
            max(stage.end_step - max(stage.first_step, step), 0) * self._step_flops(stage.depth)
            for stage in self._stages
        )
        return flops * self._rate

    @property
    def _rate(self) -> float:
        return statistics.median(self._rates)

    def _agreed_seconds(self, depth: StageDepth) -> float:
        """Returns the seconds of a step at the deepest depth that a stage may choose."""
        draws = as_depth_choice(depth).draws
        return max(self._step_flops(drawn) for _, drawn in draws) * self._agreed_rate
