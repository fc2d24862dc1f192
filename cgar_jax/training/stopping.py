"""Stopping a run by SIGTERM or SIGINT, at any moment and without losing work.

`StopSignals` notes signals instead of ending the process, and runs long work on separate threads,
so that the main thread can react while a program compiles or a device computes. The training loop
decides what is saved after a signal.
"""

import concurrent.futures
import contextlib
import os
import pathlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

from cgar_jax.progress import Status
from cgar_jax.training import processes

T = TypeVar("T")

_POLL_SECONDS = 0.1
STATUS_DELAY_SECONDS = 2.0
LONG_STEP_SECONDS = 4.5


class StopRequested(Exception):
    """A signal has arrived; raised where a run can stop."""


class Interrupted(Exception):
    """A signal has stopped the run.

    Attributes:
      signal: number of the signal.
      checkpoint: folder of the newest checkpoint, usually of the step at which the run stopped.
    """

    def __init__(self, number: int, step: int, checkpoint: pathlib.Path | None):
        """Describes the interruption.

        Args:
          number: number of the signal.
          step: optimizer steps done; 0 if training had not started.
          checkpoint: folder of the newest checkpoint, or None.
        """
        name = signal.Signals(number).name
        if checkpoint is not None and checkpoint.name == str(step):
            message = f"stopped by {name} at step {step}, saved; the same command continues there"
        elif step:
            message = (
                f"stopped by {name} at step {step}, which could not be saved; the same command "
                f"continues from {checkpoint or 'the beginning'}"
            )
        else:
            message = f"stopped by {name} before training started; the same command starts again"
        super().__init__(message)
        self.signal, self.checkpoint = number, checkpoint


class StopSignals:
    """Notes SIGTERM and SIGINT while it is entered; a second signal acts as usual.

    Several processes leave SIGTERM to JAX, which informs all of them (`processes.preempted`), and
    end at once on SIGINT, because nothing would inform the other processes of it.

    Attributes:
      received: number of the signal that arrived, or None.
    """

    def __init__(self):
        """Prepares to note signals; handlers are installed on entry."""
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Installs the signal handlers."""
        # Python allows only the main thread to handle signals.
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and not processes.several():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restores the previous signal handlers."""
        self._restore()

    def check(self) -> None:
        """Raises `StopRequested` if a signal has arrived."""
        if self.received is not None:
            raise StopRequested

    def call(self, activity: str | None, function: Callable[..., T], *arguments: Any) -> T:
        """Calls a function on a thread of its own and returns its result.

        Args:
          activity: description that is shown while the function runs; None shows nothing.
          function: function to call; a signal abandons it, so it must not leave things half-done.
          *arguments: arguments of the function.

        Raises:
          StopRequested: if a signal arrived first; the function still runs.
        """
        return self.wait(activity, _on_a_thread(function, *arguments))

    def wait(self, activity: str | None, future: concurrent.futures.Future[T]) -> T:
        """Waits for a future and returns its result, like `call`."""
        with _status(activity, delay=STATUS_DELAY_SECONDS):
            while not future.done():
                self.check()
                concurrent.futures.wait([future], timeout=_POLL_SECONDS)
        self.check()
        return future.result()

    def finish(self, activity: str | None, function: Callable[..., T], *arguments: Any) -> T:
        """Calls a function like `call`, but returns its result even if a signal arrives.

        The function runs on a thread of its own, so that the signal is noted at once although the
        function blocks in native code.
        """
        with _status(activity, delay=LONG_STEP_SECONDS):
            return _on_a_thread(function, *arguments).result()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()
        name = signal.Signals(number).name
        # Unlike `print`, `os.write` is safe in a signal handler.
        os.write(2, f"{name}: stopping; send the signal again to stop at once\n".encode())

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())


@contextlib.contextmanager
def _status(activity: str | None, delay: float) -> Iterator[None]:
    """Shows an activity while the block runs, in the first process of a run only."""
    if not activity or not processes.is_first():
        yield
        return
    with Status(delay=delay) as status:
        status.update(activity)
        yield


def _on_a_thread(function: Callable[..., T], *arguments: Any) -> concurrent.futures.Future[T]:
    executor = concurrent.futures.ThreadPoolExecutor(1, "work")
    future = executor.submit(function, *arguments)
    executor.shutdown(wait=False)
    return future
