"""The training loop: dispatches steps to the devices, reports, validates, saves and stops.

The loop only decides when something happens; the objects that are passed to it run the steps, save
the states and format the reports. While the devices work on one short dispatch,
the host already writes the metrics of the one before.
"""

import dataclasses
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from cgar_jax.curricula import PlateauDepths, Stage, StageDepth
from cgar_jax.training import processes
from cgar_jax.training.checkpoints import Checkpoints
from cgar_jax.training.clock import Clock, Stopwatch
from cgar_jax.training.feed import Span
from cgar_jax.training.pace import Pace
from cgar_jax.training.programs import Programs
from cgar_jax.training.state import TrainState
from cgar_jax.training.step_metrics import finish_metrics
from cgar_jax.training.stopping import Interrupted, StopRequested, StopSignals

# Metrics are recorded for spans of `steps_per_dispatch` steps, and more often if those take longer.
RECORD_SECONDS = 60.0


class NonFiniteError(RuntimeError):
    """The loss or a gradient became NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """The progress of a run after a dispatch.

    Attributes:
      step: optimizer steps done.
      stage: index of the curriculum stage, from 0.
      num_stages: number of stages.
      depth: depth of the recursion in this stage.
      train_seconds: time spent in training so far.
      train_flops: model FLOPs spent so far.
      metrics: means over the steps since the last record.
      is_record: whether the metrics are complete and should be kept; the next ones start afresh.
      seconds_left: predicted training time that is left, or None if it is not yet known.
    """

    step: int
    stage: int
    num_stages: int
    depth: StageDepth
    train_seconds: float
    train_flops: float
    metrics: dict[str, float]
    is_record: bool
    seconds_left: float | None


@dataclasses.dataclass(frozen=True)
class Loop:
    """The schedule of a run: when to dispatch, save and validate.

    Attributes:
      stages: the curriculum in optimizer steps, without gaps.
      programs: compiled steps by depth.
      checkpoints: storage of states.
      validate: function that is called with the state and its step; its duration does not count as
        training time.
      report: function that is called with the `Progress` after each dispatch.
      step_flops: model FLOPs of an optimizer step at a depth.
      steps_per_dispatch: largest number of steps in a dispatch.
      save_every: number of steps between checkpoints.
      validate_every: number of steps between validations; the last step is validated too, unless
        the run is shorter than this.
      stop_signals: signals that stop the run; by default, no signal does.
    """

    stages: Sequence[Stage]
    programs: Programs
    checkpoints: Checkpoints
    validate: Callable[[TrainState, int], None]
    report: Callable[[Progress], None]
    step_flops: Callable[[StageDepth], float]
    steps_per_dispatch: int
    save_every: int
    validate_every: int
    stop_signals: StopSignals = dataclasses.field(default_factory=StopSignals)

    def run(
        self, state: TrainState, feed: Callable[[list[Span]], Iterator[Any]], clock: Clock
    ) -> TrainState:
        """Trains from the step of `state` to the end of the last stage.

        Args:
          state: state to start from; its buffers are donated.
          feed: function from all spans to come to the training data of each, see
            `cgar_jax.training.feed`.
          clock: time spent so far; updated during the run.

        Raises:
          NonFiniteError: if the loss or a gradient is not finite; the message names the step, the
            metrics and the last good checkpoint.
          Interrupted: if a signal has stopped the run; the state is saved.
        """
        run = _Run(self, state, clock)
        spans = list(self._spans(run.step))
        feeding = feed(spans)
        try:
            for _, end in spans:
                run.train_until(end, feeding)
        except StopRequested:
            run.stop()
        run.finish()
        return run.state

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.stages[-1].end_step

    def stage_at(self, step: int) -> tuple[int, Stage]:
        """Returns the index of the stage that a step belongs to, and the stage."""
        return next((i, stage) for i, stage in enumerate(self.stages) if step < stage.end_step)

    def _spans(self, step: int) -> Iterator[Span]:
        """Yields the spans to come: none contains the end of a stage, a save or a validation."""

        def next_multiple(every):
            return (step // every + 1) * every

        while step < self.total_steps:
            end = min(
                step + self.steps_per_dispatch,
                self.stage_at(step)[1].end_step,
                next_multiple(self.save_every),
                next_multiple(self.validate_every),
            )
            yield step, end
            step = end


@dataclasses.dataclass(frozen=True)
class _Dispatch:
    """Steps that the devices are working on, and their metrics, which are not computed yet."""

    first_step: int
    end_step: int
    stage: int
    depth: StageDepth
    sums: dict[str, Any]
    ends_span: bool


class _Run:
    """The mutable state of one call of `Loop.run`."""

    def __init__(self, loop: Loop, state: TrainState, clock: Clock):
        self.state, self.step = state, int(state.step)
        self._loop, self._clock = loop, clock
        self._pace = Pace(loop.stages, loop.step_flops)
        self._stopwatch = Stopwatch(clock)
        self._record = _Record()
        self._progress: Progress | None = None
        self._pending: _Dispatch | None = None
        self._pending_since = 0.0
        self._num_dispatches = 0

    def train_until(self, end: int, feeding: Iterator[Any]) -> None:
        """Trains one span, then saves and validates if that is due."""
        loop = self._loop
        index, stage = loop.stage_at(self.step)
        program = self._program(stage.depth)
        if index + 1 < len(loop.stages):
            loop.programs.prepare(loop.stages[index + 1].depth)
        with self._stopwatch.waiting():
            data = next(feeding)
        while self.step < end:
            self._dispatch(program, data, end)
        saves = end % loop.save_every == 0 or end == loop.total_steps
        # A run without any validation on the way has none at its end either: it would compile.
        is_last = end == loop.total_steps and loop.validate_every <= end
        validates = end % loop.validate_every == 0 or is_last
        if saves or validates:
            self._settle()
            self._stopwatch.pause()
            if saves:
                loop.checkpoints.save(self.state, self.step, self._clock)
            if validates:
                loop.stop_signals.call("validating", loop.validate, self.state, self.step)
            self._stopwatch.resume()

    def stop(self) -> None:
        """Saves the state after a signal and raises `Interrupted`."""
        self._settle()
        if self._progress is not None and not self._progress.is_record:
            self._loop.report(dataclasses.replace(self._progress, is_record=True))
        self._stopwatch.pause()
        if self.step:
            self._loop.checkpoints.save(self.state, self.step, self._clock)
        received, newest = self._loop.stop_signals.received, self._loop.checkpoints.newest
        raise Interrupted(received, self.step, newest)

    def finish(self) -> None:
        """Saves the last state once more, in case it could not be written before."""
        self._stopwatch.pause()
        self._loop.checkpoints.save(self.state, self.step, self._clock)

    def _dispatch(self, program: Callable, data: Any, end: int) -> None:
        loop = self._loop
        index, stage = loop.stage_at(self.step)
        size = self._pace.dispatch_size(stage.depth, end - self.step)
        last = self.step + size
        began = time.monotonic()
        self.state, sums = program(self.state, data, np.int32(size))
        if self._pending is None:
            self._pending_since = began
        self._settle()
        self._pending = _Dispatch(self.step, last, index, stage.depth, sums, last == end)
        self.step = last
        loop.checkpoints.check()
        if processes.preempted(self._num_dispatches):
            loop.stop_signals.received = signal.SIGTERM
        self._num_dispatches += 1
        if not self._pace.is_brief(stage.depth, size):
            self._settle()
        if last < loop.total_steps:
            loop.stop_signals.check()

    def _program(self, depth: StageDepth) -> Callable:
        future = self._loop.programs.prepare(depth)
        if not future.done():
            self._settle()
            with self._stopwatch.compiling():
                self._loop.stop_signals.wait(f"compiling the training step, depth {depth}", future)
        return future.result()

    def _settle(self) -> None:
        """Waits for the pending dispatch, checks that its metrics are finite, and reports them."""
        dispatch, self._pending = self._pending, None
        if dispatch is None:
            return
        brief = self._pace.is_brief(dispatch.depth, dispatch.end_step - dispatch.first_step)
        activity = None if brief else f"training step {dispatch.end_step:,}"
        sums = self._loop.stop_signals.finish(activity, jax.device_get, dispatch.sums)
        self._stopwatch.lap()
        now = time.monotonic()
        self._pace.measure(float(sums["model_flops"]), now - self._pending_since)
        self._pending_since = now
        self._clock.train_flops += float(sums["model_flops"])
        self._record.add(sums)
        if not (np.isfinite(sums["loss"]) and np.isfinite(sums["gradient_norm"])):
            raise NonFiniteError(self._describe_non_finite(dispatch.first_step, sums))
        self._report(dispatch, sums)

    def _report(self, dispatch: _Dispatch, sums: Mapping[str, Any]) -> None:
        step = dispatch.first_step + int(sums["steps"])
        stage, num_stages, depth = dispatch.stage, len(self._loop.stages), dispatch.depth
        if isinstance(depth, PlateauDepths):  # one stage, which contains all depths
            chosen = sums["depth_index"] / sums["steps"]
            stage, num_stages = round(float(chosen)), len(depth.depths)
            depth = depth.depths[stage]
        self._progress = Progress(
            step=step,
            stage=stage,
            num_stages=num_stages,
            depth=depth,
            train_seconds=self._clock.train_seconds,
            train_flops=self._clock.train_flops,
            metrics=self._record.metrics(),
            is_record=dispatch.ends_span or self._record.age() > RECORD_SECONDS,
            seconds_left=self._pace.seconds_left(step),
        )
        self._loop.report(self._progress)
        if self._progress.is_record:
            self._record = _Record()

    def _describe_non_finite(self, first_step: int, sums: Mapping[str, Any]) -> str:
        # The devices stop at the first step that is not finite.
        step = first_step + int(sums["steps"])
        shown = ", ".join(f"{name} {value:.4g}" for name, value in finish_metrics(sums).items())
        return (
            f"the loss or a gradient is not finite at step {step}; mean metrics of steps "
            f"{first_step + 1} to {step}: {shown}; last good checkpoint: "
            f"{self._loop.checkpoints.newest or 'none was written yet'}; "
            "a lower optimizer.learning_rate or an optimizer.clip_norm may help"
        )


class _Record:
    """The metrics of the dispatches since the last record, summed."""

    def __init__(self):
        self._sums: dict[str, float] = {}
        self._begin = time.monotonic()

    def add(self, sums: Mapping[str, Any]) -> None:
        for name, value in sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)

    def age(self) -> float:
        return time.monotonic() - self._begin

    def metrics(self) -> dict[str, float]:
        return finish_metrics(self._sums)
