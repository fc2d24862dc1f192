"""The status of a long job is shown at once, and again while nothing changes."""

import io
import time

import pytest
from etils import epy

from cgar_jax.progress import NotebookLine, Status, Ticker, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (2e-5, "20 µs"),
        (0.0123, "12.3 ms"),
        (0.9999, "1 s"),
        (3.71, "3.71 s"),
        (90, "90 s"),
        (600, "10 minutes"),
        (10_000, "2.8 hours"),
        (36_000, "10 hours"),
        (3_542_400, "41 days"),
        (4e8, "4,630 days"),
    ],
)
def test_a_duration_has_its_natural_unit(seconds, text):
    assert duration(seconds) == text


def test_a_status_is_shown_at_once_and_repeated_while_it_stays_the_same():
    stream = io.StringIO()
    with Status(seconds=0.01, stream=stream) as status:
        status.update("measuring")
        time.sleep(0.2)
    lines = stream.getvalue().splitlines()
    assert len(lines) > 1
    assert all(line.startswith("measuring (") for line in lines)


def test_a_status_without_activity_shows_nothing():
    stream = io.StringIO()
    with Status(stream=stream):
        pass
    assert stream.getvalue() == ""


def test_a_short_job_writes_nothing_if_the_status_is_delayed():
    stream = io.StringIO()
    with Status(stream=stream, delay=30) as status:
        status.update("compiling")
    assert stream.getvalue() == ""


def test_only_the_latest_of_many_activities_is_shown_after_the_first():
    stream = io.StringIO()
    with Status(seconds=0.2, stream=stream) as status:
        status.update("first")
        time.sleep(0.05)
        for number in range(1_000):
            status.update(f"part {number}")
        time.sleep(0.3)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("first (")
    assert lines[1].startswith("part 999 (")
    assert len(lines) <= 3


def test_a_ticker_is_due_at_once_and_then_not_before_its_time():
    ticker = Ticker(seconds=60)
    assert [ticker.due(), ticker.due()] == [True, False]


def test_a_ticker_is_due_if_it_would_be_late_at_the_next_call():
    ticker = Ticker(seconds=60)
    ticker.due()
    assert [ticker.due(seconds_ahead=50), ticker.due(seconds_ahead=61)] == [False, True]


def test_a_notebook_shows_one_line_that_changes(monkeypatch):
    shown = []

    class Handle:
        def update(self, content, raw):
            shown[-1] = content["text/plain"]

    def display(content, raw, display_id):
        shown.append(content["text/plain"])
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    line = NotebookLine()
    line.show("step 1")
    line.show("step 2")
    assert shown == ["step 2"]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_status_starts_while_another_thread_imports_lazily(terminal, monkeypatch):
    # TFDS replaces Python's import function for a moment; relative imports are errors meanwhile.
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    with epy.lazy_imports():
        status = Status(stream=stream)
        status.update("loading [puzzles]")
    with status:
        pass
