"""What the launchers in Python share: trainers as processes that are told to stop, and save.

Each process has a session of its own, so that Ctrl-C reaches it once, as SIGTERM and from here: a
trainer saves at the first signal, and dies of a second one.
"""

import os
import shlex
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

STOPPED, LOST = 143, 75  # exit codes of the trainer after which the same command goes on


class Processes:
    """Starts processes, and passes SIGINT and SIGTERM on to them as SIGTERM.

    Attributes:
      signal: the first signal that came, or None.
    """

    def __init__(self):
        self.signal: int | None = None
        self._started: list[subprocess.Popen] = []

    def __enter__(self) -> "Processes":
        wanted = (signal.SIGINT, signal.SIGTERM)
        self._previous = {number: signal.signal(number, self._pass_on) for number in wanted}
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        for process in self._alive():
            process.kill()  # only after an error of the launcher's own

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], **streams: Any
    ) -> subprocess.Popen:
        """Starts a process; `environment` is added to this one's."""
        process = subprocess.Popen(
            command, env=os.environ | environment, start_new_session=True, **streams
        )
        self._started.append(process)
        if self.signal:
            process.terminate()  # the signal came while it was being started
        return process

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Sends a signal to the processes that are still there."""
        for process in self._alive():
            process.send_signal(number)

    def _alive(self) -> list[subprocess.Popen]:
        return [process for process in self._started if process.poll() is None]

    def _pass_on(self, number: int, _) -> None:
        self.signal = self.signal or number
        self.stop()


def exit_code(process: subprocess.Popen) -> int | None:
    """As a shell tells it: 128 + n after signal n; None while it runs."""
    code = process.poll()
    return 128 - code if code is not None and code < 0 else code


def worst(codes: Iterable[int]) -> int:
    """The code that counts: an error's own, then a lost process, a stopped one, and 0."""
    order = {0: 0, STOPPED: 1, LOST: 2}
    return max(codes, key=lambda code: order.get(code, 3), default=0)


def shown(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """A command as one would type it."""
    settings = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    return " ".join([*settings, shlex.join(command)])
