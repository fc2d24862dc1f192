r"""Measures how much training it takes to reach an accuracy, for several ways to train.

    python benchmarks/time_to_target.py sudoku_mini --output=FILE.jsonl
    python benchmarks/time_to_target.py sudoku_mini --output=FILE.jsonl --ways=trm,cgar \
        --targets=0.9 --seeds=5

Each way to train is the config with a few settings changed (`ways_to_train.py`). All ways have the
same puzzles, model and validation puzzles, and may spend the model FLOPs of the config's own run: a
way with more expensive steps has fewer of them. The ways take turns, seed by seed, so that other
load on the machine affects all of them alike. The validation puzzles are solved every
--evaluate_every steps, which is not timed. A target is reached at the first evaluation with at
least that exact accuracy, and a run ends when all its targets are reached. By default each puzzle
is scored when it halts; `--config.evaluation.until_halted=False` runs all supervision steps.

Prints a table with the steps, model FLOPs (by formula) and seconds (of training, without
compilation) to each target. A median counts a run that never reached the target as infinite. "At
the end" is the accuracy of the last evaluation, also for runs that ended early.

The file --output receives one line of JSON per run as soon as the run ends. The same command again
continues with the runs that are missing.

Every way uses the config's learning rate and other settings, unless settings follow its name:

    --ways="pdc plateau,pdc plateau optimizer.learning_rate=0.01 model.mlp=normalized"

Reference: Dahl et al., 2023, "Benchmarking Neural Network Training Algorithms",
arXiv 2306.07179 (AlgoPerf), for the method.
"""

import contextlib
import dataclasses
import functools
import json
import math
import pathlib
import statistics
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
from absl import flags
from measuring import load_experiment
from rich.console import Console
from rich.table import Table
from ways_to_train import WAYS, changed, check

from cgar_jax import data, experiment, runs
from cgar_jax.commands import command_line, runner
from cgar_jax.progress import Status
from cgar_jax.training.checkpoints import Checkpoints
from cgar_jax.training.clock import Clock
from cgar_jax.training.loop import Loop
from cgar_jax.training.programs import Programs
from cgar_jax.training.state import TrainState, averaged


class _Done(Exception):
    """Raised when all targets are reached or all FLOPs are spent."""


def set_steps_for(config: ml_collections.ConfigDict, task: experiment.Task, flops: float) -> None:
    """Sets the number of steps so that training takes a given number of FLOPs, to the nearest step.

    Args:
      config: config of the run; it is modified.
      task: task of its data.
      flops: model FLOPs to spend.
    """
    share = flops / experiment.build(config, task).planned_flops()
    config.training.steps = max(round(config.training.steps * share), 1)


@dataclasses.dataclass
class TargetTracker:
    """Evaluates a run, and records the step, time and FLOPs at which it first reached each target.

    Attributes:
      built: the experiment.
      validation: the validation puzzles.
      targets: exact accuracies.
      budget: model FLOPs after which the run ends, in case it is more expensive than planned.
      clock: seconds and FLOPs that the run has spent so far.
      reached: for each target that was reached, the `step`, `seconds` and `flops` it took.
      curve: pairs of step and exact accuracy.
    """

    built: experiment.Experiment
    validation: dict[str, Any]
    targets: list[float]
    budget: float
    clock: Clock = dataclasses.field(default_factory=Clock)
    reached: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    curve: list[tuple[int, float]] = dataclasses.field(default_factory=list)

    def evaluate(self, state: TrainState, step: int) -> None:
        """Evaluates the averaged parameters of a state.

        Raises:
          _Done: all targets are reached, or the budget is spent.
        """
        accuracy = self.built.validate(averaged(state), self.validation)["exact_accuracy"]
        self.curve.append((step, accuracy))
        for target in self.targets:
            if accuracy >= target and str(target) not in self.reached:
                self.reached[str(target)] = {
                    "step": step,
                    "seconds": self.clock.train_seconds,
                    "flops": self.clock.train_flops,
                }
        if len(self.reached) == len(self.targets) or self.clock.train_flops >= self.budget:
            raise _Done


def run(
    config: ml_collections.ConfigDict,
    dataset: data.Dataset,
    targets: list[float],
    budget: float,
    on_step: Callable[[int], None],
) -> dict[str, Any]:
    """Trains until all targets are reached, the budget is spent, or training ends.

    Args:
      config: config of the run, which is evaluated every `evaluation.every_steps`.
      dataset: data of the config.
      targets: exact accuracies on the validation puzzles.
      budget: model FLOPs after which the run ends.
      on_step: called with the step after each dispatch.

    Returns:
      `reached` and `curve` as in `TargetTracker`, and `steps`, the planned number of steps.
    """
    task = experiment.Task.of(dataset)
    built = experiment.build(config, task)
    examples, feed = built.feed(dataset.train, dataset.augment)
    validation = built.drawn_for_validation(dataset.validation)
    tracker, steps = TargetTracker(built, validation, targets, budget), config.training.steps
    state = built.initial_state()
    with (
        tempfile.TemporaryDirectory() as folder,
        Checkpoints(pathlib.Path(folder), runs.settings(config, task), 1) as checkpoints,
        Programs(built.train_step, state, examples) as programs,
    ):
        loop = Loop(
            stages=built.stages,
            programs=programs,
            checkpoints=checkpoints,
            validate=tracker.evaluate,
            report=lambda progress: on_step(progress.step),
            step_flops=built.train_step.step_flops,
            steps_per_dispatch=config.training.steps_per_dispatch,
            save_every=steps,
            validate_every=config.evaluation.every_steps,
        )
        with contextlib.suppress(_Done):
            state = loop.run(state, feed, tracker.clock)
            if not tracker.curve:  # a run without a validation, because it is too short for one
                tracker.evaluate(state, steps)
    return {"reached": tracker.reached, "curve": tracker.curve, "steps": steps}


def read_records(path: pathlib.Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Reads the runs that have ended, by way and seed; a line cut off by a kill is skipped."""
    return {(line["way"], line["seed"]): line for line in runs.read_json_lines(path)}


def table(records: list[dict[str, Any]], targets: list[float]) -> Table:
    """Returns a table with one row per way and target."""
    columns = ("way to train", "target", "reached", "steps", "model FLOPs", "seconds", "at the end")
    shown = Table(*columns, title="spent to reach a target: median (least to most)")
    for way in dict.fromkeys(record["way"] for record in records):
        of_way = [record for record in records if record["way"] == way]
        at_the_end = _spread([record["curve"][-1][1] for record in of_way], ".1%")
        for target in map(str, targets):
            found = [r["reached"][target] for r in of_way if target in r["reached"]]
            missing = [math.inf] * (len(of_way) - len(found))
            spreads = (
                _spread([one[figure] for one in found] + missing, style)
                for figure, style in (("step", ",.0f"), ("flops", ".3g"), ("seconds", ",.1f"))
            )
            counted = f"{len(found)} of {len(of_way)}"
            shown.add_row(way, f"{float(target):.0%}", counted, *spreads, at_the_end)
    return shown


def _spread(values: list[float], style: str) -> str:
    if math.isinf(min(values)):
        return "-"
    ends = statistics.median_high(values), min(values), max(values)
    median, least, most = ("never" if math.isinf(v) else format(v, style) for v in ends)
    return f"{median} ({least} to {most})"


def show_step(status: Status, title: str, config: ml_collections.ConfigDict, step: int) -> None:
    """Shows the progress of a run."""
    status.update(f"{title}: step {step} of {config.training.steps}")


def define_flags() -> None:
    """Defines this benchmark's flags."""
    command_line.define_config()
    command_line.define_path("output", "file that receives one line of JSON per run")
    flags.DEFINE_list("ways", list(WAYS), "ways to train, each with other settings after it")
    flags.DEFINE_list("targets", ["0.5", "0.9"], "exact accuracies to reach")
    flags.DEFINE_integer("seeds", 3, "runs of each way, with seeds from 0", lower_bound=1)
    flags.DEFINE_integer("evaluate_every", 40, "steps between evaluations", lower_bound=1)


def main(values: flags.FlagValues) -> None:
    """Runs the benchmark."""
    for way in values.ways:
        check(way)
    targets = sorted(map(float, values.targets))
    output = pathlib.Path(values.output)
    ended, records = read_records(output), []
    with Status() as status:
        status.update("loading puzzles")
        built, dataset = load_experiment(values.config)
        budget = built.planned_flops()
        for seed in range(values.seeds):
            for way in values.ways:
                if (way, seed) not in ended:
                    config = changed(values.config, way)
                    config.seed, config.evaluation.every_steps = seed, values.evaluate_every
                    set_steps_for(config, built.task, budget)
                    report = functools.partial(show_step, status, f"{way}, seed {seed}", config)
                    report(0)
                    found = run(config, dataset, targets, budget, report)
                    ended[way, seed] = {"way": way, "seed": seed} | found
                    with output.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(ended[way, seed]) + "\n")
                    jax.clear_caches()
                records.append(ended[way, seed])
    Console(highlight=False).print(table(records, targets))


if __name__ == "__main__":
    runner.main(define_flags, main, required=["config", "output"])
