"""Computes the memory that a training step needs, by XLA's own analysis, without training.

    python benchmarks/memory.py sudoku_extreme --microbatches=1,2,4

Compiles each stage of the curriculum for this machine, with the batch divided into different
numbers of microbatches: only one microbatch at a time keeps the activations that its gradient
needs. Prints a table with the peak memory of one device, and in brackets the figure of
`cgar estimate`.

Not covered: memory of the runtime and of libraries. Compiled for CPUs, the figures for GPUs may
differ, above all in bfloat16.
"""

import ml_collections
from absl import flags
from rich.console import Console
from rich.table import Table

from cgar_jax import experiment
from cgar_jax.commands import command_line, runner
from cgar_jax.curricula import StageDepth
from cgar_jax.planning import step_costs
from cgar_jax.planning.estimate import expected_task
from cgar_jax.progress import Status
from cgar_jax.training.programs import peak_bytes, step_program


def cell(built: experiment.Experiment, depth: StageDepth, num_train: int) -> str:
    """Returns the peak memory of steps of a depth, by XLA's analysis and as estimated."""
    shapes = built.abstract_state(), built.abstract_training_set(num_train)
    function, arguments = step_program(built.train_step, depth, *shapes)
    counted = peak_bytes(function.lower(*arguments).compile())
    estimated = sum(step_costs.step_memory(built, depth, num_train).values())
    return f"{counted / 1e9:,.3g} GB ({estimated / 1e9:,.3g})"


def table(config: ml_collections.ConfigDict, microbatches: list[int]) -> Table:
    """Returns a table with one row per number of microbatches and one column per stage."""
    task, num_train = expected_task(config.data)
    rows = []
    with Status() as status:
        for parts in microbatches:
            config.training.microbatches = parts
            built = experiment.build(config, task)
            depths = list(dict.fromkeys(stage.depth for stage in built.stages))
            cells = []
            for depth in depths:
                status.update(f"compiling depth {depth} with {parts} microbatches")
                cells.append(cell(built, depth, num_train))
            rows.append((str(parts), *cells))
    title = f"peak memory of a device, batch of {config.batch_size:,}, {config.model.dtype}"
    shown = Table("microbatches", *(f"depth {depth}" for depth in depths), title=title)
    for row in rows:
        shown.add_row(*row)
    return shown


def define_flags() -> None:
    """Defines this benchmark's flags."""
    command_line.define_config()
    flags.DEFINE_list("microbatches", ["1", "2", "4"], "values of training.microbatches to try")


def main(values: flags.FlagValues) -> None:
    """Runs the benchmark."""
    microbatches = [int(number) for number in values.microbatches]
    Console(highlight=False).print(table(values.config, microbatches))


if __name__ == "__main__":
    runner.main(define_flags, main, required=["config"])
