"""Measures the cost of a checkpoint: how long training stops for it, and how much it slows down.

    python benchmarks/checkpoint_cost.py sudoku_mini

Trains the deepest stage of the curriculum. Dispatches with a save at their beginning and dispatches
without one take turns. Prints

- the time of a step and the size of a checkpoint;
- the median time for which `save` holds up the loop;
- the total cost of a checkpoint (the loop held up, and steps that are slower while the files are
  written), with the quartiles of the differences between neighboring dispatches, and its share of
  the training time with the config's `checkpoint.every_steps`.

Not covered: several processes, network file systems, and restoring.
"""

import pathlib
import tempfile
import time

import numpy as np
from absl import flags
from measuring import Spread, Training, compile_step, load_experiment

from cgar_jax.commands import command_line, runner
from cgar_jax.progress import Status
from cgar_jax.training.checkpoints import Checkpoints
from cgar_jax.training.clock import Clock


def define_flags() -> None:
    """Defines this benchmark's flags."""
    command_line.define_config()
    flags.DEFINE_integer("repeats", 30, "number of pairs of dispatches", lower_bound=1)


def folder_size(folder: pathlib.Path) -> int:
    """Returns the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(values: flags.FlagValues) -> None:
    """Runs the benchmark."""
    config = values.config
    steps, every_steps = config.training.steps_per_dispatch, config.checkpoint.every_steps
    plain, saving, held_up = [], [], []
    with (
        Status() as status,
        tempfile.TemporaryDirectory() as folder,
        Checkpoints(pathlib.Path(folder), {}, keep=1) as checkpoints,
    ):
        status.update("loading puzzles and compiling")
        built, dataset = load_experiment(config)
        training = Training(built, dataset, [steps] * (2 * values.repeats + 1))
        program = compile_step(built, built.curriculum(1.0), training.template)
        training.dispatch(program)  # warms up
        for repeat in range(values.repeats):
            status.update(f"timing, pair {repeat + 1} of {values.repeats}")
            seconds, _ = training.dispatch(program)
            plain.append(seconds)
            begin = time.perf_counter()
            checkpoints.save(training.state, int(training.state.step), Clock())
            held_up.append(time.perf_counter() - begin)
            seconds, _ = training.dispatch(program)
            saving.append(held_up[-1] + seconds)
            checkpoints.wait()
        size = folder_size(checkpoints.newest)
    step = Spread.of(plain).median / steps
    cost = Spread.of(np.subtract(saving, plain))
    print(f"one step: {1e3 * step:.2f} ms; one checkpoint: {size / 1e6:.1f} MB")
    print(f"a save holds up the loop for {1e3 * Spread.of(held_up).median:.0f} ms")
    print(
        f"total cost of a checkpoint: {cost.show('.0f', 'ms', factor=1e3)}, or "
        f"{cost.median / step:.1f} steps; with one every {every_steps} steps, "
        f"{cost.median / (every_steps * step):.2%} of the training time"
    )


if __name__ == "__main__":
    runner.main(define_flags, main, required=["config"])
