"""The logs of a run: progress lines on the terminal, `metrics.jsonl`, and TensorBoard files.

A resumed run removes the log entries of steps after its checkpoint, so that each step is logged
once.
"""

import json
import logging
import math
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console

from cgar_jax.progress import NotebookLine, Ticker, duration, in_notebook
from cgar_jax.training import processes
from cgar_jax.training.loop import Progress
from cgar_jax.training.wandb_logs import WandbLogs

# Longer runs are announced with their predicted duration after the first steps.
LONG_RUN_SECONDS = 3600.0


def open_logs(
    workdir: pathlib.Path,
    total_steps: int,
    batch_size: int,
    first_step: int,
    mirror: WandbLogs | None = None,
) -> "Logs | SilentLogs":
    """Returns the log of a run, or a silent one in processes other than the first.

    Args:
      workdir: folder of the run.
      total_steps: optimizer steps of the whole run.
      batch_size: examples per step.
      first_step: step at which the run starts or resumes.
      mirror: logs on Weights & Biases that receive the same numbers; None if there are none.
    """
    if not processes.is_first():
        return SilentLogs()
    return Logs(workdir, total_steps, batch_size, first_step, mirror)


class Logs:
    """The log of one run.

    A full or missing disk does not stop the run: lines for `metrics.jsonl` wait until they can be
    written, while TensorBoard logging ends.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        total_steps: int,
        batch_size: int,
        first_step: int,
        mirror: WandbLogs | None = None,
    ):
        """Opens the log files; the arguments are those of `open_logs`."""
        self._total_steps, self._batch_size, self._mirror = total_steps, batch_size, mirror
        self._console = Console(highlight=False)
        self._notebook = NotebookLine() if in_notebook() else None
        self._path = workdir / "metrics.jsonl"
        self._drop_after(first_step)
        self._file = self._path.open("ab", buffering=0)
        self._unwritten = b""
        self._events = _Events(workdir / "tensorboard", first_step)
        self._last_step, self._last_seconds = first_step, None
        self._ticker, self._last_call = Ticker(), time.monotonic()
        self._validation = ""
        self._warned = self._announced = False

    def __enter__(self) -> Self:
        """Returns the log."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Writes the remaining lines and closes the files."""
        self._trying(self._write_lines)
        self._trying(self._events.close)
        self._file.close()

    def progress(self, progress: Progress) -> None:
        """Writes metrics if they are a record; prints a line every few seconds and at the end."""
        if progress.is_record:
            about = {"stage": progress.stage, "depth": str(progress.depth)}
            about["train_seconds"] = round(progress.train_seconds, 3)
            about["train_flops"] = progress.train_flops
            self._write(progress.step, about | progress.metrics, progress.metrics)
        self._announce(progress.seconds_left)
        if self._last_seconds is None:
            # A speed can be measured from the end of the first dispatch on.
            self._last_step, self._last_seconds = progress.step, progress.train_seconds
        now = time.monotonic()
        since_last, self._last_call = now - self._last_call, now
        if self._ticker.due(since_last) or progress.step == self._total_steps:
            self._show(self._line(progress))
            self._last_step, self._last_seconds = progress.step, progress.train_seconds

    def _show(self, line: str) -> None:
        """Prints a progress line; in a notebook, it replaces the one before."""
        if self._notebook:
            self._notebook.show(line)
        else:
            self._console.print(line, soft_wrap=True)

    def validation(self, step: int, scores: Mapping[str, Any]) -> None:
        """Writes validation scores; the following progress lines show the accuracy."""
        scalars = {f"validation/{k}": v for k, v in scores.items() if not isinstance(v, list)}
        self._write(step, {f"validation/{k}": v for k, v in scores.items()}, scalars)
        self._validation = f" (validation {scores['exact_accuracy']:.1%})"

    def print(self, *lines: Any) -> None:
        """Prints lines between the progress lines."""
        for line in lines:
            self._console.print(line, soft_wrap=True)

    def _announce(self, seconds_left: float | None) -> None:
        """Prints the predicted duration of a long run, once and as soon as it is known."""
        if self._announced or seconds_left is None:
            return
        self._announced = True
        if seconds_left > LONG_RUN_SECONDS:
            self.print(
                f"this run takes about {duration(seconds_left)} on this machine, measured from its "
                "first steps; `cgar estimate` compares devices"
            )

    def _write(self, step: int, record: Mapping[str, Any], scalars: Mapping[str, float]) -> None:
        # Means over no finished example are NaN. JSON has no NaN, and tensorboardX warns of each.
        finite = {k: None if v != v else v for k, v in record.items()}
        scalars = {k: v for k, v in scalars.items() if v == v}
        self._unwritten += (json.dumps({"step": step} | finite) + "\n").encode()
        self._trying(self._write_lines)
        self._trying(lambda: self._events.write(step, scalars))
        if self._mirror is not None:
            self._mirror.write(step, scalars)

    def _write_lines(self) -> None:
        while self._unwritten:
            written = self._file.write(self._unwritten)  # may write only a part
            self._unwritten = self._unwritten[written:]

    def _trying(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            if not self._warned:
                logging.warning(
                    "the log in %s cannot be written (%s); training continues, and the missing "
                    "lines of metrics.jsonl are written as soon as that is possible",
                    self._path.parent,
                    error.strerror,
                )
            self._warned = True

    def _line(self, progress: Progress) -> str:
        metrics = progress.metrics
        parts = [
            f"step {progress.step:>{len(str(self._total_steps))}}/{self._total_steps}",
            f"stage {progress.stage + 1}/{progress.num_stages} depth {progress.depth}",
            f"loss {metrics['loss']:.4f}",
            f"exact {_percent(metrics['exact_accuracy'])}{self._validation}",
        ]
        if steps := progress.step - self._last_step:
            speed = steps * self._batch_size / (progress.train_seconds - self._last_seconds)
            parts.append(f"{speed:,.0f} examples/s" if speed >= 10 else f"{speed:.2g} examples/s")
        if progress.seconds_left is not None:
            parts.append(f"{_clock(progress.seconds_left)} left")
        return " · ".join(parts)

    def _drop_after(self, step: int) -> None:
        if not self._path.exists():
            return
        kept = [
            line
            for line in self._path.read_text(encoding="utf-8").splitlines()
            if _is_upto(line, step)
        ]
        fresh = self._path.with_suffix(".tmp")
        fresh.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        os.replace(fresh, self._path)


class SilentLogs:
    """The log of a process that is not the first: it writes nothing."""

    def __enter__(self) -> Self:
        """Returns the log."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Does nothing."""

    def progress(self, progress: Progress) -> None:
        """Writes nothing."""

    def validation(self, step: int, scores: Mapping[str, Any]) -> None:
        """Writes nothing."""

    def print(self, *lines: Any) -> None:
        """Prints nothing."""


class _Events:
    """TensorBoard's event files, written synchronously: a writer thread would hide its errors."""

    def __init__(self, folder: pathlib.Path, first_step: int):
        # This import takes seconds where torch is installed, so it waits until a run is certain.
        from tensorboardX import event_file_writer, summary
        from tensorboardX.proto import event_pb2

        folder.mkdir(exist_ok=True)
        self._scalar, self._event = summary.scalar, event_pb2.Event
        self._writer = event_file_writer.EventsWriter(str(folder / "events"))
        if first_step:  # TensorBoard then drops the earlier events of later steps
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            event = self._event(step=first_step + 1, session_log=start, wall_time=time.time())
            self._writer.write_event(event)

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes numbers by name; does nothing after an error."""
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
            self._writer = None  # the file may end in a partial record, which hides later ones
            raise

    def close(self) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()


def _is_upto(line: str, step: int) -> bool:
    try:
        return json.loads(line)["step"] <= step
    except (ValueError, KeyError):
        return False  # the process was killed while it wrote this line


def _percent(fraction: float) -> str:
    """Formats a share; "-" if no example has finished since the last line."""
    return f"{fraction:.1%}" if math.isfinite(fraction) else "-"


def _clock(seconds: float) -> str:
    if seconds >= 2 * 86_400:
        return duration(seconds)
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
