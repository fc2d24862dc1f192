"""Trains a model: `cgar train --config=configs/sudoku_mini.py [--workdir=FOLDER]`.

The story of a run, top to bottom: build what the config names, begin or go on, loop, evaluate,
report. The same command again goes on where the run was interrupted.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
from absl import flags
from ml_collections import config_flags

from cgar_jax import data, experiment
from cgar_jax import runs as run_folder
from cgar_jax.commands import command_line
from cgar_jax.commands import runner as command
from cgar_jax.reporting.result_table import result_table
from cgar_jax.training import processes
from cgar_jax.training.checkpoints import Checkpoints, Clock
from cgar_jax.training.logs import open_logs
from cgar_jax.training.loop import Loop
from cgar_jax.training.programs import Programs
from cgar_jax.training.state import TrainState, averaged, parameters_sha256


def train(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> dict[str, Any]:
    """Trains, or goes on training, what `config` describes.

    Args:
      config: as `cgar_jax.config.default_config`.
      workdir: folder for `checkpoints/<step>`, `metrics.jsonl`, `tensorboard`, `config.json`,
        `result.json`, and of ARC `submission.json`.

    Returns:
      What `result.json` holds.

    Raises:
      ValueError: a setting is wrong, or the workdir holds another run.
      OSError: the data or the workdir cannot be read or written.
      NonFiniteError, Interrupted: see `cgar_jax.training.loop`.
    """
    workdir = run_folder.make(workdir)
    with processes.first_goes_ahead():
        if processes.is_first():
            print(f"loading puzzles ({config.data.name}, {config.data.source})", flush=True)
        dataset = data.load(config.data)
    _check_held_out(dataset)
    task = experiment.Task.of(dataset)
    pieces = experiment.build(config, task)
    settings = run_folder.settings(config, task)
    examples, feed = pieces.feed(dataset.train, dataset.augment)
    validation = pieces.drawn_for_validation(dataset.validation)

    with Checkpoints(workdir, settings, config.checkpoint.keep) as checkpoints:
        restored = checkpoints.restore(pieces.abstract_state())
        state, clock = restored or (pieces.initial_state(), Clock())
        run_folder.write_json(workdir / run_folder.SETTINGS, settings)
        with (
            open_logs(workdir, pieces.stages, config.batch_size, int(state.step)) as logs,
            Programs(pieces.train_step, state, examples) as programs,
        ):
            logs.say(*_headline(pieces, dataset, workdir, int(state.step)))
            loop = Loop(
                stages=pieces.stages,
                programs=programs,
                checkpoints=checkpoints,
                evaluate=lambda state, step: logs.evaluation(
                    step, pieces.validate(averaged(state), validation)
                ),
                report=logs.progress,
                steps_per_dispatch=config.training.steps_per_dispatch,
                save_every=config.checkpoint.every_steps,
                evaluate_every=config.evaluation.every_steps,
            )
            state = loop.run(state, feed, clock)
            scores = run_folder.score(pieces, averaged(state), dataset, workdir)
            result = scores | _account(config.seed, state, clock)
            result["device"] = _device_name(pieces)
            run_folder.write_json(workdir / run_folder.RESULT, result)
            logs.say(result_table(result, "held-out test puzzles"), f"all of it is in {workdir}")
    return result


def _account(seed: int, state: TrainState, clock: Clock) -> dict[str, float | int | str]:
    """What the run cost and came to, beside its scores."""
    return {
        "train_seconds": round(clock.train_seconds, 3),
        "compile_seconds": round(clock.compile_seconds, 3),
        "data_seconds": round(clock.data_seconds, 3),
        "steps": int(state.step),
        "seed": seed,
        "model_flops": round(clock.train_flops),
        "parameters_sha256": parameters_sha256(state.params),
    }


def _device_name(built: experiment.Experiment) -> str:
    """The number and kind of the devices of a mesh, such as "8 x NVIDIA H200"."""
    devices = built.mesh.devices
    return f"{devices.size} x {devices.flat[0].device_kind}"


def _check_held_out(dataset: data.Dataset) -> None:
    for split in ("validation", "test"):
        if not len(getattr(dataset, split)["inputs"]):
            raise ValueError(
                f"the {split} split is empty; data.num_{split} must be at least 1 "
                "(or, for test files, 0 for all)"
            )


def _headline(
    pieces: experiment.Experiment, dataset: data.Dataset, workdir: pathlib.Path, step: int
) -> list[str]:
    parameters = sum(leaf.size for leaf in jax.tree.leaves(pieces.abstract_state().params))
    sizes = [len(split["inputs"]) for split in (dataset.train, dataset.validation, dataset.test)]
    depths = ", ".join(f"{stage.depth} from step {stage.first_step:,}" for stage in pieces.stages)
    saved = 1 - pieces.curriculum.relative_cost("gradient_aware")
    return [
        f"{parameters:,} parameters on {_device_name(pieces)}; "
        "puzzles: {:,} train, {:,} validation, {:,} test".format(*sizes),
        f"depth {depths}: {saved:.0%} cheaper than the last one throughout",
        f"{'resuming at step' if step else 'beginning at step'} {step:,}, in {workdir}",
    ]


ARGUMENTS = "CONFIG"
REQUIRED = ("config",)
GROUPS = {"Several processes": command.PROCESS_FLAGS}
EXAMPLES = (
    "cgar train sudoku_mini",
    "cgar train sudoku_mini:trm --config.seed=1 --workdir=runs/trm",
)


def define_flags() -> None:
    """Defines those of the command."""
    command_line.define_config()
    command_line.define_workdir(
        "folder of the run, `latest` for the newest one in runs/; by default a folder in runs/ "
        "named after the config and its settings"
    )
    command.define_process_flags()


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """The command."""
    file = config_flags.get_config_filename(values["config"])
    command.connect(values)
    train(values.config, values.workdir or command_line.default_workdir(file, values.config))
