"""Compares variants of the verified search of a model that eliminates candidates.

    python benchmarks/search_variants.py --data=FILE.csv

All variants solve the same puzzles, one after the other. Prints a table with the share of proven
puzzles, median and mean of the passes, the loops per puzzle (passes times loops of a pass, which is
proportional to the FLOPs), and the seconds, compilation included. `singles` is the control: the
complete search with two hand-written rules in place of the network.

Without `--workdir`, it takes the model that comes with the package; without `--data`, the test
puzzles of its training data.
"""

import dataclasses
import time
from typing import Any

import numpy as np
from absl import flags
from rich.console import Console
from rich.table import Table

import cgar_jax
from cgar_jax import model_files
from cgar_jax.commands import command_line, runner
from cgar_jax.evaluation import Search, SearchOptions
from cgar_jax.evaluation.candidate_evaluator import control_of
from cgar_jax.progress import Status

COMPLETE = {"thresholds": (0.0,)}
VARIANTS: dict[str, tuple[int, dict[str, Any]]] = {
    "complete, 16 loops": (16, COMPLETE),
    "complete, 8 loops": (8, COMPLETE),
    "complete, 4 loops": (4, COMPLETE),
    "0.1 for 16 passes, then complete, 8 loops": (8, {"thresholds": (0.1, 0.0), "patience": 16}),
    "0.1 for 64 passes, then complete, 8 loops": (8, {"thresholds": (0.1, 0.0), "patience": 64}),
    "complete, guesses only at rest, 8 loops": (8, COMPLETE | {"rests": True}),
    "restarts instead of backtracking, 8 loops": (
        8,
        {"thresholds": (0.1, 0.05, 0.02), "max_guesses": 0},
    ),
}
"""Loops of a pass, and settings of `SearchRule`, by name."""


def searches(model: cgar_jax.TrainedModel, options: SearchOptions) -> dict[str, tuple[Search, int]]:
    """Returns the search of each variant, and the loops of its passes.

    Args:
      model: a model that eliminates candidates.
      options: budget and batches.
    """
    found = {}
    for name, (loops, settings) in VARIANTS.items():
        rule = dataclasses.replace(model.reasoner.rule, **settings)
        reasoner = dataclasses.replace(model.reasoner.with_loops(loops), rule=rule)
        found[name] = Search(reasoner, model.params, model.accepts, options), loops
    found["singles"] = Search(*control_of(model.reasoner), model.accepts, options), 1
    return found


def define_flags() -> None:
    """Defines this benchmark's flags."""
    command_line.define_workdir()
    command_line.define_path("data", "table of puzzles with answers, such as a CSV file")
    flags.DEFINE_list("variants", None, "numbers of the variants to run, from 0; default all")
    flags.DEFINE_integer("num_puzzles", 50, "number of puzzles, spread evenly", lower_bound=1)
    flags.DEFINE_integer("batch_size", 16, "number of puzzles side by side", lower_bound=1)


def main(values: flags.FlagValues) -> None:
    """Runs the benchmark."""
    table = Table("search", "proven", "median passes", "mean", "loops per puzzle", "seconds")
    with Status() as status:
        status.update("loading model and puzzles")
        model = cgar_jax.load(values.workdir or model_files.PRETRAINED)
        every = model.read_examples(values.data)["inputs"]
        questions = every[:: max(len(every) // values.num_puzzles, 1)][: values.num_puzzles]
        found = list(searches(model, SearchOptions(batch_size=values.batch_size)).items())
        chosen = map(int, values.variants) if values.variants else range(len(found))
        for name, (search, loops) in (found[number] for number in chosen):
            status.update(name)
            begin = time.perf_counter()
            proofs = search(questions)
            seconds = time.perf_counter() - begin
            passes = np.array([proof.passes for proof in proofs])
            figures = [f"{np.median(passes):g}", f"{passes.mean():.1f}"]
            figures += [f"{loops * passes.mean():,.0f}", f"{seconds:.0f}"]
            proven = sum(proof.verified for proof in proofs)
            table.add_row(name, f"{proven} of {len(proofs)}", *figures)
    Console().print(table)


if __name__ == "__main__":
    runner.main(define_flags, main, required=[])
