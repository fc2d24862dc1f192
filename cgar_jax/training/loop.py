"""The loop: dispatches many steps at a time, reports, evaluates, saves, and stops when asked to.

The host stays one dispatch behind the device: while one runs, the metrics of the one before are
written.
"""

import contextlib
import dataclasses
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from cgar_jax.curricula import PlateauDepths, Stage, StageDepth
from cgar_jax.training import processes
from cgar_jax.training.checkpoints import Checkpoints, Clock
from cgar_jax.training.feed import Span
from cgar_jax.training.programs import Programs
from cgar_jax.training.state import TrainState
from cgar_jax.training.step_metrics import finish_metrics


class NonFiniteError(RuntimeError):
    """The loss or a gradient became NaN or infinite."""


class Interrupted(Exception):
    """A signal asked the run to stop.

    Attributes:
      signal: its number.
      checkpoint: folder of the newest one, usually of the step at which the run stopped.
    """

    def __init__(self, number: int, step: int, checkpoint: pathlib.Path | None):
        name = signal.Signals(number).name
        saved = checkpoint is not None and checkpoint.name == str(step)
        begins = "goes on from there" if saved else f"goes on from {checkpoint or 'the beginning'}"
        super().__init__(
            f"stopped by {name} at step {step}, {'saved' if saved else 'which could not be saved'};"
            f" the same command {begins}"
        )
        self.signal, self.checkpoint = number, checkpoint


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a reporter is told after each dispatch."""

    step: int
    stage: int  # 0-based
    num_stages: int
    depth: StageDepth
    train_seconds: float
    train_flops: float
    metrics: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Loop:
    """A run's rhythm: how many steps at a time, when to save, when to evaluate.

    Attributes:
      stages: the curriculum in optimizer steps, end to end.
      programs: compiled steps by depth.
      checkpoints: where states are saved.
      evaluate: called with a state and its step every `evaluate_every` steps; its time does not
        count as training.
      report: called with a `Progress` once per dispatch.
      steps_per_dispatch: the most steps in one dispatch.
      save_every: in steps.
      evaluate_every: in steps.
    """

    stages: Sequence[Stage]
    programs: Programs
    checkpoints: Checkpoints
    evaluate: Callable[[TrainState, int], None]
    report: Callable[[Progress], None]
    steps_per_dispatch: int
    save_every: int
    evaluate_every: int

    def run(
        self, state: TrainState, feed: Callable[[list[Span]], Iterator[Any]], clock: Clock
    ) -> TrainState:
        """Trains from where `state` is to the end of the last stage; `clock` is kept up to date.

        Args:
          state: donated.
          feed: of `cgar_jax.training.feed`: what to train on, for each dispatch.
          clock: of the run so far.

        Raises:
          NonFiniteError: names the step, the metrics and the last good checkpoint.
          Interrupted: after SIGTERM or SIGINT, the state saved.
        """
        total = self.stages[-1].end_step
        pending = None
        stopwatch = _Stopwatch(clock)
        spans = list(self._spans(int(state.step)))
        feeding = feed(spans)
        with _signals() as received:
            for dispatch, (step, stop) in enumerate(spans):
                index, stage = self._stage_at(step)
                program = self._program(stage.depth, state, stopwatch)
                if index + 1 < len(self.stages):
                    self.programs.prepare(self.stages[index + 1].depth)
                with stopwatch.waiting():
                    data = next(feeding)
                state, sums = program(state, data, np.int32(stop - step))
                self._settle(pending, stopwatch)
                pending = _Dispatch(step, index, stage.depth, sums)
                self.checkpoints.check()
                if processes.preempted(dispatch):
                    received.append(signal.SIGTERM)
                saves = stop % self.save_every == 0 or stop == total or bool(received)
                evaluates = stop % self.evaluate_every == 0 and stop < total
                if saves or evaluates:
                    self._settle(pending, stopwatch)
                    pending = None
                    stopwatch.pause()
                    if saves:
                        self.checkpoints.save(state, stop, clock)
                    if received and stop < total:
                        raise Interrupted(received[0], stop, self.checkpoints.newest)
                    if evaluates:
                        self.evaluate(state, stop)
                    stopwatch.resume()
        stopwatch.pause()
        self.checkpoints.save(state, total, clock)  # once more, if it could not be written
        return state

    def _stage_at(self, step: int) -> tuple[int, Stage]:
        return next((i, s) for i, s in enumerate(self.stages) if step < s.end_step)

    def _spans(self, step: int) -> Iterator[Span]:
        """All dispatches to come: none reaches over the end of a stage, or over a save."""

        def after(every):
            return (step // every + 1) * every

        while step < self.stages[-1].end_step:
            chunk, end = step + self.steps_per_dispatch, self._stage_at(step)[1].end_step
            stop = min(chunk, end, after(self.save_every), after(self.evaluate_every))
            yield step, stop
            step = stop

    def _program(self, depth: StageDepth, state: TrainState, stopwatch: "_Stopwatch") -> Any:
        future = self.programs.prepare(depth)
        if not future.done():
            jax.block_until_ready(state.step)
            stopwatch.pause()
            begin = time.monotonic()
            future.result()
            stopwatch.clock.compile_seconds += time.monotonic() - begin
            stopwatch.resume()
        return future.result()

    def _settle(self, dispatch: "_Dispatch | None", stopwatch: "_Stopwatch") -> None:
        """Waits for a dispatch, checks that its numbers are finite, and reports them."""
        if dispatch is None:
            return
        sums = jax.device_get(dispatch.sums)
        stopwatch.lap()
        # The device stops counting at the first step that is not finite.
        step = dispatch.first_step + int(sums["steps"])
        metrics = finish_metrics(sums)
        if not (np.isfinite(metrics["loss"]) and np.isfinite(metrics["gradient_norm"])):
            shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            raise NonFiniteError(
                f"the loss or a gradient is not finite at step {step}; mean metrics of steps "
                f"{dispatch.first_step + 1} to {step}: {shown}; last good checkpoint: "
                f"{self.checkpoints.newest or 'none was written yet'}; "
                "a lower optimizer.learning_rate or an optimizer.clip_norm may help"
            )
        clock, stage, depth = stopwatch.clock, dispatch.stage, dispatch.depth
        clock.train_flops += float(sums["model_flops"])
        num_stages = len(self.stages)
        if isinstance(depth, PlateauDepths):  # the only stage, in which there are others
            stage, num_stages = round(metrics["depth_index"]), len(depth.depths)
            depth = depth.depths[stage]
        spent = clock.train_seconds, clock.train_flops
        self.report(Progress(step, stage, num_stages, depth, *spent, metrics))


@dataclasses.dataclass(frozen=True)
class _Dispatch:
    """Steps under way on the device; `sums` are not there yet."""

    first_step: int
    stage: int
    depth: StageDepth
    sums: dict[str, Any]


@dataclasses.dataclass
class _Stopwatch:
    """Adds the time in which training was going on to a clock."""

    clock: Clock
    since: float | None = dataclasses.field(default_factory=time.monotonic)

    def lap(self) -> None:
        if self.since is not None:
            now = time.monotonic()
            self.clock.train_seconds += now - self.since
            self.since = now

    def pause(self) -> None:
        self.lap()
        self.since = None

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Adds what happens inside to the time spent waiting for data."""
        begin = time.monotonic()
        yield
        self.clock.data_seconds += time.monotonic() - begin

    def resume(self) -> None:
        self.since = time.monotonic()


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGTERM and SIGINT instead of dying of them; a second one acts as usual.

    Several processes leave SIGTERM to JAX, which tells all of them (`processes.preempted`), and die
    of SIGINT: nobody else would hear of it.
    """
    received: list[int] = []
    # Python lets no other thread than the main one handle signals.
    in_main_thread = threading.current_thread() is threading.main_thread()
    ours = in_main_thread and not processes.several()
    wanted = (signal.SIGTERM, signal.SIGINT) if ours else ()

    def note(number, _):
        received.append(number)
        for each, handler in previous.items():
            signal.signal(each, handler)

    previous = {number: signal.signal(number, note) for number in wanted}
    try:
        yield received
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
