"""The folder of a run: what its files hold, and how they are written."""

import contextlib
import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import ml_collections

from cgar_jax.data import Dataset
from cgar_jax.experiment import Experiment, Task
from cgar_jax.training import processes
from cgar_jax.training.state import Weights

SETTINGS, RESULT = "config.json", "result.json"


def settings(config: ml_collections.ConfigDict, task: Task) -> dict[str, Any]:
    """What `config.json` and the checkpoints hold: the config, and the task its data posed."""
    return json.loads(config.to_json_best_effort()) | {"task": dataclasses.asdict(task)}


def read_settings(workdir: pathlib.Path) -> tuple[ml_collections.ConfigDict, Task]:
    """The config and task of a run.

    Raises:
      FileNotFoundError: there is no run in `workdir`.
      ValueError: its `config.json` is not what a run writes.
    """
    path = workdir / SETTINGS
    if not path.is_file():
        raise FileNotFoundError(f"no run in {workdir}: {path} is not there")
    try:
        saved = json.loads(path.read_text())
        task = Task(**saved.pop("task"))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(f"{path} is not the config of a run or model of cgar_jax") from None
    return ml_collections.ConfigDict(saved), task


def read_metrics(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """The log of a run, an entry for each line of `metrics.jsonl`; none where it has no log."""
    return read_json_lines(workdir / "metrics.jsonl")


def read_json_lines(path: pathlib.Path) -> list[dict[str, Any]]:
    """What the lines of a file hold; none where there is no file.

    What a kill in the middle of a write has torn is left out.
    """
    entries = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        with contextlib.suppress(ValueError):
            entries.append(json.loads(line))
    return entries


def read_result(workdir: pathlib.Path) -> dict[str, Any] | None:
    """What a finished run came to; None of one that still trains."""
    path = workdir / RESULT
    return json.loads(path.read_text()) if path.is_file() else None


def make(workdir: str | os.PathLike, name: str = "workdir") -> pathlib.Path:
    """Makes the folder and writes into it, so that a run does not find out at its first checkpoint.

    Args:
      workdir: the folder.
      name: what a message calls it.

    Returns:
      Its path.

    Raises:
      ValueError: it is an address and not a folder.
      OSError: it cannot be made or written to; the message names it.
    """
    if "://" in str(workdir):
        raise ValueError(
            f"{name} {workdir} is not a folder; mount the bucket (gcsfuse, s3fs) and name the "
            "folder that it is mounted at"
        )
    workdir = pathlib.Path(workdir)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            pass
    except OSError as error:
        raise OSError(f"cannot write to {name} {workdir}: {error.strerror}") from error
    return workdir


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a file that is either the old one or the whole new one, whenever the process dies.

    Of several processes only the first one writes.
    """
    if not processes.is_first():
        return
    fresh = path.with_suffix(".tmp")
    fresh.write_text(as_json(content))
    os.replace(fresh, path)


def as_json(content: Mapping[str, Any]) -> str:
    """The text of a file."""
    return json.dumps(content, indent=2) + "\n"


def score(
    pieces: Experiment, weights: Weights, dataset: Dataset, folder: pathlib.Path
) -> dict[str, Any]:
    """The figures of the test split; a submission, where there is one, goes into the folder."""
    scores, submission = pieces.score(weights, dataset)
    if submission:
        write_json(folder / "submission.json", submission)
    return scores
