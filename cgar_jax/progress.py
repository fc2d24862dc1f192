"""How long work says how it goes."""

import math
import time

from rich.console import Console
from rich.progress import Progress


class Ticker:
    """Tells when the next line of progress is due: at once, and then every few seconds."""

    def __init__(self, seconds: float = 5.0):
        """`seconds` lie between two lines at least."""
        self._seconds, self._last = seconds, -math.inf

    def due(self) -> bool:
        """Whether to write a line now; the next one is due `seconds` later."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


def progress_bar() -> Progress:
    """A bar on the standard error, gone when the work is done; none where that is no terminal."""
    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)
