"""The protocol of the models that reports describe."""

import os
from collections.abc import Callable
from typing import Protocol

import numpy as np

from cgar_jax.data import Dataset
from cgar_jax.evaluation import SearchTrajectory
from cgar_jax.experiment import Experiment
from cgar_jax.models import ModelParams
from cgar_jax.recursion import Trajectory


class ReportedModel(Protocol):
    """A trained model to report on; `cgar_jax.load` returns one.

    Attributes:
      experiment: the objects that the config of its run names.
      params: averaged parameters.
      step: number of optimizer steps that it was trained for; 0 if unknown.
      origin: name of the published checkpoint that it was converted from, or "".
    """

    experiment: Experiment
    params: ModelParams
    step: int
    origin: str

    def dataset(self) -> Dataset:
        """Loads its data, with the puzzle identifiers of its training."""
        ...

    @property
    def accepts(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
        """`(questions, answers) -> bool [num]` by the rules of its puzzles; None without rules."""
        ...

    def animate(
        self,
        puzzle: str | np.ndarray,
        path: str | os.PathLike,
        solution: np.ndarray | None = None,
        puzzle_identifier: int = 0,
    ) -> Trajectory | SearchTrajectory:
        """Writes an animated GIF of the model at work on one puzzle."""
