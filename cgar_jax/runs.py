"""The folder of a run: its settings, its log and its result, and how they are written."""

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import jax
import ml_collections

import cgar_jax
from cgar_jax.config_values import plain_config, stored_config
from cgar_jax.data import Dataset
from cgar_jax.experiment import Experiment, Task
from cgar_jax.models import ModelParams
from cgar_jax.training import processes

SETTINGS, RESULT = "config.json", "result.json"


def settings(config: ml_collections.ConfigDict, task: Task) -> dict[str, Any]:
    """Returns the settings that are saved with a run: the config, and the task of its data."""
    return stored_config(config) | {"task": dataclasses.asdict(task)}


def read_settings(workdir: pathlib.Path) -> tuple[ml_collections.ConfigDict, Task]:
    """Reads the config and the task of a run.

    Raises:
      FileNotFoundError: if there is no run in `workdir`.
      ValueError: if its `config.json` was not written by a run.
    """
    path = workdir / SETTINGS
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no run in {workdir}: {path} does not exist{_other_runs(workdir)}"
        )
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        task = Task(**saved.pop("task"))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(f"{path} is not the config of a cgar_jax run or model") from None
    return plain_config(saved), task


def _other_runs(workdir: pathlib.Path) -> str:
    """Returns a clause that lists the runs in and beside a folder, newest first."""
    for folder in (workdir, workdir.parent):
        found = sorted(folder.glob(f"*/{SETTINGS}"), key=os.path.getmtime, reverse=True)
        if found:
            names = [path.parent.name for path in found]
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            return f"; the runs in {folder} are {', '.join(names[:10])}{more}"
    return "; `cgar train sudoku_mini` starts one"


def read_metrics(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the entries of a run's `metrics.jsonl`; none if it has no log."""
    return read_json_lines(workdir / "metrics.jsonl")


def read_json_lines(path: pathlib.Path) -> list[dict[str, Any]]:
    """Reads a file with one JSON object per line; none if there is no file.

    A line that was cut off by a kill in the middle of a write is skipped.
    """
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        with contextlib.suppress(ValueError):
            entries.append(json.loads(line))
    return entries


def read_json(path: pathlib.Path) -> Any:
    """Returns the content of a JSON file; None if it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None


def read_result(workdir: pathlib.Path) -> dict[str, Any] | None:
    """Returns the result of a finished run, or None while it is still training."""
    path = workdir / RESULT
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def provenance() -> dict[str, str | None]:
    """Returns the program and the machine that write a result, and the current date.

    Returns:
      `version` of cgar_jax, `jax_version`, `commit` of the checkout that cgar_jax was imported from
      (with "-dirty" after uncommitted changes; None without a checkout), and the time `finished`
      in UTC; `machine` describes the processor of the host.
    """
    now = datetime.datetime.now(datetime.UTC)
    return {
        "version": cgar_jax.__version__,
        "jax_version": jax.__version__,
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "commit": _commit(pathlib.Path(__file__).resolve().parents[1]),
        "finished": now.isoformat(timespec="seconds"),
    }


def _commit(checkout: pathlib.Path) -> str | None:
    """Returns the commit of a checkout; None if the folder is not the top of one."""
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(
            [*command, "--abbrev=12"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):  # without git, or without the right to read
        return None
    return found.stdout.strip() or None


def make_folder(workdir: str | os.PathLike, name: str = "workdir") -> pathlib.Path:
    """Creates a folder and checks that it is writable, before long work begins.

    Args:
      workdir: the folder.
      name: name of the folder in messages.

    Returns:
      Its path.

    Raises:
      ValueError: if `workdir` is the address of a bucket and not a folder.
      OSError: if the folder cannot be created or written to; the message names it.
    """
    if "://" in str(workdir):
        raise ValueError(
            f"{name} {workdir} is not a folder; mount the bucket (gcsfuse, s3fs) and give the "
            "folder where it is mounted"
        )
    workdir = pathlib.Path(workdir).expanduser()
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            pass
    except OSError as error:
        raise OSError(f"cannot write to {name} {workdir}: {error.strerror}") from error
    return workdir


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a file so that it is always either the old or the complete new one.

    Among several processes only the first one writes.
    """
    if not processes.is_first():
        return
    fresh = path.with_suffix(".tmp")
    fresh.write_text(as_json(content), encoding="utf-8")
    os.replace(fresh, path)


def as_json(content: Mapping[str, Any]) -> str:
    """Formats the content of a JSON file."""
    return json.dumps(content, indent=2) + "\n"


def score(
    experiment: Experiment,
    params: ModelParams,
    dataset: Dataset,
    folder: pathlib.Path | None,
    on_progress: Callable[[int], None] = lambda num_done: None,
) -> dict[str, Any]:
    """Scores the test split; a submission, if there is one, is written to the folder.

    Args:
      experiment: the experiment.
      params: parameters of the model.
      dataset: the data.
      folder: folder for `submission.json`; None does not write it.
      on_progress: called with the number of newly scored test examples.
    """
    scores, submission = experiment.score(params, dataset, on_progress)
    if submission and folder:
        write_json(folder / "submission.json", submission)
    return scores
