"""Errors of a command become one message and an exit code."""

import pathlib
import threading

import numpy as np
import pytest

from cgar_jax import runs
from cgar_jax.commands import runner

HINT = "CGAR_TRACEBACK=1"


@pytest.fixture
def message_of(monkeypatch, capfd):
    monkeypatch.delenv("CGAR_TRACEBACK", raising=False)
    # With the threads of another library, the process would be ended at once.
    monkeypatch.setattr(threading, "enumerate", lambda: [threading.main_thread()])

    def message(function):
        with pytest.raises(SystemExit) as stop:
            runner.run(function)
        assert stop.value.code == 2
        return capfd.readouterr().err

    return message


@pytest.mark.parametrize(
    "function",
    [
        lambda: runs.read_settings(runs.make_folder("/dev/null/run")),
        lambda: runs.make_folder("gs://bucket/run"),
        lambda: pathlib.Path("/nowhere/at/all").read_text(),
    ],
)
def test_an_error_that_was_written_for_the_user_is_one_line(message_of, function):
    message = message_of(function)
    assert HINT not in message
    assert message.startswith("error: ")
    assert message.count("\n") == 1


def test_an_error_of_another_library_points_to_its_traceback(message_of):
    message = message_of(lambda: np.random.default_rng(-1))
    assert HINT in message
