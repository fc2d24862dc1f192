"""Puzzles in, arrays out: what to train and evaluate on, and how to augment it on the device.

A family of puzzles is one entry of ``FAMILIES``. Text and rules of a family are in its package:
`cgar_jax.data.families.sudoku`, `cgar_jax.data.families.maze`, `cgar_jax.data.families.arc`.
"""

import os
from collections.abc import Mapping
from typing import Any

from cgar_jax._core.labels import IGNORE_LABEL
from cgar_jax._core.registry import check_name
from cgar_jax.data.csv_files import write_csv
from cgar_jax.data.dataset import Dataset, Examples, Expected, keep_as_is
from cgar_jax.data.families import arc, maze, sudoku
from cgar_jax.data.puzzles import Puzzles
from cgar_jax.data.source import Source

__all__ = [
    "FAMILIES",
    "IGNORE_LABEL",
    "Dataset",
    "Expected",
    "arc",
    "expected",
    "keep_as_is",
    "load",
    "maze",
    "read_examples",
    "sudoku",
    "write_csv",
]

FAMILIES = {"arc": arc.Arc, "maze": maze.Mazes, "sudoku": sudoku.Sudokus}


def load(config: Mapping[str, Any]) -> Dataset:
    """Loads the data set that a config describes, from a cache on disk if it was made before.

    >>> dataset = load({"name": "sudoku", "source": "generated", "size": 6, "num_clues": 18})

    The chosen puzzles are kept in ``cache_dir``, else in the directory that the environment
    variable ``CGAR_DATA_DIR`` names, else in ``~/.cache/cgar_jax``.

    Args:
      config: an ``ml_collections.ConfigDict`` or another mapping; ``name`` is a key of
        ``FAMILIES``. Further keys, all optional: ``cache_dir`` (``""`` for the default),
        ``augment`` (whether the data set's ``augment`` draws symmetric variants), and the
        attributes of the family: `sudoku.Sudokus`, `maze.Mazes` or `arc.Arc`.

    Raises:
      ValueError: if a key is unknown, a value impossible, a file malformed, or if there are not
        as many puzzles as asked for.
      FileNotFoundError: if a file is missing.
      ConnectionError: if files cannot be downloaded.
    """
    # Imported here because the processes that generate puzzles load this file, and need neither
    # JAX nor TFDS.
    from cgar_jax.data import loading

    return loading.load(family_of(config.get("name")), config)


def expected(config: Mapping[str, Any]) -> Expected:
    """Tells what the data set that a config describes will be like, without making or reading it.

    The cells of puzzles in files are taken to be as many as the config would generate.

    Args:
      config: as for `load`.

    Raises:
      ValueError: if a key is unknown or a value impossible.
    """
    # Imported here for the reason given in `load`.
    from cgar_jax.data import loading

    return family_of(config.get("name")).from_config(config, loading.OTHER_KEYS).expected()


def read_examples(path: str | os.PathLike, name: str, skip_bad: bool = False) -> Examples:
    """Reads the puzzles of one CSV file of Sudokus or mazes as examples like those of a `Dataset`.

    Args:
      path: a file with the columns ``source,question,answer,rating``.
      name: of the family, a key of ``FAMILIES``.
      skip_bad: whether bad lines are left out, counted and listed in the log, and not errors.

    Returns:
      ``inputs`` and ``labels``, ``int8 [num, num_cells]``; ``puzzle_identifiers``, zeros,
      ``int32 [num]``; ``difficulty``, the rating, ``float32 [num]``.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is empty or malformed, the message names the line; or if the family is
        not one of CSV files.
    """
    family = family_of(name)
    if not issubclass(family, Puzzles):
        raise ValueError(
            f"{path}: {name!r} has no CSV files; a run on it is scored on its own test split, "
            "because each puzzle has an embedding that was trained on its demonstrations"
        )
    return family.read(path, skip_bad)


def family_of(name: str) -> type[Source]:
    """Returns the family of data sets of this name.

    Raises:
      ValueError: if there is none.
    """
    check_name("data.name", name, FAMILIES)
    return FAMILIES[name]
