"""Runs all experiments that a config lists, and collects their results in one table.

The config file has a function `get_sweep` beside `get_config`. It returns a list of dicts; each
contains the settings that one run changes, such as `{"seed": 1, "optimizer.learning_rate": 1e-3}`
(`cgar_jax.config.grid` makes lists of combinations). A key with the name of `get_config`'s
parameter sets that parameter: `{"method": "trm"}` trains `CONFIG:trm`. Every run is therefore an
ordinary command of the trainer, with the folder that the trainer would choose, and can be repeated
by hand. The arguments after -- apply to all runs; --workdir=FOLDER is the folder that contains
their folders.

Several runs go on side by side: --parallel of them, or one on each of the --gpus. On few cores,
runs slow each other down; use --parallel=1 for times that can be compared. The output of each run
is in `output.log` in its folder.

`FOLDER/NAME.csv` has one row per run: the settings in which runs differ, the folder, and the
figures of its `result.json`. Ctrl-C or SIGTERM saves all runs and stops. The same command continues
the sweep: it skips finished runs and resumes the others.

Not covered: several hosts (`launch/slurm.sh --sweep` submits a job array), and choosing settings
automatically.
"""

import csv
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from absl import flags
from local_processes import Processes, exit_code, shell_command, worst_exit_code
from rich.console import Console
from rich.table import Table
from sweep_plan import Run, read_sweep

from cgar_jax.commands.command_line import leave, parse_command
from cgar_jax.commands.usage import Interface
from cgar_jax.progress import Ticker

# Runs side by side are separate runs, even if a cluster announces several processes.
SEPARATE = ("--num_processes=1",)
# The figures shown in the terminal; the CSV file has all of them.
SHOWN = ("exact_accuracy", "cell_accuracy", "train_seconds")
EXAMPLES = (
    "python launch/sweep.py --parallel=1 -- sudoku_mini",
    "python launch/sweep.py --dry_run -- sudoku_mini    # print the command of each run",
    "launch/slurm.sh --sweep -- sudoku_mini             # submit a SLURM job array",
)


def define_flags() -> None:
    """Defines this launcher's flags."""
    flags.DEFINE_integer("parallel", 2, "number of runs side by side", lower_bound=1)
    flags.DEFINE_list("gpus", [], "numbers of GPUs, for one run on each; replaces --parallel")
    flags.DEFINE_integer("index", None, "run only the run with this index, from 0")
    flags.DEFINE_bool("count", False, "print the number of runs, and run nothing")
    flags.DEFINE_bool("table", False, "write the table of existing results, and run nothing")
    flags.DEFINE_bool("dry_run", False, "print the commands, and run nothing")


def run_all(
    runs: Sequence[Run], environments: list[dict[str, str]], table: pathlib.Path, console: Console
) -> int:
    """Trains all unfinished runs, and returns the exit code of the sweep.

    Args:
      runs: the runs of the sweep.
      environments: variables for each of the runs side by side.
      table: path of the CSV file, which is written whenever a run ends.
      console: where to report progress.
    """
    free, waiting = list(environments), [run for run in runs if not run.result()]
    if len(waiting) < len(runs):
        console.print(f"{len(runs) - len(waiting)} of {len(runs)} runs are already finished")
    running: dict[subprocess.Popen, tuple[Run, dict[str, str]]] = {}
    ticker = Ticker(1.0 if console.is_terminal else 60.0)
    with console.status("") as line, Processes() as processes:
        while running or (waiting and not processes.signal):
            while waiting and free and not processes.signal:
                run, environment = waiting.pop(0), free.pop(0)
                running[start(run, environment, processes)] = run, environment
                console.print(f"{run.name}: started in {run.workdir}", soft_wrap=True)
            for process in [process for process in running if process.poll() is not None]:
                run, environment = running.pop(process)
                free.append(environment)
                run.code = exit_code(process)
                console.print(f"{run.name}: {run.status()}", soft_wrap=True)
                write_table(runs, table)
            if running and ticker.due():
                report = progress(runs, [run for run, _ in running.values()])
                if console.is_terminal:
                    line.update("\n  ".join(report))
                else:
                    console.print(" · ".join(report), soft_wrap=True)
            time.sleep(0.1)
        write_table(runs, table)
        if processes.signal:
            console.print("stopped; the same command continues the sweep")
            return 128 + processes.signal
    return worst_exit_code(run.code or 0 for run in runs)


def start(run: Run, environment: Mapping[str, str], processes: Processes) -> subprocess.Popen:
    """Starts a run; its output is appended to `output.log`."""
    run.workdir.mkdir(parents=True, exist_ok=True)
    with (run.workdir / "output.log").open("a", encoding="utf-8") as log:
        return processes.start(
            run.command(*SEPARATE), environment, stdout=log, stderr=subprocess.STDOUT
        )


def run_one(run: Run, dry_run: bool) -> None:
    """Replaces this process by the trainer, so that its exit code and signals are the trainer's."""
    if dry_run:
        print(shell_command(run.command(), {}))
    elif run.result():
        print(f"{run.name}: finished, in {run.workdir}")
    else:
        print(f"{run.name}: in {run.workdir}", flush=True)
        os.execv(sys.executable, run.command())


def progress(runs: Sequence[Run], running: Sequence[Run]) -> list[str]:
    """Returns the number of finished runs, and the status of the running ones."""
    finished = sum(1 for run in runs if run.result())
    return [
        f"{finished} of {len(runs)} finished",
        *(f"{run.name}: {run.status()}" for run in running),
    ]


def write_table(runs: Sequence[Run], path: pathlib.Path) -> None:
    """Writes the CSV file: a row per run, a column per differing setting and per figure.

    The file is replaced in one operation, so that a reader never sees half a table.
    """
    rows = []
    for run in runs:
        figures = {
            name: value
            for name, value in run.result().items()
            if not isinstance(value, list | dict) and name not in run.differences
        }
        state = {"status": run.status(), "workdir": str(run.workdir)}
        rows.append(run.differences | state | figures)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    with fresh.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    os.replace(fresh, path)


def summary(runs: Sequence[Run]) -> Table:
    """Returns the table that is shown in the terminal."""
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


def main(values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Runs this launcher and returns its exit code."""
    runs, table = read_sweep(arguments)
    if values.index is not None and not 0 <= values.index < len(runs):
        raise ValueError(f"--index={values.index}: the sweep has runs 0 to {len(runs) - 1}")
    if values.count:
        print(len(runs))
    elif values.index is not None:
        run_one(runs[values.index], values.dry_run)
    elif values.dry_run:
        for run in runs:
            remark = "# finished: " if run.result() else ""
            print(remark + shell_command(run.command(*SEPARATE), {}))
    else:
        console, code = Console(highlight=False), 0
        if values.table:
            write_table(runs, table)
        else:
            gpus = [{"CUDA_VISIBLE_DEVICES": number} for number in values.gpus]
            code = run_all(runs, gpus or [{}] * values.parallel, table, console)
        console.print(summary(runs), f"all figures are in {table}", soft_wrap=True)
        return code
    return 0


INTERFACE = Interface(
    "python launch/sweep.py",
    main,
    define_flags,
    description=__doc__.strip(),
    arguments="[OPTIONS] -- CONFIG",
    examples=EXAMPLES,
)

if __name__ == "__main__":
    try:
        sys.exit(main(*parse_command(INTERFACE, sys.argv[1:])))
    except (ValueError, OSError) as failure:
        leave(f"error: {failure}", 2)
