"""What checkpoints cost: how long training stands still for one, and how much it slows down.

    python benchmarks/checkpoint_cost.py --config=configs/sudoku_mini.py

Trains the deepest stage, one dispatch with a save at its beginning and one without in turns, and
prints the size of a checkpoint, the time for which `save` holds up the loop, the time that one
costs in all (the loop held up, and steps that are slower while it is written) with the quartiles of
the differences between neighbours, and what share of the training time that is with the config's
`checkpoint.every_steps`.
"""

import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from absl import app, flags
from ml_collections import config_flags
from rich.progress import track

from cgar_jax import data, experiment
from cgar_jax.commands.command_line import parse_flags
from cgar_jax.training.checkpoints import Checkpoints, Clock
from cgar_jax.training.programs import Programs

CONFIG = config_flags.DEFINE_config_file("config", None, "File that describes the experiment.")
REPEATS = flags.DEFINE_integer("repeats", 30, "How often both are timed.")


def dispatch(
    train: Callable[[Any], Any], state: Any, checkpoints: Checkpoints | None
) -> tuple[Any, float, float]:
    """One dispatch: the state after it, its seconds, and those of them spent in `save`."""
    begin = time.perf_counter()
    if checkpoints is not None:
        checkpoints.save(state, int(state.step), Clock())
    held_up = time.perf_counter() - begin
    state = jax.block_until_ready(train(state))
    return state, time.perf_counter() - begin, held_up


def main(argv: Sequence[str]) -> None:
    """The command line."""
    del argv
    config = CONFIG.value
    dataset = data.load(config.data)
    pieces = experiment.build(config, experiment.Task.of(dataset))
    training_set = pieces.on_device(dataset.train, dataset.augment)
    steps = config.training.steps_per_dispatch
    state = pieces.initial_state()
    plain, saving, held_up = [], [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        Programs(pieces.train_step, state, training_set) as programs,
        Checkpoints(pathlib.Path(folder), {}, keep=1) as checkpoints,
    ):
        program = programs.prepare(pieces.curriculum(1.0)).result()
        train = lambda state: program(state, training_set, np.int32(steps))[0]  # noqa: E731
        state = jax.block_until_ready(train(state))
        for _ in track(range(REPEATS.value), "timing", transient=True):
            state, seconds, _ = dispatch(train, state, None)
            plain.append(seconds)
            state, seconds, waited = dispatch(train, state, checkpoints)
            saving.append(seconds)
            held_up.append(waited)
            checkpoints.wait()
        files = [path for path in checkpoints.newest.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
    step = statistics.median(plain) / steps
    low, cost, high = np.percentile(np.subtract(saving, plain), (25, 50, 75))
    share = cost / (config.checkpoint.every_steps * step)
    print(f"a step: {1e3 * step:.2f} ms; a checkpoint: {size / 1e6:.1f} MB")
    print(f"held up by a save: {1e3 * statistics.median(held_up):.0f} ms")
    print(
        f"a checkpoint in all: {1e3 * cost:.0f} ms (quartiles {1e3 * low:.0f} and "
        f"{1e3 * high:.0f}), {cost / step:.1f} steps; every {config.checkpoint.every_steps} "
        f"steps: {share:.2%} of the training time"
    )


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=parse_flags)
