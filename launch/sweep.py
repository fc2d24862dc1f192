"""Runs all the experiments that a config file lists, and puts their results into one table.

    python launch/sweep.py -- --config=configs/sudoku_mini.py
    python launch/sweep.py --dry_run -- --config=configs/sudoku_mini.py    # the commands
    launch/slurm.sh --sweep -- --config=configs/sudoku_mini.py             # a SLURM array

The file has, beside `get_config`, a function `get_sweep` that returns a list of dicts: what each
run overrides on the command line, such as `{"seed": 1, "optimizer.learning_rate": 1e-3}`
(`cgar_jax.config.grid` makes lists of combinations). A key that is the name of `get_config`'s
parameter is its value: `{"method": "trm"}` is `--config=FILE:trm`. So each run is a plain command
of the trainer, with the folder that the trainer itself would choose for it, and can be repeated by
hand. What follows -- is for all runs; `--workdir=FOLDER` is the folder of their folders.

`--parallel` runs go side by side (on few cores they slow each other down: then their times say
little), or one on each of `--gpus`. The output of each is in `output.log` of its folder.
`FOLDER/NAME.csv` has a row for each run: the settings that differ, where it is, and the figures of
its result; `--table` writes it without running anything. The same command again goes on: finished
runs are left alone, others resume. Ctrl-C or SIGTERM saves all of them and stops.
"""

import csv
import dataclasses
import importlib.util
import inspect
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections
from absl import app, flags
from local_processes import Processes, exit_code, shown, worst
from ml_collections import config_flags
from rich.console import Console
from rich.table import Table

from cgar_jax.commands.command_line import default_workdir, leave, parse_flags, read_flags
from cgar_jax.progress import Ticker

PARALLEL = flags.DEFINE_integer("parallel", 2, "How many runs go side by side.", lower_bound=1)
GPUS = flags.DEFINE_list("gpus", [], "Numbers of GPUs, one run on each; instead of --parallel.")
INDEX = flags.DEFINE_integer("index", None, "Runs this one of the sweep, counted from 0.")
COUNT = flags.DEFINE_bool("count", False, "Prints how many runs the sweep has.")
TABLE = flags.DEFINE_bool("table", False, "Writes the table of what there is.")
DRY_RUN = flags.DEFINE_bool("dry_run", False, "Prints the commands instead of running them.")

ALONE = ("--num_processes=1",)  # whatever a cluster says: runs side by side are not one run
SHOWN = ("exact_accuracy", "cell_accuracy", "train_seconds")  # on the terminal; the CSV has all


@dataclasses.dataclass
class Run:
    """One run of a sweep.

    Attributes:
      arguments: of the trainer.
      config: what they mean.
      workdir: where it lies.
      differences: the settings in which runs of the sweep differ, as they are in this one.
      code: exit code, if it ended just now.
    """

    arguments: list[str]
    config: ml_collections.ConfigDict
    workdir: pathlib.Path
    differences: dict[str, Any] = dataclasses.field(default_factory=dict)
    code: int | None = None

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return " ".join(f"{key}={value}" for key, value in self.differences.items())

    def command(self, *more: str) -> list[str]:
        """The command that anyone can repeat."""
        trainer = [sys.executable, "-u", "-m", "cgar_jax", "train"]
        return [*trainer, *self.arguments, f"--workdir={self.workdir}", *more]

    def result(self) -> dict[str, Any]:
        """The figures, if it has finished with these settings."""
        try:
            saved = json.loads((self.workdir / "config.json").read_text())
            result = json.loads((self.workdir / "result.json").read_text())
        except (OSError, ValueError):
            return {}
        wanted = json.loads(self.config.to_json_best_effort())
        return result if all(saved.get(key) == wanted[key] for key in wanted) else {}

    def step(self) -> int:
        """How far the log of its metrics goes."""
        try:
            lines = (self.workdir / "metrics.jsonl").read_text().splitlines()
        except OSError:
            return 0
        whole = (line for line in reversed(lines) if line.endswith("}"))
        return next((json.loads(line)["step"] for line in whole), 0)

    def status(self) -> str:
        """In words."""
        if self.result():
            return "finished"
        if self.code not in (None, 0, 130, 143):
            return f"failed with exit code {self.code}"
        return f"step {self.step()} of {self.config.training.steps}" if self.step() else "not begun"


def read_sweep(arguments: Sequence[str]) -> tuple[list[Run], pathlib.Path]:
    """The runs of a sweep, and the file of their table.

    Args:
      arguments: of the trainer, for all runs; `--config=FILE` is among them.

    Raises:
      ValueError: the file has no sweep, or it is empty; a key does not exist; two runs are the
        same.
    """
    given, rest = take(arguments, "config")
    folder, rest = take(rest, "workdir")
    if given is None:
        raise ValueError("give the trainer's arguments after --, such as -- --config=FILE.py")
    file, _, chosen = given.partition(":")
    every, parameter = load_sweep(file)
    fixed = {each.partition("=")[0].removeprefix("--config.") for each in rest}
    if chosen:
        fixed.add(parameter.name if parameter else "")
    runs = []
    for index, overrides in enumerate(every):
        if twice := sorted(fixed & set(overrides)):
            raise ValueError(f"{twice[0]} is set on the command line and by the sweep of {file}")
        try:
            runs.append(read_run(file, chosen, parameter, rest, overrides, folder))
        except ValueError as error:
            raise ValueError(f"run {index} of the sweep, {overrides}: {error}") from error
    check_distinct(runs, every)
    add_differences(runs, every, parameter, chosen)
    name = pathlib.Path(file).stem
    return runs, pathlib.Path(folder or runs[0].workdir.parent) / f"{name}.csv"


def take(arguments: Sequence[str], name: str) -> tuple[str | None, list[str]]:
    """The value of `--name=VALUE`, and the other arguments."""
    if f"--{name}" in arguments:
        raise ValueError(f"write --{name}=VALUE, with an equals sign")
    start = f"--{name}="
    values = [each.removeprefix(start) for each in arguments if each.startswith(start)]
    return values[-1] if values else None, [a for a in arguments if not a.startswith(start)]


def load_sweep(file: str) -> tuple[list[Mapping[str, Any]], inspect.Parameter | None]:
    """What `get_sweep` of a config file returns, and the parameter of its `get_config`."""
    if not pathlib.Path(file).is_file():
        raise ValueError(f"there is no config file {file}")
    spec = importlib.util.spec_from_file_location("swept_config", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_sweep"):
        raise ValueError(f"{file} has no function get_sweep, which lists the runs")
    every = module.get_sweep()
    if not isinstance(every, list) or not all(isinstance(each, Mapping) for each in every):
        raise ValueError(f"get_sweep of {file} has to return a list of dicts")
    if not every:
        raise ValueError(f"the sweep of {file} has no runs")
    return every, next(iter(inspect.signature(module.get_config).parameters.values()), None)


def read_run(
    file: str,
    chosen: str,
    parameter: inspect.Parameter | None,
    rest: Sequence[str],
    overrides: Mapping[str, Any],
    folder: str | None,
) -> Run:
    """One run, its settings checked as the trainer checks them."""
    settings = dict(overrides)
    if parameter and parameter.name in settings:
        chosen = str(settings.pop(parameter.name))
    config = f"--config={file}:{chosen}" if chosen else f"--config={file}"
    arguments = [config, *rest, *(f"--config.{key}={value}" for key, value in settings.items())]
    argv = ["sweep", *arguments]
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    if unexpected := read_flags(values, argv)[1:]:
        raise ValueError(f"unexpected arguments {unexpected}")
    workdir = default_workdir(file, values.config)
    if folder:
        workdir = pathlib.Path(folder) / workdir.name
    return Run(arguments, values.config, workdir)


def check_distinct(runs: Sequence[Run], every: Sequence[Mapping[str, Any]]) -> None:
    """The folder is named after all settings: the same folder, the same run."""
    seen = {}
    for index, run in enumerate(runs):
        first = seen.setdefault(run.workdir, index)
        if first != index:
            raise ValueError(
                f"runs {first} and {index} of the sweep are the same: "
                f"{every[first]} and {every[index]}"
            )


def add_differences(
    runs: Sequence[Run],
    every: Sequence[Mapping[str, Any]],
    parameter: inspect.Parameter | None,
    chosen: str,
) -> None:
    """Tells each run in which settings it differs from others; defaults count too."""
    for key in dict.fromkeys(key for overrides in every for key in overrides):
        if parameter and key == parameter.name:
            values = [each.get(key, chosen or parameter.default) for each in every]
        else:
            values = [at(run.config, key) for run in runs]
        if len({str(value) for value in values}) > 1:
            for run, value in zip(runs, values, strict=True):
                run.differences[key] = value


def at(config: ml_collections.ConfigDict, key: str) -> Any:
    """The value of a key with dots; empty where this run has none."""
    for part in key.split("."):
        config = config.get(part, "") if isinstance(config, ml_collections.ConfigDict) else ""
    return config


def run_all(runs: Sequence[Run], table: pathlib.Path, console: Console) -> int:
    """Runs what has not finished; returns the exit code of the sweep."""
    free = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in GPUS.value] or [{}] * PARALLEL.value
    waiting = [run for run in runs if not run.result()]
    if len(waiting) < len(runs):
        console.print(f"{len(runs) - len(waiting)} of {len(runs)} runs have finished before")
    running: dict[subprocess.Popen, tuple[Run, dict[str, str]]] = {}
    ticker = Ticker(1.0 if console.is_terminal else 60.0)
    with console.status("") as line, Processes() as processes:
        while running or (waiting and not processes.signal):
            while waiting and free and not processes.signal:
                run, environment = waiting.pop(0), free.pop(0)
                running[start(run, environment, processes)] = run, environment
                console.print(f"{run.name}: started, in {run.workdir}", soft_wrap=True)
            for process in [process for process in running if process.poll() is not None]:
                run, environment = running.pop(process)
                free.append(environment)
                run.code = exit_code(process)
                console.print(f"{run.name}: {run.status()}", soft_wrap=True)
                write_table(runs, table)
            if running and ticker.due():
                where = progress(runs, [run for run, _ in running.values()])
                if console.is_terminal:
                    line.update("\n  ".join(where))
                else:
                    console.print(" · ".join(where), soft_wrap=True)
            time.sleep(0.1)
        write_table(runs, table)
        if processes.signal:
            console.print("stopped; the same command goes on from there")
            return 128 + processes.signal
    return worst(run.code or 0 for run in runs)


def start(run: Run, environment: Mapping[str, str], processes: Processes) -> subprocess.Popen:
    """Starts a run; its output is added to what it wrote before."""
    run.workdir.mkdir(parents=True, exist_ok=True)
    with (run.workdir / "output.log").open("a") as log:
        return processes.start(
            run.command(*ALONE), environment, stdout=log, stderr=subprocess.STDOUT
        )


def progress(runs: Sequence[Run], running: Sequence[Run]) -> list[str]:
    """Which run is where."""
    finished = sum(1 for run in runs if run.result())
    where = [f"{run.name}: {run.status()}" for run in running]
    return [f"{finished} of {len(runs)} finished", *where]


def write_table(runs: Sequence[Run], path: pathlib.Path) -> None:
    """Writes the CSV: a row for each run, a column for each setting that differs and each figure.

    A reader sees the old file or the whole new one.
    """
    rows = []
    for run in runs:
        figures = {
            name: value
            for name, value in run.result().items()
            if not isinstance(value, list | dict) and name not in run.differences
        }
        about = {"status": run.status(), "workdir": str(run.workdir)}
        rows.append(run.differences | about | figures)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    with fresh.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    os.replace(fresh, path)


def summary(runs: Sequence[Run]) -> Table:
    """The table for the terminal."""
    results = [run.result() for run in runs]
    figures = [name for name in SHOWN if any(name in result for result in results)]
    table = Table()
    for name in (*runs[0].differences, "status", *figures):
        table.add_column(name.replace("_", " ") if name in figures else name, overflow="fold")
    for run, result in zip(runs, results, strict=True):
        cells = [*run.differences.values(), run.status()]
        cells += [f"{result[name]:.4g}" if name in result else "" for name in figures]
        table.add_row(*map(str, cells))
    return table


def main(argv: Sequence[str]) -> None:
    """The command line."""
    try:
        runs, table = read_sweep(argv[1:])
        if INDEX.value is not None and not 0 <= INDEX.value < len(runs):
            raise ValueError(f"--index={INDEX.value}: the sweep has runs 0 to {len(runs) - 1}")
        console = Console(highlight=False)
        if COUNT.value:
            print(len(runs))
        elif INDEX.value is not None:
            run_one(runs[INDEX.value])
        elif DRY_RUN.value:
            for run in runs:
                print(("# finished: " if run.result() else "") + shown(run.command(*ALONE), {}))
        else:
            if TABLE.value:
                write_table(runs, table)
            code = 0 if TABLE.value else run_all(runs, table, console)
            console.print(summary(runs), f"all figures are in {table}", soft_wrap=True)
            sys.exit(code)
    except (ValueError, OSError) as error:
        leave(f"error: {error}", 2)


def run_one(run: Run) -> None:
    """Becomes the trainer, with its exit code and the signals it is sent."""
    if DRY_RUN.value:
        print(shown(run.command(), {}))
    elif run.result():
        print(f"{run.name}: finished, in {run.workdir}")
    else:
        print(f"{run.name}: in {run.workdir}", flush=True)
        os.execv(sys.executable, run.command())


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
