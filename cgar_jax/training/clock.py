"""The time that a run has spent, kept in its checkpoints."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator


@dataclasses.dataclass
class Clock:
    """Seconds and FLOPs that a run has spent so far, including the time before it was resumed."""

    train_seconds: float = 0.0
    compile_seconds: float = 0.0
    train_flops: float = 0.0  # model FLOPs, see `TrainStep.step_flops`
    data_seconds: float = 0.0  # the part of train_seconds in which the host waited for examples


class Stopwatch:
    """Adds the time that is spent in training to a clock, from the moment it is created."""

    def __init__(self, clock: Clock):
        """Starts to count.

        Args:
          clock: clock to update.
        """
        self._clock = clock
        self._since: float | None = time.monotonic()

    def lap(self) -> None:
        """Adds the time since the last lap, unless the stopwatch is paused."""
        if self._since is not None:
            now = time.monotonic()
            self._clock.train_seconds += now - self._since
            self._since = now

    def pause(self) -> None:
        """Stops counting."""
        self.lap()
        self._since = None

    def resume(self) -> None:
        """Starts counting again."""
        self._since = time.monotonic()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Adds the duration of the block to the time spent waiting for data."""
        begin = time.monotonic()
        yield
        self._clock.data_seconds += time.monotonic() - begin

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Adds the duration of the block to the time spent compiling, and not to the training."""
        self.pause()
        begin = time.monotonic()
        try:
            yield
        finally:
            self._clock.compile_seconds += time.monotonic() - begin
            self.resume()
