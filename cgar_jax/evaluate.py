"""Scores a finished run: `python -m cgar_jax.evaluate --workdir=FOLDER [--data=FILE.csv]`."""

import json
import math
import os
import pathlib
from typing import Any

import jax
import ml_collections
from absl import flags
from rich.console import Console

from cgar_jax import command, data, experiment
from cgar_jax.evaluation.table import result_table
from cgar_jax.training import processes
from cgar_jax.training.checkpoints import Checkpoints
from cgar_jax.training.state import TrainState


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


def define_flags() -> None:
    """Defines those of the command."""
    flags.DEFINE_string("workdir", None, "Folder of the run.")
    flags.DEFINE_string(
        "data", None, "CSV: source,question,answer,rating; by default the run's test split."
    )
    flags.DEFINE_bool("skip_bad", False, "Leave bad lines of the CSV out, and list them.")
    flags.DEFINE_string("output", None, "File to write the scores to, as JSON.")
    command.define_process_flags()


def main(values: flags.FlagValues) -> None:
    """The command."""
    command.connect(values)
    result = evaluate(values.workdir, values.data, values.skip_bad)
    if not processes.is_first():
        return
    what = pathlib.Path(values.data).name if values.data else "held-out test puzzles"
    Console().print(result_table(result, f"{what}, checkpoint {result['step']:,}"))
    if values.output:
        pathlib.Path(values.output).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    command.main(define_flags, main, required=["workdir"])
