"""The runs of a folder: their state and scores, read from the files that training writes.

This module reads JSON and imports nothing heavy, so that listing runs is fast.
"""

import contextlib
import dataclasses
import json
import pathlib
import re
import time
from typing import Any

# A run whose log has not grown for this long counts as interrupted. Slow steps extend it: to
# `_PATIENCE` times the training time between the last two lines of the log.
_QUIET_SECONDS, _PATIENCE = 120, 3
_VALIDATED = "validation/exact_accuracy"


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """The state of one run.

    Attributes:
      folder: the folder of the run.
      config: name of the config, from the name of the folder.
      puzzles: family and size of the puzzles.
      state: "finished", "training" or "interrupted".
      step: training steps so far.
      total_steps: training steps of the whole run.
      exact_accuracy: accuracy on test puzzles if finished, else of the last validation, or None.
      modified: time of the last write, in seconds since the epoch.
    """

    folder: pathlib.Path
    config: str
    puzzles: str
    state: str
    step: int
    total_steps: int
    exact_accuracy: float | None
    modified: float


def find_runs(folder: str | pathlib.Path) -> list[RunSummary]:
    """Returns the runs in a folder, the newest first.

    A run is a folder in which training has written `config.json` and a log, a checkpoint or a
    result.
    """
    folder = pathlib.Path(folder)
    found = [summarize(path.parent) for path in folder.glob("*/config.json")]
    return sorted(filter(None, found), key=lambda run: run.modified, reverse=True)


def summarize(folder: pathlib.Path) -> RunSummary | None:
    """Returns the state of the run in a folder, or None if there is none."""
    traces = [folder / name for name in ("metrics.jsonl", "result.json", "checkpoints")]
    config = _read(folder / "config.json")
    written = [path.stat().st_mtime for path in traces if path.exists()]
    if not isinstance(config.get("data"), dict) or not written:
        return None
    result, log = _read(folder / "result.json"), _read_log(folder / "metrics.jsonl")
    steps = [entry for entry in log if "loss" in entry]
    step = result.get("steps") or max((entry.get("step", 0) for entry in log), default=0)
    validated = [entry[_VALIDATED] for entry in log if _VALIDATED in entry]
    last = validated[-1] if validated else None
    modified = max(written)
    if result:
        state = "finished"
    else:
        state = "training" if time.time() - modified < _patience(steps) else "interrupted"
    data = config["data"]
    size = f" {data['size']}x{data['size']}" if "size" in data else ""
    return RunSummary(
        folder,
        config=re.sub(r"-[0-9a-f]{8}$", "", folder.name),
        puzzles=f"{data.get('name', '')}{size}",
        state=state,
        step=step,
        total_steps=config.get("training", {}).get("steps", 0),
        exact_accuracy=result.get("exact_accuracy", last),
        modified=modified,
    )


def _patience(steps: list[dict[str, Any]]) -> float:
    times = [entry["train_seconds"] for entry in steps[-2:] if "train_seconds" in entry]
    between = times[-1] - times[0] if len(times) == 2 else 0
    return max(_QUIET_SECONDS, _PATIENCE * between)


def _read(path: pathlib.Path) -> dict[str, Any]:
    """Returns the object in a JSON file; an empty one if there is none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


def _read_log(path: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the entries of a log; lines that were cut off by a kill are skipped."""
    entries = []
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                entries.append(json.loads(line))
    return [entry for entry in entries if isinstance(entry, dict)]
