"""What the commands share: where a run lies, and how an error is told to its user."""

import dataclasses
import json
import os
import pathlib
import signal
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections

from cgar_jax._flags import default_workdir as default_workdir
from cgar_jax._flags import leave as _leave
from cgar_jax._flags import parse_flags as parse_flags
from cgar_jax.data import Dataset
from cgar_jax.experiment import Experiment, Task
from cgar_jax.training.loop import Interrupted, NonFiniteError
from cgar_jax.training.state import TrainState


def settings(config: ml_collections.ConfigDict, task: Task) -> dict[str, Any]:
    """What `config.json` and the checkpoints hold: the config, and the task its data posed."""
    return json.loads(config.to_json_best_effort()) | {"task": dataclasses.asdict(task)}


def read_settings(workdir: pathlib.Path) -> tuple[ml_collections.ConfigDict, Task]:
    """The config and task of a run.

    Raises:
      FileNotFoundError: there is no run in `workdir`.
    """
    path = workdir / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"no run in {workdir}: {path} is not there")
    saved = json.loads(path.read_text())
    return ml_collections.ConfigDict(saved), Task(**saved.pop("task"))


def check_workdir(workdir: pathlib.Path) -> None:
    """Makes the folder and writes into it, so that a run does not find out at its first checkpoint.

    Raises:
      OSError: it cannot be made or written to; the message names it.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        probe = workdir / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(f"cannot write to workdir {workdir}: {error.strerror}") from error


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a file that is either the old one or the whole new one, whenever the process dies."""
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(fresh, path)


def score(
    pieces: Experiment, state: TrainState, dataset: Dataset, workdir: pathlib.Path
) -> dict[str, Any]:
    """The figures of the test split; a submission, where there is one, goes into the workdir."""
    scores, submission = pieces.score(state, dataset)
    if submission:
        write_json(workdir / "submission.json", submission)
    return scores


def run(function: Callable[[], Any]) -> None:
    """Calls `function`; an error that its user can mend becomes one message and a non-zero exit.

    Exit codes: 2 bad input, 3 the training diverged, 128 + n stopped by signal n. With
    `CGAR_TRACEBACK` set, errors keep their traceback.
    """
    if os.environ.get("CGAR_TRACEBACK"):
        function()
        return
    try:
        function()
    except Interrupted as stop:
        name = signal.Signals(stop.signal).name
        _leave(
            f"stopped by {name} at step {stop.step}, saved; the same command goes on from there",
            128 + stop.signal,
        )
    except KeyboardInterrupt:
        _leave("stopped before anything was trained", 130)
    except NonFiniteError as error:
        _leave(f"error: {error}", 3)
    except (ValueError, OSError) as error:
        _leave(f"error: {error}\n(CGAR_TRACEBACK=1 shows where)", 2)
