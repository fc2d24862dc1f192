"""Trains the model that a config describes, or resumes its training.

A run loads its puzzles, builds the experiment, starts or resumes training, scores the trained model
and writes the results. Running the same command again resumes an interrupted run.
"""

import contextlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
from absl import flags
from ml_collections import config_flags

from cgar_jax import data, experiment, runs
from cgar_jax.commands import command_line, console, runner
from cgar_jax.config_values import plain_config, stored_config
from cgar_jax.optimizers import shortened_warmup
from cgar_jax.progress import Status
from cgar_jax.reporting.result_table import result_table
from cgar_jax.training import processes
from cgar_jax.training.changed_data import continue_on
from cgar_jax.training.checkpoints import Checkpoints, checksum
from cgar_jax.training.clock import Clock
from cgar_jax.training.logs import open_logs
from cgar_jax.training.loop import Loop
from cgar_jax.training.programs import Programs
from cgar_jax.training.state import TrainState, averaged, parameters_sha256
from cgar_jax.training.stopping import (
    STATUS_DELAY_SECONDS,
    Interrupted,
    StopRequested,
    StopSignals,
)
from cgar_jax.training.wandb_logs import WandbLogs


def train(
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike,
    wandb_project: str | None = None,
    allow_changed_data: bool = False,
) -> dict[str, Any]:
    """Trains the model that `config` describes, or resumes its training.

    Args:
      config: config in the form of `cgar_jax.config.default_config`.
      workdir: folder for `checkpoints/<step>`, `metrics.jsonl`, `tensorboard`, `config.json`,
        `result.json`, and for ARC `submission.json`.
      wandb_project: name of a Weights & Biases project to which the run is logged too; None
        disables this.
      allow_changed_data: whether a run may be resumed although its training data have changed.

    Returns:
      The content of `result.json`.

    Raises:
      ValueError: if a setting is wrong, or `workdir` holds a run with other settings or on other
        training data.
      OSError: if the data or the workdir cannot be read or written.
      NonFiniteError: if the loss or a gradient is not finite.
      Interrupted: if SIGTERM or SIGINT has stopped the run; its state is saved.
      MissingExtraError: if `wandb_project` is given, but wandb is not installed.
    """
    console.protect()
    config, workdir = plain_config(config), runs.make_folder(workdir)
    mirror = None
    if wandb_project and processes.is_first():
        mirror = WandbLogs(wandb_project, workdir, stored_config(config))
    with StopSignals() as stop_signals, mirror or contextlib.nullcontext():
        try:
            # Loading can take minutes, so the settings are checked first.
            experiment.build(config, experiment.Task.expected(config.data))
            dataset = _load(config, stop_signals)
            return _train(config, workdir, dataset, stop_signals, mirror, allow_changed_data)
        except StopRequested:
            raise Interrupted(stop_signals.received, 0, None) from None


def _load(config: ml_collections.ConfigDict, stop_signals: StopSignals) -> data.Dataset:
    activity = f"loading puzzles ({config.data.name}, {config.data.source})"
    with processes.first_goes_ahead():
        if processes.is_first():
            print(activity, flush=True)
        dataset = stop_signals.call(activity, data.load, config.data)
    for split in ("validation", "test"):
        if not len(getattr(dataset, split)["inputs"]):
            raise ValueError(
                f"the {split} split is empty; data.num_{split} must be at least 1 "
                "(or, for test files, 0 for all)"
            )
    return dataset


def _train(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    dataset: data.Dataset,
    stop_signals: StopSignals,
    mirror: WandbLogs | None,
    allow_changed_data: bool,
) -> dict[str, Any]:
    task, trained_on = experiment.Task.of(dataset), data.Fingerprint.of(dataset)
    built = experiment.build(config, task)
    settings = runs.settings(config, task)
    examples, feed = built.feed(dataset.train, dataset.augment)
    validation = built.drawn_for_validation(dataset.validation)

    def validate(state: TrainState, step: int) -> None:
        logs.validation(step, built.validate(averaged(state), validation))

    with Checkpoints(
        workdir, settings, config.checkpoint.keep, trained_on=trained_on
    ) as checkpoints:
        state, clock = stop_signals.call(
            "preparing the model", _start, built, checkpoints, trained_on, allow_changed_data
        )
        first_step, total_steps = int(state.step), config.training.steps
        runs.write_json(workdir / runs.SETTINGS, settings)
        with (
            open_logs(workdir, total_steps, config.batch_size, first_step, mirror) as logs,
            Programs(built.train_step, state, examples) as programs,
        ):
            logs.print(*_headline(built, dataset, workdir, first_step))
            loop = Loop(
                stages=built.stages,
                programs=programs,
                checkpoints=checkpoints,
                validate=validate,
                report=logs.progress,
                step_flops=built.train_step.step_flops,
                steps_per_dispatch=config.training.steps_per_dispatch,
                save_every=config.checkpoint.every_steps,
                validate_every=config.evaluation.every_steps,
                stop_signals=stop_signals,
            )
            state = loop.run(state, feed, clock)
            try:
                scores = _score(built, state, dataset, workdir, stop_signals)
            except StopRequested:
                raise Interrupted(stop_signals.received, total_steps, checkpoints.newest) from None
            result = scores | _costs(config.seed, state, clock) | {"device": _device_name(built)}
            result |= runs.provenance()
            runs.write_json(workdir / runs.RESULT, result)
            logs.print(result_table(result, "held-out test puzzles"), f"results are in {workdir}")
    return result


def _start(
    built: experiment.Experiment,
    checkpoints: Checkpoints,
    trained_on: data.Fingerprint,
    allow_changed_data: bool,
) -> tuple[TrainState, Clock]:
    """Restores the newest checkpoint, or initializes a new state."""
    restored = checkpoints.restore(built.abstract_state(), allow_changed_data)
    if restored is not None and restored.trained_on == trained_on:
        return restored.state, restored.clock
    if restored is not None:
        return continue_on(restored, trained_on, built.initial_state()), restored.clock
    state = built.initial_state()
    # The first call compiles; after a signal, there may be no time for that.
    checksum(state).block_until_ready()
    return state, Clock()


def _score(
    built: experiment.Experiment,
    state: TrainState,
    dataset: data.Dataset,
    workdir: pathlib.Path,
    stop_signals: StopSignals,
) -> dict[str, Any]:
    """Scores the test split and shows how many puzzles are done."""
    with Status(delay=STATUS_DELAY_SECONDS) as status:
        advance = lambda num_done: None  # noqa: E731
        if processes.is_first():
            advance = status.counter("scoring test puzzles", len(dataset.test["inputs"]))
        return stop_signals.call(
            None, runs.score, built, averaged(state), dataset, workdir, advance
        )


def _costs(seed: int, state: TrainState, clock: Clock) -> dict[str, float | int | str]:
    """Returns the costs and the identity of a run, which are reported beside its scores."""
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
    """Returns the number and kind of the devices of a mesh, such as "8 x NVIDIA H200"."""
    devices = built.mesh.devices
    return f"{devices.size} x {devices.flat[0].device_kind}"


def _headline(
    built: experiment.Experiment, dataset: data.Dataset, workdir: pathlib.Path, step: int
) -> list[str]:
    parameters = sum(leaf.size for leaf in jax.tree.leaves(built.abstract_state().params))
    sizes = [len(split["inputs"]) for split in (dataset.train, dataset.validation, dataset.test)]
    depths = ", ".join(f"{stage.depth} from step {stage.first_step:,}" for stage in built.stages)
    saved = 1 - built.curriculum.relative_cost("gradient_aware")
    steps, warmup = built.config.training.steps, built.config.optimizer.warmup_steps
    shortened = shortened_warmup(warmup, steps)
    return [
        f"{parameters:,} parameters on {_device_name(built)}; "
        "puzzles: {:,} train, {:,} validation, {:,} test".format(*sizes),
        f"depth {depths}; {saved:.0%} cheaper than training at the last depth throughout",
        *([f"warm-up of {shortened:,} instead of {warmup:,} steps"] if shortened < warmup else []),
        f"{'resuming' if step else 'starting'} at step {step:,}, in {workdir}",
    ]


ARGUMENTS = "CONFIG"
REQUIRED = ("config",)
GROUPS = {"Several processes": runner.PROCESS_FLAGS}
EXAMPLES = (
    "cgar train sudoku_mini",
    "cgar train sudoku_mini:trm --config.seed=1 --workdir=runs/trm",
)


def define_flags() -> None:
    """Defines this command's flags."""
    command_line.define_config()
    command_line.define_workdir(
        "folder of the run, `latest` for the newest one in runs/; by default a folder in runs/ "
        "named after the config and its settings"
    )
    flags.DEFINE_string(
        "wandb", None, "Weights & Biases project to log to as well; needs the extra [wandb]"
    )
    flags.DEFINE_bool(
        "allow_changed_data", False, "resume a run although its training data have changed"
    )
    runner.define_process_flags()


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """Runs the command."""
    file = config_flags.get_config_filename(values["config"])
    runner.connect(values)
    workdir = values.workdir or command_line.default_workdir(file, values.config)
    train(values.config, workdir, values.wandb, values.allow_changed_data)
