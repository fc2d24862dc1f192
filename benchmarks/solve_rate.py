"""How many puzzles a second a trained model solves, by batch size.

    python benchmarks/solve_rate.py --workdir=FOLDER

Solves the same held-out puzzles with each batch size in turns, until they are verified or the steps
of training are spent, and prints medians and quartiles over the repeats. A second figure is for the
same puzzles all run to the end, as scoring does.
"""

import time

import numpy as np
from absl import flags
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cgar_jax import data
from cgar_jax import trained_model as trained
from cgar_jax.commands import runner as command
from cgar_jax.commands.solve import load_solver


def define_flags() -> None:
    """Defines those of the command."""
    flags.DEFINE_string("workdir", None, "Folder of the run or shared model.")
    flags.DEFINE_list("batch_sizes", ["1", "4", "16", "64", "256"], "To try.")
    flags.DEFINE_integer("num_puzzles", 256, "How many are solved at once, the first of the test.")
    flags.DEFINE_integer("repeats", 5, "How often each batch size is timed.")


def main(values: flags.FlagValues) -> None:
    """The command line."""
    model = trained.load(values.workdir)
    questions = data.load(model.pieces.config.data).test["inputs"][: values.num_puzzles]
    solvers = {
        (int(size), stop): load_solver(model, batch_size=int(size), stop=stop)
        for size in values.batch_sizes
        for stop in ("verified", "budget")
    }
    seconds = {key: [] for key in solvers}
    for repeat in track(range(values.repeats + 1), "timing", transient=True):
        for key, solver in solvers.items():
            begin = time.perf_counter()
            solver(questions)
            if repeat:  # the first one compiles
                seconds[key].append(time.perf_counter() - begin)
    table = Table("batch size", "until verified", "all steps", title="puzzles a second")
    for size in dict.fromkeys(size for size, _ in solvers):
        table.add_row(
            str(size),
            *(_rate(len(questions), seconds[size, stop]) for stop in ("verified", "budget")),
        )
    Console().print(table)


def _rate(num: int, seconds: list[float]) -> str:
    low, median, high = np.percentile(num / np.array(seconds), (25, 50, 75))
    return f"{median:,.0f} ({low:,.0f} to {high:,.0f})"


if __name__ == "__main__":
    command.main(define_flags, main, required=["workdir"])
