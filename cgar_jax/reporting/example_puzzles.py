"""Example puzzles like those that a model was trained on, for the model card and the demo page."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cgar_jax import data
from cgar_jax.data import PuzzleSource

CARD_SEED = 2**31 - 1  # Far from the seeds of configs, so that the puzzle is not a training puzzle.


def puzzle_generator(config: Mapping[str, Any], num_cells: int, seed: int) -> PuzzleSource:
    """Returns a generator of puzzles of a model's family and size.

    It has the settings of the training data, or if these came from files, the default settings.

    Args:
      config: the data part of the model's config.
      num_cells: number of cells of a puzzle.
      seed: random seed of the puzzles.
    """
    family = data.family_of(config["name"])
    source = family.from_config(config)
    if source.source != "generated":
        source = family(size=math.isqrt(num_cells))
    return dataclasses.replace(source, seed=seed)


def example_puzzle(config: Mapping[str, Any], num_cells: int) -> np.ndarray:
    """Returns a puzzle of a model's family and size, always the same for a config.

    Args:
      config: the data part of the model's config.
      num_cells: number of cells of a puzzle.

    Returns:
      Tokens, uint8 `[num_cells]`.
    """
    (puzzle,) = puzzle_generator(config, num_cells, CARD_SEED).generate(range(1))
    return puzzle.question
