"""Measures how many puzzles per second a trained model solves, for different batch sizes.

    python benchmarks/solve_rate.py --workdir=FOLDER

Solves the same held-out puzzles with each batch size in turns. Prints a table with the median and
quartiles of puzzles per second in two ways: each puzzle until its answer is verified or the
supervision steps of training are spent, as `cgar solve` does, and each puzzle through all
supervision steps, as evaluation does. For a model that eliminates candidates, the second column is
the number of passes per second instead. Without `--workdir`, it takes the model that comes with the
package.

Not covered: several rollouts, and reading and printing puzzles.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from absl import flags
from measuring import Spread, timed
from rich.console import Console
from rich.table import Table

import cgar_jax
from cgar_jax import model_files
from cgar_jax.commands import command_line, runner
from cgar_jax.evaluation import Search
from cgar_jax.progress import Status
from cgar_jax.recursion import CandidateReasoner

STOPS = {"verified": "until verified", "budget": "all steps"}  # values of `stop`, and headings
PUZZLES, PASSES = "puzzles/s", "passes/s"
Rates = Callable[[np.ndarray], dict[str, float]]
"""Solves some puzzles once, and returns the rates by heading."""


def rollout_rates(model: cgar_jax.TrainedModel, size: int) -> Rates:
    """Returns a function that times rollouts, both ways.

    Args:
      model: the model.
      size: batch size.
    """
    solvers = {name: model.solver(batch_size=size, stop=stop) for stop, name in STOPS.items()}

    def rates(questions):
        return {
            name: len(questions) / timed(solver, questions)[1] for name, solver in solvers.items()
        }

    return rates


def search_rates(search: Search) -> Rates:
    """Returns a function that times a search.

    Args:
      search: the search.
    """

    def rates(questions):
        proofs, seconds = timed(search, questions)
        passes = sum(proof.passes for proof in proofs)
        return {PUZZLES: len(questions) / seconds, PASSES: passes / seconds}

    return rates


def rates_of(model: cgar_jax.TrainedModel, sizes: Sequence[int]) -> dict[int, Rates]:
    """Returns a function for each batch size that times the model.

    Args:
      model: the model.
      sizes: batch sizes.
    """
    if isinstance(model.reasoner, CandidateReasoner):
        return {size: search_rates(model.solver(batch_size=size)) for size in sizes}
    return {size: rollout_rates(model, size) for size in sizes}


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
        model = cgar_jax.load(values.workdir or model_files.PRETRAINED)
        questions = model.dataset().test["inputs"][: values.num_puzzles]
        rates = rates_of(model, sizes)
        found: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
        for repeat, size in itertools.product(range(values.repeats + 1), sizes):
            status.update(f"timing, repeat {repeat} of {values.repeats}, batch size {size}")
            once = rates[size](questions)
            if repeat:  # the first time, the solver compiles
                found[size].append(once)
    headings = list(found[sizes[0]][0])
    title, style = ("per second", ",.1f") if PASSES in headings else ("puzzles per second", ",.0f")
    table = Table("batch size", *headings, title=title)
    for size in sizes:
        spreads = (Spread.of([once[name] for once in found[size]]) for name in headings)
        table.add_row(str(size), *(spread.show(style) for spread in spreads))
    Console().print(table)


if __name__ == "__main__":
    runner.main(define_flags, main, required=[])
