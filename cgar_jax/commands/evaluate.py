"""Scores a trained model: `cgar evaluate --workdir=FOLDER [--data=FILE.csv]`."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags
from rich.console import Console

from cgar_jax import data
from cgar_jax import runs as run_folder
from cgar_jax import trained_model as trained
from cgar_jax.commands import command_line
from cgar_jax.commands import runner as command
from cgar_jax.experiment import Task
from cgar_jax.reporting.result_table import result_table
from cgar_jax.training import processes


def evaluate(
    workdir: str | os.PathLike,
    data_file: str | os.PathLike | None = None,
    skip_bad: bool = False,
) -> dict[str, Any]:
    """Scores the newest checkpoint of a run: averaged weights, full depth, all supervision steps.

    Of ARC runs it writes `submission.json` into the workdir.

    Args:
      workdir: of the run, or what else `cgar_jax.trained_model.load` takes.
      data_file: CSV in the schema of the public files, of the family that the run was trained on;
        none for the test split of the run's own data, loaded as for training.
      skip_bad: whether bad lines of the file are left out, counted and listed, and not errors.

    Returns:
      As `cgar_jax.experiment.Experiment.score`, or for a file `cgar_jax.evaluation.Evaluator`; and
      `step`, the optimizer steps of the checkpoint.

    Raises:
      ValueError: a bad line in the file, puzzles of another size than the model's, or a file where
        the family has none.
      OSError: no such run, checkpoint or file; see also `cgar_jax.trained_model.load`.
    """
    folder = trained.locate(workdir)
    model = trained.load(folder)
    pieces, weights = model.pieces, model.weights
    config = pieces.config
    if data_file is None:
        dataset = data.load(config.data)
        _check_fits(Task.of(dataset), pieces.task)
        scores = run_folder.score(pieces, weights, dataset, folder)
    else:
        examples = data.read_examples(data_file, config.data.name, skip_bad)
        model.check_size(examples, str(data_file))
        scores = pieces.evaluate(weights, examples, model.accepts)
    return scores | {"step": model.step}


def _check_fits(posed: Task, task: Task) -> None:
    """Checks that a model of `task` knows what its data pose now: files may have changed."""
    rows = posed.num_puzzle_identifiers, task.num_puzzle_identifiers
    if posed != dataclasses.replace(task, num_puzzle_identifiers=rows[0]) or rows[0] > rows[1]:
        raise ValueError(f"the data of the config pose {posed}, but the model is of {task}")


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
    result = evaluate(values.workdir, values.data, values.skip_bad)
    if not processes.is_first():
        return
    what = pathlib.Path(values.data).name if values.data else "held-out test puzzles"
    Console().print(result_table(result, f"{what}, checkpoint {result['step']:,}"))
    if values.output:
        pathlib.Path(values.output).write_text(json.dumps(result, indent=2) + "\n")
