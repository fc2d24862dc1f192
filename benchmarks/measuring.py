"""Helpers that several benchmarks share: timing, quartiles, and training by single dispatches.

Code for a single benchmark is in the file of that benchmark.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from cgar_jax import data, experiment
from cgar_jax.curricula import StageDepth
from cgar_jax.training.programs import Programs


class Spread(NamedTuple):
    """The median and the quartiles of repeated measurements.

    Attributes:
      median: the median.
      low: the first quartile.
      high: the third quartile.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Returns the spread of some measurements."""
        low, median, high = np.percentile(list(values), (25, 50, 75))
        return cls(float(median), float(low), float(high))

    def show(self, style: str, unit: str = "", factor: float = 1.0) -> str:
        """Returns text such as "12.5 ms (11.9 to 13)".

        Args:
          style: format of the numbers, such as ".3g".
          unit: unit of the numbers, shown after the median.
          factor: factor that converts the measurements to the unit.
        """
        median, low, high = (format(factor * value, style) for value in self)
        return f"{median}{' ' if unit else ''}{unit} ({low} to {high})"


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Calls a function, waits for the arrays it returns, and returns them with the seconds."""
    begin = time.perf_counter()
    result = jax.block_until_ready(function(*arguments))
    return result, time.perf_counter() - begin


def load_experiment(
    config: ml_collections.ConfigDict,
) -> tuple[experiment.Experiment, data.Dataset]:
    """Loads the data of a config and builds its experiment."""
    dataset = data.load(config.data)
    return experiment.build(config, experiment.Task.of(dataset)), dataset


def compile_step(built: experiment.Experiment, depth: StageDepth, template: Any) -> Any:
    """Compiles the program that runs training steps of one depth.

    Args:
      built: the experiment.
      depth: depth of the steps.
      template: training data, or their shapes, as `Experiment.feed` returns them.
    """
    with Programs(built.train_step, built.abstract_state(), template) as programs:
        return programs.prepare(depth).result()


class Training:
    """A training run that a benchmark drives one dispatch at a time, and times.

    Attributes:
      template: training data, or their shapes, for `compile_step`.
      state: train state after the last dispatch.
    """

    def __init__(self, built: experiment.Experiment, dataset: data.Dataset, lengths: Sequence[int]):
        """Prepares the data and the state; nothing is compiled.

        Args:
          built: the experiment.
          dataset: its data.
          lengths: number of steps of each dispatch to come.
        """
        self.template, feed = built.feed(dataset.train, dataset.augment)
        self.state = built.initial_state()
        self._lengths = iter(lengths)
        self._data = feed(list(itertools.pairwise(itertools.accumulate(lengths, initial=0))))

    def dispatch(self, program: Any) -> tuple[float, float]:
        """Runs the next dispatch.

        Args:
          program: the compiled steps.

        Returns:
          The seconds of the dispatch, and the seconds that it waited for data before.
        """
        block, waited = timed(next, self._data)
        num_steps = np.int32(next(self._lengths))
        (self.state, _), seconds = timed(program, self.state, block, num_steps)
        return seconds, waited
