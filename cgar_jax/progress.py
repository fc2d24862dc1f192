"""Progress reporting for long jobs: a status line, a timer for log lines, and durations."""

import math
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

_UNITS = {
    "days": 86_400.0,
    "hours": 3_600.0,
    "minutes": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "µs": 1e-6,
}


def duration(seconds: float) -> str:
    """Formats a duration in its natural unit, with two or three digits.

    Args:
      seconds: duration in seconds.

    Returns:
      Text such as "41 days", "2.8 hours", "90 s" or "12.3 ms".
    """
    if seconds <= 0:
        return "0 s"
    # 90 s and 100 minutes are easier to grasp than 1.5 minutes and 1.7 hours.
    fitting = (
        each for each in _UNITS.items() if seconds >= each[1] * (2 if each[1] >= 60 else 0.9995)
    )
    unit, size = next(fitting, ("µs", 1e-6))
    count = seconds / size
    digits = 3 if size <= 1 else 2
    decimals = max(0, digits - len(f"{count:.0f}"))
    number = f"{count:,.{decimals}f}"
    return f"{number.rstrip('0').rstrip('.') if decimals else number} {unit}"


class Ticker:
    """Schedules progress lines: the first is due at once, the next ones every few seconds."""

    def __init__(self, seconds: float = 5.0):
        """Starts with a line due.

        Args:
          seconds: minimum time between two lines.
        """
        self._seconds, self._last = seconds, -math.inf

    def due(self, seconds_ahead: float = 0.0) -> bool:
        """Returns whether a line is due now; if so, the next one is due `seconds` later.

        Args:
          seconds_ahead: time until the next call; a line is already due if it would be late then.
        """
        now = time.monotonic()
        if now + seconds_ahead - self._last < self._seconds:
            return False
        self._last = now
        return True


def in_notebook() -> bool:
    """Returns whether this process is the kernel of a notebook."""
    return Console().is_jupyter


class NotebookLine:
    """One line in the output of a notebook, which each new text replaces."""

    def __init__(self):
        """Makes a line that is not shown yet."""
        self._handle = None

    def show(self, text: str) -> None:
        """Shows `text` in place of the text before.

        Args:
          text: the new content of the line.
        """
        from IPython.display import display  # part of every notebook, and of no extra

        content = {"text/plain": text}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


class Status:
    """Shows the current activity of a long job on stderr, so that the job is never silent.

    On a terminal it is one animated line, which disappears at the end; in a notebook one line that
    changes. Elsewhere it is a new line every few seconds, also while the activity stays the same.
    Output of the job to stdout stays on stdout.

    >>> with Status() as status:
    ...     status.update("measuring")
    """

    def __init__(
        self,
        seconds: float = 4.0,
        stream: TextIO | None = None,
        animated: bool = True,
        delay: float = 0.0,
    ):
        """Prepares the status; nothing is shown before the first `update`.

        Args:
          seconds: time between two lines, if the status is not animated.
          stream: stream to write to; None means stderr.
          animated: whether the status is animated on a terminal. Jobs that print long lines to the
            same terminal meanwhile need False.
          delay: time before the first line, if the status is not animated; a job that ends earlier
            writes none.
        """
        self._notebook = NotebookLine() if stream is None and in_notebook() else None
        self._stream = stream or sys.stderr
        self._seconds, self._delay, self._activity = seconds, delay, ""
        self._changed, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write_lines, daemon=True)
        console = Console(file=self._stream)
        self._animated = None
        # Encodings without the dots get plain characters. The text is a `Text`, because rich would
        # import its markup parser for a string, which fails while TFDS imports modules lazily on
        # another thread; and an activity is not markup.
        self._spinner = Spinner("line" if console.options.ascii_only else "dots", Text(""))
        if animated and console.is_terminal:
            # Redirection keeps the lines of stdout apart from the animated one. Without it, they
            # would overwrite each other on a terminal; with it, a pipe would get nothing.
            self._animated = Live(
                self._spinner,
                console=console,
                transient=True,
                redirect_stdout=sys.stdout.isatty(),
            )

    def update(self, activity: str) -> None:
        """Sets the current activity.

        Args:
          activity: description of the current work, such as "drawing pictures".
        """
        self._activity = activity
        if self._animated:
            self._spinner.update(text=Text(activity))
        self._changed.set()

    def counter(self, activity: str, total: int | None = None) -> Callable[[int], None]:
        """Returns a function to call with the number of newly finished items.

        Args:
          activity: description of the work on the items, such as "scoring puzzles".
          total: number of items, if known.
        """
        done = 0

        def advance(num_done: int) -> None:
            nonlocal done
            done += num_done
            of = f" of {total:,}" if total is not None else ""
            self.update(f"{activity}: {done:,}{of}")

        advance(0)
        return advance

    def __enter__(self) -> Self:
        """Starts to show the status."""
        if self._animated:
            self._animated.start()
        else:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends the status."""
        if self._animated:
            self._animated.stop()
            return
        self._ended.set()
        self._changed.set()
        self._thread.join()

    def _write_lines(self) -> None:
        begin = time.monotonic()
        self._changed.wait()
        self._ended.wait(self._delay)
        while not self._ended.is_set():
            elapsed = time.monotonic() - begin
            line = f"{self._activity} ({elapsed:.0f} s)"
            if self._notebook:
                self._notebook.show(line)
            else:
                print(line, file=self._stream, flush=True)
            self._ended.wait(self._seconds)
