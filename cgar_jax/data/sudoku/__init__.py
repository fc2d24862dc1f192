"""Sudoku of 4x4, 6x6 and 9x9 cells: rules, solver, generator, symmetries, files and loading.

Splits never share an equivalence class. For 9x9 that is a class of solution grids. A 6x6 grid has
only 49 essentially different solutions, so that 6x6 (and 4x4) splits are kept apart by *puzzle*:
say so beside every figure on them. 4x4, with two essentially different solutions and few different
puzzles, is for tests and demonstrations; nothing can be held out there in earnest.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from cgar_jax.data.dataset import Dataset, Examples, keep_as_is
from cgar_jax.data.sudoku.csv_files import read_csv, write_csv
from cgar_jax.data.sudoku.generation import generate
from cgar_jax.data.sudoku.grid import Grid, decode, encode
from cgar_jax.data.sudoku.solver import solve
from cgar_jax.data.sudoku.symmetry import canonical_form, split_class

__all__ = [
    "Grid",
    "canonical_form",
    "decode",
    "encode",
    "generate",
    "load",
    "read_csv",
    "read_examples",
    "solve",
    "split_class",
    "write_csv",
]


def load(config: Mapping[str, Any]) -> Dataset:
    """Loads puzzles, generated or from files, as a `cgar_jax.data.Dataset`.

    The chosen puzzles are kept in ``cache_dir``, else in the directory that the environment
    variable ``CGAR_DATA_DIR`` names, else in ``~/.cache/cgar_jax``.

    Args:
      config: any of the keys ``name``, ``cache_dir`` (``""`` for the default), ``augment`` (a
        bool: whether the data set's ``augment`` draws symmetric variants) and those of
        `cgar_jax.data.sudoku.splits.Settings`.

    Raises:
      ValueError: if a key is unknown, a value impossible, a file malformed, or if there are not
        as many puzzles as asked for.
      FileNotFoundError: if a file is missing.
      ConnectionError: if files cannot be downloaded.
    """
    # Imported here because the processes that generate puzzles load this file, and need neither
    # JAX nor TFDS.
    from cgar_jax.data.sudoku.augmentation import augment
    from cgar_jax.data.sudoku.builder import cached_splits
    from cgar_jax.data.sudoku.splits import Settings

    settings = Settings.from_config(
        config, other_keys=("name", "cache_dir", "augment", "num_domains")
    )
    cache_dir = config.get("cache_dir") or os.environ.get("CGAR_DATA_DIR") or "~/.cache/cgar_jax"
    splits = cached_splits(settings, pathlib.Path(cache_dir).expanduser())
    grid = Grid.of_length(splits["train"]["inputs"].shape[1])
    return Dataset(
        **{split: _as_examples(puzzles) for split, puzzles in splits.items()},
        vocab_size=grid.vocab_size,
        sequence_length=grid.num_cells,
        num_puzzle_identifiers=1,
        augment=augment if config.get("augment") else keep_as_is,
    )


def read_examples(path: str | os.PathLike) -> Examples:
    """Reads the puzzles of one CSV file as examples like those of a `cgar_jax.data.Dataset`.

    Args:
      path: a file with the columns ``source,question,answer,rating``.

    Returns:
      ``inputs`` and ``labels``, ``int32 [num, num_cells]``; ``puzzle_identifiers``, zeros,
      ``int32 [num]``; ``difficulty``, the rating, ``float32 [num]``.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is empty or malformed; the message names the line.
    """
    return _as_examples(read_csv(path))


def _as_examples(puzzles: Examples) -> Examples:
    return {
        "inputs": puzzles["inputs"].astype(np.int32),
        "labels": puzzles["labels"].astype(np.int32),
        "puzzle_identifiers": np.zeros(len(puzzles["inputs"]), np.int32),
        "difficulty": puzzles["difficulty"],
    }
