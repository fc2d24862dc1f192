"""How much memory a training step takes, by XLA's own count: nothing is trained, no data are read.

    python benchmarks/memory.py --config=configs/sudoku_extreme.py --microbatches=1,2,4

Each stage of the curriculum is compiled for the machine at hand, with the batch in so many
microbatches: of the activations that the gradient needs, those of one part at a time are held. In
brackets is what `cgar estimate` makes of it.
"""

import ml_collections
from absl import flags
from ml_collections import config_flags
from rich.console import Console
from rich.table import Table

from cgar_jax import experiment
from cgar_jax.commands import runner as command
from cgar_jax.curricula import StageDepth
from cgar_jax.planning import step_costs
from cgar_jax.planning.estimate import expected_task
from cgar_jax.progress import progress_bar
from cgar_jax.training.programs import peak_bytes, step_program


def cell(pieces: experiment.Experiment, depth: StageDepth, num_train: int) -> str:
    """What steps of a depth take, by XLA's analysis and as it is estimated."""
    shapes = pieces.abstract_state(), pieces.abstract_training_set(num_train)
    function, arguments = step_program(pieces.train_step, depth, *shapes)
    counted = peak_bytes(function.lower(*arguments).compile())
    estimated = sum(step_costs.step_memory(pieces, depth, num_train).values())
    return f"{counted / 1e9:,.3g} GB ({estimated / 1e9:,.3g})"


def table(config: ml_collections.ConfigDict, microbatches: list[int]) -> Table:
    """A row for each number of microbatches, a column for each stage."""
    task, num_train = expected_task(config.data)
    rows = []
    with progress_bar() as progress:
        for parts in progress.track(microbatches, description="compiling"):
            config.training.microbatches = parts
            pieces = experiment.build(config, task)
            depths = list(dict.fromkeys(stage.depth for stage in pieces.stages))
            rows.append((str(parts), *(cell(pieces, depth, num_train) for depth in depths)))
    title = f"memory of a device at the peak, batch {config.batch_size:,}, {config.model.dtype}"
    shown = Table("microbatches", *(f"depth {depth}" for depth in depths), title=title)
    for row in rows:
        shown.add_row(*row)
    return shown


def define_flags() -> None:
    """Defines those of the command."""
    config_flags.DEFINE_config_file("config", None, "File that describes the experiment.")
    flags.DEFINE_list("microbatches", ["1", "2", "4"], "Values of training.microbatches.")


def main(values: flags.FlagValues) -> None:
    """The command line."""
    microbatches = [int(each) for each in values.microbatches]
    Console(highlight=False).print(table(values.config, microbatches))


if __name__ == "__main__":
    command.main(define_flags, main, required=["config"])
