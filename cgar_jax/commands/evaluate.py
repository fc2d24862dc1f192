"""Scores a trained model: `cgar evaluate --workdir=FOLDER [--data=FILE.csv]`."""

import json
import pathlib
from collections.abc import Sequence

from absl import flags
from rich.console import Console

from cgar_jax import trained_model
from cgar_jax.commands import command_line
from cgar_jax.commands import runner as command
from cgar_jax.reporting.result_table import result_table
from cgar_jax.training import processes

REQUIRED = ("workdir",)
GROUPS = {"Several processes": command.PROCESS_FLAGS}
EXAMPLES = (
    "cgar evaluate --workdir=latest",
    "cgar evaluate --workdir=runs/sudoku --data=puzzles.csv --output=scores.json",
)


def define_flags() -> None:
    """Defines those of the command."""
    command_line.define_workdir()
    command_line.define_path(
        "data",
        "CSV file with columns source,question,answer,rating; by default the run's test split",
    )
    flags.DEFINE_bool("skip_bad", False, "leave bad lines of the CSV file out, and list them")
    command_line.define_path("output", "file to write the scores to, as JSON")
    command.define_process_flags()


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """The command."""
    command.connect(values)
    model = trained_model.load(values.workdir)
    result = model.evaluate(values.data, values.skip_bad)
    if not processes.is_first():
        return
    what = pathlib.Path(values.data).name if values.data else "held-out test puzzles"
    Console().print(result_table(result, f"{what}, checkpoint {result['step']:,}"))
    if values.output:
        pathlib.Path(values.output).write_text(json.dumps(result, indent=2) + "\n")
