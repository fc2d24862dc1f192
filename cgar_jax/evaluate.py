"""Scores a finished run: `python -m cgar_jax.evaluate --workdir=FOLDER [--data=FILE.csv]`."""

import json
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
from absl import app, flags
from rich.console import Console

from cgar_jax import command, data, experiment
from cgar_jax.command_line import parse_flags
from cgar_jax.evaluation.table import result_table
from cgar_jax.training import processes
from cgar_jax.training.checkpoints import Checkpoints
from cgar_jax.training.state import TrainState

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
DATA = flags.DEFINE_string(
    "data", None, "CSV of puzzles: source,question,answer,rating; by default the run's test split."
)
SKIP_BAD = flags.DEFINE_bool("skip_bad", False, "Leave bad lines of the CSV out, and list them.")
OUTPUT = flags.DEFINE_string("output", None, "File to write the scores to, as JSON.")


def evaluate(
    workdir: str | os.PathLike,
    data_file: str | os.PathLike | None = None,
    skip_bad: bool = False,
) -> dict[str, Any]:
    """Scores the newest checkpoint of a run: averaged weights, full depth, all supervision steps.

    Of ARC runs it writes `submission.json` into the workdir.

    Args:
      workdir: of the run.
      data_file: CSV in the schema of the public files, of the family that the run was trained on;
        none for the test split of the run's own data, loaded as for training.
      skip_bad: whether bad lines of the file are left out, counted and listed, and not errors.

    Returns:
      As `cgar_jax.experiment.Experiment.score`, or for a file `cgar_jax.evaluation.Evaluator`; and
      `step`, the optimizer steps of the checkpoint.

    Raises:
      ValueError: a bad line in the file, puzzles of another size than the model's, or a file where
        the family has none.
      OSError: no such run, checkpoint or file.
    """
    workdir = pathlib.Path(workdir)
    config, task = command.read_settings(workdir)
    if data_file is None:
        dataset = data.load(config.data)
        pieces, state = _restored(workdir, config, task)
        scores = command.score(pieces, state, dataset, workdir)
    else:
        examples = data.read_examples(data_file, config.data.name, skip_bad)
        cells = examples["inputs"].shape[1]
        if cells != task.sequence_length:
            raise ValueError(
                f"{data_file} has puzzles of {cells} cells, the model of {workdir} was trained on "
                f"{task.sequence_length}"
            )
        pieces, state = _restored(workdir, config, task)
        scores = pieces.evaluate(state, examples, data.FAMILIES[config.data.name].accepts)
    return scores | {"step": int(state.step)}


def _restored(
    workdir: pathlib.Path, config: ml_collections.ConfigDict, task: experiment.Task
) -> tuple[experiment.Experiment, TrainState]:
    # As many of the devices here as divide the batch; the run may have had others.
    config.mesh = {"data": math.gcd(config.batch_size, jax.device_count())}
    pieces = experiment.build(config, task)
    settings = command.settings(config, task)
    with Checkpoints(workdir, settings, config.checkpoint.keep, read_only=True) as saved:
        restored = saved.restore(pieces.abstract_state())
    if restored is None:
        raise FileNotFoundError(f"no checkpoint in {saved.folder}; train the run first")
    return pieces, restored[0]


def main(argv: Sequence[str]) -> None:
    """The command line."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}")

    def print_scores() -> None:
        command.connect()
        result = evaluate(WORKDIR.value, DATA.value, SKIP_BAD.value)
        what = pathlib.Path(DATA.value).name if DATA.value else "held-out test puzzles"
        title = f"{what}, checkpoint {result['step']:,}"
        if not processes.is_first():
            return
        Console().print(result_table(result, title))
        if OUTPUT.value:
            pathlib.Path(OUTPUT.value).write_text(json.dumps(result, indent=2) + "\n")

    command.run(print_scores)


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    app.run(main, flags_parser=parse_flags)
