"""Measures how many puzzles per second a trained model solves, for different batch sizes.

    python benchmarks/solve_rate.py --workdir=FOLDER

Solves the same held-out puzzles with each batch size in turns. Prints a table with the median and
quartiles of puzzles per second in two ways: each puzzle until its answer is verified or the
supervision steps of training are spent, as `cgar solve` does, and each puzzle through all
supervision steps, as evaluation does.

Not covered: several rollouts, and reading and printing puzzles.
"""

import itertools

from absl import flags
from measuring import Spread, timed
from rich.console import Console
from rich.table import Table

import cgar_jax
from cgar_jax.commands import command_line, runner
from cgar_jax.progress import Status

STOPS = {"verified": "until verified", "budget": "all steps"}  # values of `stop`, and headings


def define_flags() -> None:
    """Defines this benchmark's flags."""
    command_line.define_workdir()
    flags.DEFINE_list("batch_sizes", ["1", "4", "16", "64", "256"], "batch sizes to try")
    flags.DEFINE_integer("num_puzzles", 256, "number of test puzzles to solve", lower_bound=1)
    flags.DEFINE_integer("repeats", 5, "number of times that everything is timed", lower_bound=1)


def main(values: flags.FlagValues) -> None:
    """Runs the benchmark."""
    sizes = [int(size) for size in values.batch_sizes]
    with Status() as status:
        status.update("loading model and puzzles")
        model = cgar_jax.load(values.workdir)
        questions = model.dataset().test["inputs"][: values.num_puzzles]
        solvers = {
            (size, stop): model.solver(batch_size=size, stop=stop)
            for size, stop in itertools.product(sizes, STOPS)
        }
        rates = {key: [] for key in solvers}
        for repeat in range(values.repeats + 1):
            for key, solver in solvers.items():
                status.update(f"timing, repeat {repeat} of {values.repeats}, batch size {key[0]}")
                _, seconds = timed(solver, questions)
                if repeat:  # the first time, the solver compiles
                    rates[key].append(len(questions) / seconds)
    table = Table("batch size", *STOPS.values(), title="puzzles per second")
    for size in sizes:
        table.add_row(str(size), *(Spread.of(rates[size, stop]).show(",.0f") for stop in STOPS))
    Console().print(table)


if __name__ == "__main__":
    runner.main(define_flags, main, required=["workdir"])
