"""Scores a trained model on held-out puzzles, and prints a table.

The newest checkpoint is scored with averaged parameters, full depth and all supervision steps; for
ARC the answers to all variants of a puzzle are put to a vote. A bad line of a CSV file is an error
that names the line; with `--skip_bad`, bad lines are skipped and listed.
"""

import contextlib
import json
import pathlib
from collections.abc import Sequence

from absl import flags
from rich.console import Console

from cgar_jax import model_loading
from cgar_jax.commands import command_line, runner
from cgar_jax.progress import Status
from cgar_jax.reporting.result_table import result_table
from cgar_jax.training import processes

REQUIRED = ("workdir",)
GROUPS = {"Several processes": runner.PROCESS_FLAGS}
EXAMPLES = (
    "cgar evaluate --workdir=latest",
    "cgar evaluate --workdir=runs/sudoku --data=puzzles.csv --output=scores.json",
)


def define_flags() -> None:
    """Defines this command's flags."""
    command_line.define_workdir()
    command_line.define_path(
        "data",
        "CSV file with columns source,question,answer,rating or puzzle,solution, or another table; "
        "by default the run's test split",
    )
    flags.DEFINE_bool("skip_bad", False, "skip bad lines of the file, and list them")
    command_line.define_path("output", "file to write the scores to, as JSON")
    runner.define_process_flags()


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """Runs the command."""
    runner.connect(values)
    with Status() if processes.is_first() else contextlib.nullcontext() as status:
        if status:
            status.update("loading the model")
        model = model_loading.load(values.workdir)
        on_progress = status.counter("scoring puzzles") if status else lambda num_done: None
        result = model.evaluate(values.data, values.skip_bad, on_progress)
    if not processes.is_first():
        return
    what = pathlib.Path(values.data).name if values.data else "held-out test puzzles"
    Console().print(result_table(result, f"{what}, checkpoint {result['step']:,}"))
    if values.output:
        pathlib.Path(values.output).write_text(
            json.dumps(result, indent=2) + "\n", encoding="utf-8"
        )
