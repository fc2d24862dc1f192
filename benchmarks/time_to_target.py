"""How long training takes to reach an accuracy: several ways to train, several seeds, one machine.

    python benchmarks/time_to_target.py --config=configs/sudoku_mini.py --output=FILE.jsonl
    python benchmarks/time_to_target.py --config=configs/sudoku_mini.py --output=FILE.jsonl \
        --ways=trm,cgar --targets=0.9 --seeds=5

Each way to train is the config with a few settings changed, see `WAYS`; all have the same puzzles,
model and validation puzzles, and the model FLOPs of the config's own run to spend: a way whose
steps are dearer has fewer of them. The ways take turns, seed by seed, so that what else the machine
does falls on all of them alike. Every `--evaluate_every` steps the validation puzzles are solved,
which is not timed; a target is reached at the first evaluation with that exact accuracy, and a run
ends when all are. (`--config.evaluation.until_halted=False` lets puzzles take all supervision
steps.) Seconds are those of training, without compilation; FLOPs are model FLOPs by formula.
Medians count a run that never got there as infinite; a run that was spared the rest of its steps
has its last accuracy "at the end".

`--output` gets a line for each run as it ends; the same command again goes on with those that are
missing. Source of the method: Dahl et al. 2023, arXiv 2306.07179 (AlgoPerf).
"""

import contextlib
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
from ml_collections import config_flags
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cgar_jax import data, experiment
from cgar_jax import runs as run_folder
from cgar_jax.commands import runner as command
from cgar_jax.config import set_method
from cgar_jax.progress import progress_bar
from cgar_jax.training.checkpoints import Checkpoints, Clock
from cgar_jax.training.loop import Loop
from cgar_jax.training.programs import Programs
from cgar_jax.training.state import TrainState, averaged

Change = Callable[[ml_collections.ConfigDict], Any]


def method(name: str, decay: float = 0.7) -> Change:
    """A method of `set_method`."""
    return lambda config: set_method(config, name, decay)


def curriculum(weighting: str, name: str, **settings: Any) -> Change:
    """The weighting of a method with another curriculum, between the config's own depths."""

    def change(config: ml_collections.ConfigDict) -> None:
        depths = config.curriculum.stages
        set_method(config, weighting)
        ends = {"first": depths[0], "last": depths[-1]}
        between = ends if name == SMOOTH else {"stages": depths}
        config.curriculum = ml_collections.ConfigDict({"name": name} | between | settings)

    return change


def published_hsw(config: ml_collections.ConfigDict) -> None:
    """CGAR weighed as in the published code: one weight for the whole batch."""
    set_method(config, "cgar")
    ((name, settings),) = config.weighting
    config.weighting = ((name, settings | {"per": "batch"}),)


def optimizer(name: str) -> Change:
    """CGAR with another optimizer, at the same learning rate."""

    def change(config: ml_collections.ConfigDict) -> None:
        set_method(config, "cgar")
        config.optimizer.name = name

    return change


PROGRESSIVE, SMOOTH = "progressive_depth_curriculum", "smooth_depth_curriculum"
BUDGETED, PLATEAU = "budgeted_depth_curriculum", "plateau_depth_curriculum"
WAYS: dict[str, Change] = {
    "trm": method("trm"),
    "pdc": method("pdc"),
    "hsw": method("hsw"),
    "cgar": method("cgar"),
    "cgar one weight a batch": published_hsw,
    **{f"cgar decay {decay}": method("cgar", decay) for decay in (0.5, 0.6, 0.8, 0.9)},
    "cgar boundaries 0.15 0.3": curriculum("cgar", PROGRESSIVE, boundaries=(0.15, 0.3)),
    "cgar boundaries 0.45 0.9": curriculum("cgar", PROGRESSIVE, boundaries=(0.45, 0.9)),
    "cgar smooth": curriculum("cgar", SMOOTH),
    "cgar smooth to the end": curriculum("cgar", SMOOTH, end=1.0),
    "cgar budget 0.5": curriculum("cgar", BUDGETED, budget=0.5),
    "pdc budget 0.5": curriculum("pdc", BUDGETED, budget=0.5),
    "cgar plateau": curriculum("cgar", PLATEAU),
    "cgar plateau patience 3": curriculum("cgar", PLATEAU, patience=3),
    "cgar plateau latest 0.9": curriculum("cgar", PLATEAU, latest=0.9),
    "pdc plateau": method("plateau"),
    "nested": method("nested"),
    "exits": method("exits"),
    "cgar adam_atan2": optimizer("adam_atan2"),
    "cgar muon": optimizer("muon"),
}


def changed(config: ml_collections.ConfigDict, way: str) -> ml_collections.ConfigDict:
    """The config for a way to train; the one that is given stays as it is."""
    config = config.copy_and_resolve_references()  # a ConfigDict of a ConfigDict shares its parts
    WAYS[way](config)
    return config


class _Done(Exception):
    """All targets are reached, or all FLOPs are spent."""


def spend(config: ml_collections.ConfigDict, task: experiment.Task, flops: float) -> None:
    """Sets the number of steps so that training takes so many model FLOPs, or as nearly as can be.

    Args:
      config: of the run, changed.
      task: of its puzzles.
      flops: to spend.
    """
    share = flops / experiment.build(config, task).planned_flops()
    config.training.steps = max(round(config.training.steps * share), 1)


def run(
    config: ml_collections.ConfigDict,
    dataset: data.Dataset,
    targets: list[float],
    budget: float,
    progress: Progress,
    title: str,
) -> dict[str, Any]:
    """Trains until all targets are reached or the budget is spent, or to the end.

    Args:
      config: of the run; it is evaluated every `evaluation.every_steps`.
      dataset: of the config.
      targets: exact accuracies on the validation puzzles.
      budget: model FLOPs, for a run that turns out dearer than planned.
      progress: shows how far it is.
      title: what it is called there.

    Returns:
      `reached`, by target the `step`, `seconds` and `flops` it took, `curve`, pairs of step and
      accuracy, and `steps` that there would have been.
    """
    task = experiment.Task.of(dataset)
    pieces = experiment.build(config, task)
    examples, feed = pieces.feed(dataset.train, dataset.augment)
    validation = pieces.drawn_for_validation(dataset.validation)
    clock, reached, curve = Clock(), {}, []
    bar = progress.add_task(title, total=config.training.steps)

    def evaluate(state: TrainState, step: int) -> None:
        accuracy = pieces.validate(averaged(state), validation)["exact_accuracy"]
        curve.append((step, accuracy))
        for target in targets:
            if accuracy >= target and str(target) not in reached:
                reached[str(target)] = {
                    "step": step,
                    "seconds": clock.train_seconds,
                    "flops": clock.train_flops,
                }
        if len(reached) == len(targets) or clock.train_flops >= budget:
            raise _Done

    state = pieces.initial_state()
    with (
        tempfile.TemporaryDirectory() as folder,
        Checkpoints(pathlib.Path(folder), run_folder.settings(config, task), 1) as checkpoints,
        Programs(pieces.train_step, state, examples) as programs,
    ):
        loop = Loop(
            stages=pieces.stages,
            programs=programs,
            checkpoints=checkpoints,
            evaluate=evaluate,
            report=lambda now: progress.update(bar, completed=now.step),
            steps_per_dispatch=config.training.steps_per_dispatch,
            save_every=config.training.steps,
            evaluate_every=config.evaluation.every_steps,
        )
        with contextlib.suppress(_Done):
            evaluate(loop.run(state, feed, clock), config.training.steps)
    return {"reached": reached, "curve": curve, "steps": config.training.steps}


def read(path: pathlib.Path) -> dict[tuple[str, int], dict[str, Any]]:
    """The runs that have ended, by way and seed; what a kill has torn is left out."""
    return {(line["way"], line["seed"]): line for line in run_folder.read_json_lines(path)}


def table(runs: list[dict[str, Any]], targets: list[float]) -> Table:
    """A row for each way and target: how many runs got there, and what it took them."""
    columns = ("way to train", "target", "reached", "steps", "model FLOPs", "seconds", "at the end")
    shown = Table(*columns, title="to reach a target: median (least to most)")
    for way in dict.fromkeys(record["way"] for record in runs):
        records = [record for record in runs if record["way"] == way]
        of_way = [record["reached"] for record in records]
        at_the_end = _spread([record["curve"][-1][1] for record in records], ".1%")
        for target in map(str, targets):
            found = [reached[target] for reached in of_way if target in reached]
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


def define_flags() -> None:
    """Defines those of the command."""
    config_flags.DEFINE_config_file("config", None, "File that describes the experiment.")
    flags.DEFINE_string("output", None, "File for a line of JSON for each run.")
    flags.DEFINE_list("ways", list(WAYS), "Names of ways to train.")
    flags.DEFINE_list("targets", ["0.5", "0.9"], "Exact accuracies to reach.")
    flags.DEFINE_integer("seeds", 3, "Runs of each way, with seeds from 0.", lower_bound=1)
    flags.DEFINE_integer("evaluate_every", 40, "Steps.", lower_bound=1)


def main(values: flags.FlagValues) -> None:
    """The command line."""
    unknown = set(values.ways) - set(WAYS)
    if unknown:
        raise ValueError(f"unknown ways {sorted(unknown)}; there are: {'; '.join(WAYS)}")
    targets = sorted(map(float, values.targets))
    output = pathlib.Path(values.output)
    dataset = data.load(values.config.data)
    task = experiment.Task.of(dataset)
    budget = experiment.build(values.config, task).planned_flops()
    ended, runs = read(output), []
    for seed in range(values.seeds):
        for way in values.ways:
            if (way, seed) not in ended:
                config = changed(values.config, way)
                config.seed, config.evaluation.every_steps = seed, values.evaluate_every
                spend(config, task, budget)
                with progress_bar() as progress:
                    found = run(config, dataset, targets, budget, progress, f"{way}, seed {seed}")
                ended[way, seed] = {"way": way, "seed": seed} | found
                with output.open("a") as file:
                    file.write(json.dumps(ended[way, seed]) + "\n")
                jax.clear_caches()
            runs.append(ended[way, seed])
    Console(highlight=False).print(table(runs, targets))


if __name__ == "__main__":
    command.main(define_flags, main, required=["config", "output"])
