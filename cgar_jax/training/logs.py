"""What a run writes for people: a progress line, `metrics.jsonl`, TensorBoard event files.

A resumed run drops what the log says of steps after its checkpoint, so that each step is there
once.
"""

import json
import logging
import math
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from cgar_jax.curricula import Stage
from cgar_jax.progress import Ticker
from cgar_jax.training import processes
from cgar_jax.training.loop import Progress


def open_logs(
    workdir: pathlib.Path, stages: Sequence[Stage], batch_size: int, first_step: int
) -> "Logs | Silence":
    """The log of a run that starts or resumes at `first_step`; none but in the first process."""
    return Logs(workdir, stages, batch_size, first_step) if processes.is_first() else Silence()


class Logs:
    """The log of one run in its workdir.

    A disk that is full or not there does not stop a run: lines for `metrics.jsonl` wait until they
    can be written, TensorBoard's files end.
    """

    def __init__(
        self, workdir: pathlib.Path, stages: Sequence[Stage], batch_size: int, first_step: int
    ):
        """Opens the log; `first_step` is where the run starts or resumes."""
        self._stages, self._batch_size = stages, batch_size
        self._console = Console(highlight=False)
        self._path = workdir / "metrics.jsonl"
        self._drop_after(first_step)
        self._file = self._path.open("ab", buffering=0)
        self._unwritten = b""
        self._events = _Events(workdir / "tensorboard", first_step)
        self._last_step, self._last_seconds = first_step, None
        self._ticker = Ticker()
        self._validation = ""
        self._warned = False

    def __enter__(self) -> "Logs":
        return self

    def __exit__(self, *_):
        self._trying(self._write_lines)
        self._trying(self._events.close)
        self._file.close()

    def progress(self, progress: Progress) -> None:
        """Writes the metrics of a dispatch; prints a line every few seconds and at the end."""
        about = {"stage": progress.stage, "depth": str(progress.depth)}
        about["train_seconds"] = round(progress.train_seconds, 3)
        about["train_flops"] = progress.train_flops
        self._write(progress.step, about | progress.metrics, progress.metrics)
        if self._last_seconds is None:
            # The first dispatch of this start has nothing before it to measure a speed against.
            self._last_step, self._last_seconds = progress.step, progress.train_seconds
        if self._ticker.due() or progress.step == self._stages[-1].end_step:
            self._console.print(self._line(progress), soft_wrap=True)
            self._last_step, self._last_seconds = progress.step, progress.train_seconds

    def evaluation(self, step: int, scores: Mapping[str, Any]) -> None:
        """Writes validation scores; the next progress line shows them."""
        scalars = {f"validation/{k}": v for k, v in scores.items() if not isinstance(v, list)}
        self._write(step, {f"validation/{k}": v for k, v in scores.items()}, scalars)
        self._validation = f" (validation {scores['exact_accuracy']:.1%})"

    def say(self, *lines: Any) -> None:
        """Prints, above or between the progress lines."""
        for line in lines:
            self._console.print(line, soft_wrap=True)

    def _write(self, step: int, record: Mapping[str, Any], scalars: Mapping[str, float]) -> None:
        # Of a dispatch that finished no example; JSON has no NaN, and tensorboardX warns of each.
        finite = {k: None if v != v else v for k, v in record.items()}
        scalars = {k: v for k, v in scalars.items() if v == v}
        self._unwritten += (json.dumps({"step": step} | finite) + "\n").encode()
        self._trying(self._write_lines)
        self._trying(lambda: self._events.write(step, scalars))

    def _write_lines(self) -> None:
        while self._unwritten:
            written = self._file.write(self._unwritten)  # may be a part of it
            self._unwritten = self._unwritten[written:]

    def _trying(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            if not self._warned:
                logging.warning(
                    "the log in %s cannot be written (%s); training goes on, and what is missing "
                    "in metrics.jsonl is written when it can be",
                    self._path.parent,
                    error.strerror,
                )
            self._warned = True

    def _line(self, progress: Progress) -> str:
        total, metrics = self._stages[-1].end_step, progress.metrics
        steps = progress.step - self._last_step
        seconds = progress.train_seconds - self._last_seconds
        parts = [
            f"step {progress.step:>{len(str(total))}}/{total}",
            f"stage {progress.stage + 1}/{progress.num_stages} depth {progress.depth}",
            f"loss {metrics['loss']:.4f}",
            f"exact {_percent(metrics['exact_accuracy'])}{self._validation}",
        ]
        if steps:
            speed = steps / seconds
            left = self._cost_left(progress) / progress.depth.gradient_aware_cost / speed
            parts += [f"{speed * self._batch_size:,.0f} examples/s", f"{_clock(left)} left"]
        return " · ".join(parts)

    def _cost_left(self, progress: Progress) -> float:
        """What remains, in forward calls of the network: deeper stages take longer."""
        return sum(
            max(stage.end_step - max(stage.first_step, progress.step), 0)
            * stage.depth.gradient_aware_cost
            for stage in self._stages
        )

    def _drop_after(self, step: int) -> None:
        if not self._path.exists():
            return
        kept = [line for line in self._path.read_text().splitlines() if _is_upto(line, step)]
        fresh = self._path.with_suffix(".tmp")
        fresh.write_text("".join(line + "\n" for line in kept))
        os.replace(fresh, self._path)


class Silence:
    """The log of the processes that write none."""

    def __enter__(self) -> "Silence":
        return self

    def __exit__(self, *_):
        pass

    def progress(self, progress: Progress) -> None:
        """Writes nothing."""

    def evaluation(self, step: int, scores: Mapping[str, Any]) -> None:
        """Writes nothing."""

    def say(self, *lines: Any) -> None:
        """Prints nothing."""


class _Events:
    """TensorBoard's event files, written at once: a thread that writes would hide its errors."""

    def __init__(self, folder: pathlib.Path, first_step: int):
        # Imports torch where it is installed: seconds. Errors come first.
        from tensorboardX import event_file_writer, summary
        from tensorboardX.proto import event_pb2

        folder.mkdir(exist_ok=True)
        self._scalar, self._event = summary.scalar, event_pb2.Event
        self._writer = event_file_writer.EventsWriter(str(folder / "events"))
        if first_step:  # TensorBoard forgets what an earlier start wrote of later steps
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            event = self._event(step=first_step + 1, session_log=start, wall_time=time.time())
            self._writer.write_event(event)

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes numbers by name; after an error nothing any more."""
        if self._writer is None:
            return
        try:
            for name, value in scalars.items():
                summary = self._scalar(name, value)
                self._writer.write_event(
                    self._event(step=step, summary=summary, wall_time=time.time())
                )
            self._writer.flush()
        except OSError:
            self._writer = None  # the file may end in half a record, behind which none is read
            raise

    def close(self) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()


def _is_upto(line: str, step: int) -> bool:
    try:
        return json.loads(line)["step"] <= step
    except (ValueError, KeyError):
        return False  # torn by a kill in the middle of a write


def _percent(fraction: float) -> str:
    """No example may have finished in the steps since the last line."""
    return f"{fraction:.1%}" if math.isfinite(fraction) else "-"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
