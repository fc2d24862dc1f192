"""Numbers are also recorded by Weights & Biases if that is asked for."""

import sys
import types

import pytest

from cgar_jax._core.extras import MissingExtraError
from cgar_jax.training.logs import Logs
from cgar_jax.training.wandb_logs import WandbLogs


class FakeRun:
    """A record in memory, whose service may fail."""

    def __init__(self, **settings):
        self.settings, self.logged, self.exit_code, self.fails = settings, {}, None, False

    def log(self, scalars, step):
        if self.fails:
            raise ConnectionError("no network")
        self.logged[step] = scalars

    def finish(self, exit_code):
        self.exit_code = exit_code


@pytest.fixture
def started(monkeypatch):
    """The records that were started."""
    found = []
    fake = types.SimpleNamespace(
        init=lambda **settings: found.append(FakeRun(**settings)) or found[-1]
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return found


def test_a_run_is_recorded_under_the_name_of_its_folder(started, tmp_path):
    with WandbLogs("puzzles", tmp_path / "run", {"seed": 3}) as logs:
        logs.write(5, {"loss": 0.5})
    (run,) = started
    assert run.settings["project"] == "puzzles"
    assert run.settings["name"] == "run"
    assert run.settings["config"] == {"seed": 3}
    assert run.logged == {5: {"loss": 0.5}}
    assert run.exit_code == 0


def test_a_resumed_run_continues_its_record(started, tmp_path):
    for _ in range(2):
        WandbLogs("puzzles", tmp_path / "run", {})
    first, second = started
    assert first.settings["id"] == second.settings["id"]
    assert second.settings["resume"] == "allow"


def test_an_error_of_the_service_does_not_stop_the_training(started, tmp_path):
    with WandbLogs("puzzles", tmp_path, {}) as logs:
        started[0].fails = True
        logs.write(1, {"loss": 0.5})
        started[0].fails = False
        logs.write(2, {"loss": 0.4})
    assert started[0].logged == {}


def test_the_log_of_a_run_passes_its_numbers_on(started, tmp_path):
    with WandbLogs("puzzles", tmp_path, {}) as mirror, Logs(tmp_path, 10, 8, 0, mirror) as logs:
        logs.validation(5, {"exact_accuracy": 0.25, "exact_accuracy_by_step": [0.25]})
    assert started[0].logged == {5: {"validation/exact_accuracy": 0.25}}


def test_without_wandb_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'cgar_jax\[wandb\]'"):
        WandbLogs("puzzles", tmp_path, {})
