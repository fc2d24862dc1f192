"""Starts and stops trainer processes on this host, and ranks their exit codes.

`one_host.py` and `sweep.py` use this module. Each process runs in a session of its own, so that
Ctrl-C reaches it only through this module and only once, as SIGTERM: a trainer saves at the first
signal and is killed by the second.
"""

import os
import shlex
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Exit codes of the trainer after which the same command resumes the run.
STOPPED, LOST = 143, 75


class Processes:
    """A context manager that starts processes and forwards SIGINT and SIGTERM to them as SIGTERM.

    Attributes:
      signal: number of the first signal received, or None.
    """

    def __init__(self):
        self.signal: int | None = None
        self._started: list[subprocess.Popen] = []

    def __enter__(self) -> "Processes":
        handled = (signal.SIGINT, signal.SIGTERM)
        self._previous = {number: signal.signal(number, self._forward) for number in handled}
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        # Processes are still running here only if the launcher itself failed.
        for process in self._running():
            process.kill()

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], **streams: Any
    ) -> subprocess.Popen:
        """Starts a process.

        Args:
          command: the program and its arguments.
          environment: variables to set in addition to those of this process.
          **streams: the arguments `stdout`, `stderr`, `text` and `errors` of `subprocess.Popen`.
        """
        process = subprocess.Popen(
            command, env=os.environ | environment, start_new_session=True, **streams
        )
        self._started.append(process)
        if self.signal:  # it arrived while the process was being started
            process.terminate()
        return process

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Sends a signal to all processes that are still running."""
        for process in self._running():
            process.send_signal(number)

    def _running(self) -> list[subprocess.Popen]:
        return [process for process in self._started if process.poll() is None]

    def _forward(self, number: int, _) -> None:
        self.signal = self.signal or number
        self.stop()


def exit_code(process: subprocess.Popen) -> int | None:
    """Returns the exit code as a shell reports it (128 + n after signal n); None while running."""
    code = process.poll()
    return 128 - code if code is not None and code < 0 else code


def worst_exit_code(codes: Iterable[int]) -> int:
    """Returns the most serious exit code: errors, then `LOST`, then `STOPPED`, then 0."""
    severity = {0: 0, STOPPED: 1, LOST: 2}
    return max(codes, key=lambda code: severity.get(code, 3), default=0)


def shell_command(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Returns a command with its variables as one would type it into a shell."""
    settings = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    return " ".join([*settings, shlex.join(command)])
