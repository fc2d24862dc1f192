"""What it costs to bring examples to the training step: on the devices, and streamed to them.

    python benchmarks/input_rate.py --config=configs/sudoku_mini.py

Prints how many examples per second one core lays out for a stream, and for the training set on the
devices and streamed the time of a step and the share of it in which the host waited for examples.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from absl import app, flags
from ml_collections import config_flags

from cgar_jax import data, experiment
from cgar_jax.training.programs import Programs

CONFIG = config_flags.DEFINE_config_file("config", None, "File that describes the experiment.")
DISPATCHES = flags.DEFINE_integer("dispatches", 10, "How many are timed.")
REPEATS = flags.DEFINE_integer("repeats", 3, "How often everything is timed.")


def spans_of(config: Any, count: int) -> list[tuple[int, int]]:
    """The first dispatches of a run."""
    steps = config.training.steps_per_dispatch
    return [(first, first + steps) for first in range(0, count * steps, steps)]


def laying_out(stream: Callable, config: Any) -> float:
    """Examples per second that one thread lays out, with nothing else to do."""
    spans = spans_of(config, 5)
    begin = time.perf_counter()
    for block in stream(spans):
        jax.block_until_ready(block)
    seconds = time.perf_counter() - begin
    return len(spans) * config.training.steps_per_dispatch * config.batch_size / seconds


def training(pieces: experiment.Experiment, template: Any, feed: Callable) -> tuple[float, float]:
    """Seconds per step, and the share of them in which the host waited for examples."""
    config, state = pieces.config, pieces.initial_state()
    with Programs(pieces.train_step, state, template) as programs:
        program = programs.prepare(pieces.curriculum(1.0)).result()
        begin, waited, previous = None, 0.0, None
        spans = spans_of(config, DISPATCHES.value + 1)
        feeding = feed(spans)
        for first, stop in spans:
            asked = time.perf_counter()
            block = next(feeding)
            waited += time.perf_counter() - asked
            state, sums = program(state, block, np.int32(stop - first))
            jax.block_until_ready(previous)  # the host stays one dispatch ahead, as in training
            previous = sums["loss"]
            if begin is None:  # the first dispatch warms up
                jax.block_until_ready(previous)
                begin, waited = time.perf_counter(), 0.0
        jax.block_until_ready(previous)
    seconds = time.perf_counter() - begin
    return seconds / (DISPATCHES.value * config.training.steps_per_dispatch), waited / seconds


def main(argv: Sequence[str]) -> None:
    """The command line."""
    del argv
    config = CONFIG.value
    config.sampling = {"name": "epoch_sampling"}
    dataset = data.load(config.data)
    pieces = experiment.build(config, experiment.Task.of(dataset))
    resident = pieces.feed(dataset.train, dataset.augment)
    stream = pieces.stream(dataset.train, dataset.augment)
    feeds = {"on the devices": resident, "streamed": (stream.template, stream)}
    for _ in range(REPEATS.value):
        print(f"laid out by one thread: {laying_out(stream, config):,.0f} examples/s")
        for name, (template, feed) in feeds.items():
            seconds, waiting = training(pieces, template, feed)
            print(f"{name}: {1e3 * seconds:.2f} ms a step, {waiting:.3%} of it waiting for data")


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main)
