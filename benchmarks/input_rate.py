"""Measures the cost of bringing examples to the training step, stored on devices or streamed.

    python benchmarks/input_rate.py sudoku_mini

Trains the deepest stage of the curriculum. Prints, once per repeat, how many examples per second
one thread of the host prepares for a stream, and for both kinds of feed the time of a step and the
share of it in which the host waits for examples.

Not covered: reading files (the puzzles are in memory), and several processes.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import flags
from measuring import compile_step, load_experiment

from cgar_jax.commands import command_line, runner
from cgar_jax.experiment import Experiment
from cgar_jax.progress import Status
from cgar_jax.training.feed import Span

# Dispatches whose examples are prepared to measure the rate of one thread.
PREPARED_DISPATCHES = 5


def first_spans(config: ml_collections.ConfigDict, count: int) -> list[Span]:
    """Returns the spans of the first dispatches of a run."""
    steps = config.training.steps_per_dispatch
    return [(first, first + steps) for first in range(0, count * steps, steps)]


def preparation_rate(stream: Callable, config: ml_collections.ConfigDict) -> float:
    """Returns the examples per second that one thread prepares while nothing else runs."""
    spans = first_spans(config, PREPARED_DISPATCHES)
    begin = time.perf_counter()
    for block in stream(spans):
        jax.block_until_ready(block)
    seconds = time.perf_counter() - begin
    return len(spans) * config.training.steps_per_dispatch * config.batch_size / seconds


def train(built: Experiment, template: Any, feed: Callable, dispatches: int) -> tuple[float, float]:
    """Trains with a feed.

    Args:
      built: the experiment.
      template: training data, or their shapes, to compile for.
      feed: the feed.
      dispatches: number of dispatches that are timed.

    Returns:
      The seconds of a step, and the share of them in which the host waited for examples.
    """
    program = compile_step(built, built.curriculum(1.0), template)
    state, begin, waited, previous = built.initial_state(), None, 0.0, None
    spans = first_spans(built.config, dispatches + 1)
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
    return seconds / (dispatches * built.config.training.steps_per_dispatch), waited / seconds


def define_flags() -> None:
    """Defines this benchmark's flags."""
    command_line.define_config()
    flags.DEFINE_integer("dispatches", 10, "dispatches that are timed", lower_bound=1)
    flags.DEFINE_integer("repeats", 3, "number of times that everything is timed", lower_bound=1)


def main(values: flags.FlagValues) -> None:
    """Runs the benchmark."""
    config = values.config
    config.sampling = {"name": "epoch_sampling"}
    with Status() as status:
        status.update("loading puzzles")
        built, dataset = load_experiment(config)
        stream = built.stream(dataset.train, dataset.augment)
        feeds = {
            "on the devices": built.feed(dataset.train, dataset.augment),
            "streamed": (stream.template, stream),
        }
        for repeat in range(values.repeats):
            status.update(f"timing, repeat {repeat + 1} of {values.repeats}")
            print(f"one thread prepares {preparation_rate(stream, config):,.0f} examples/s")
            for name, (template, feed) in feeds.items():
                step, waiting = train(built, template, feed, values.dispatches)
                print(f"{name}: {1e3 * step:.2f} ms per step, {waiting:.3%} waiting for data")


if __name__ == "__main__":
    runner.main(define_flags, main, required=["config"])
