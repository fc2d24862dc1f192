"""Lists the runs of a folder, the newest first.

FOLDER is the folder whose subfolders are runs; by default `runs`. A run is *training* while its log
grows, *interrupted* if it has stopped growing (the same `cgar train` command resumes it), and
*finished* if it has a result. `--workdir=latest` names the first run of this list in other
commands.
"""

import json
import time
from collections.abc import Sequence
from typing import Any

from absl import flags
from rich.console import Console
from rich.table import Table

from cgar_jax.commands import command_line
from cgar_jax.commands.run_list import RunSummary, find_runs
from cgar_jax.progress import duration

ARGUMENTS = "[FOLDER]"
EXAMPLES = ("cgar runs", "cgar runs ~/experiments --json")
_STYLES = {"finished": "green", "training": "bold cyan", "interrupted": "yellow"}


def define_flags() -> None:
    """Defines this command's flags."""
    flags.DEFINE_bool("json", False, "print one JSON object per run instead of a table")


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """Runs the command."""
    if len(arguments) > 1:
        raise ValueError(f"expected one FOLDER, found {len(arguments)}: {list(arguments)}")
    folder = command_line.PathParser().parse(arguments[0]) if arguments else command_line.RUNS
    found = find_runs(folder)
    if values.json:
        for run in found:
            print(json.dumps(as_json(run)))
    elif found:
        console = Console()
        if not console.is_terminal:
            console.width = 160  # a pipe has no width that names should be cut to
        console.print(table(found))
    else:
        print(f"there are no runs in {folder}; `cgar train sudoku_mini` starts one")


def as_json(run: RunSummary) -> dict[str, Any]:
    """Returns the state of a run as JSON can hold it."""
    return vars(run) | {"folder": str(run.folder)}


def table(found: Sequence[RunSummary]) -> Table:
    """Returns a table with a row for each run."""
    shown = Table("run", "state", "steps", "exact", "age", "config", "puzzles")
    for run in found:
        shown.add_row(
            str(run.folder),
            f"[{_STYLES[run.state]}]{run.state}[/]",
            f"{run.step:,} of {run.total_steps:,}",
            "" if run.exact_accuracy is None else f"{run.exact_accuracy:.1%}",
            duration(time.time() - run.modified),
            run.config,
            run.puzzles,
        )
    return shown
