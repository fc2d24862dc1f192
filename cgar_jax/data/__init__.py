"""Puzzles and data sets: loading by config, and reading and writing of puzzle files.

`schema` lists the columns of an example and `dataset` defines the `Dataset`. A family of puzzles
has `Rules` (text, tokens, checks) and a `Source` (settings, generator, files); it lives in
`families` and is one entry of `FAMILIES`.
"""

import os
from collections.abc import Mapping
from typing import Any

from cgar_jax._core.labels import IGNORE_LABEL
from cgar_jax.data.csv_files import read_csv, write_csv
from cgar_jax.data.dataset import Dataset, Expected, identity_augmentation
from cgar_jax.data.families import FAMILIES, arc, family_of, maze, rules_of, sudoku
from cgar_jax.data.fingerprint import Fingerprint
from cgar_jax.data.puzzle_source import PuzzleSource, as_examples
from cgar_jax.data.questions import Questions, check_questions, read_questions
from cgar_jax.data.rules import Puzzle, Rules
from cgar_jax.data.schema import Examples
from cgar_jax.data.sources import LoadOptions, Source

__all__ = [
    "FAMILIES",
    "IGNORE_LABEL",
    "Dataset",
    "Examples",
    "Expected",
    "Fingerprint",
    "LoadOptions",
    "Puzzle",
    "PuzzleSource",
    "Questions",
    "Rules",
    "Source",
    "arc",
    "check_questions",
    "expected",
    "family_of",
    "identity_augmentation",
    "load",
    "maze",
    "read_examples",
    "read_questions",
    "rules_of",
    "sudoku",
    "write_csv",
]


def load(config: Mapping[str, Any]) -> Dataset:
    """Loads the data set that a config describes, from the cache if it was loaded before.

    Args:
      config: an `ml_collections.ConfigDict` or another mapping. `name` is a key of `FAMILIES`; the
        other keys are optional: the attributes of the family (`sudoku.SudokuSource`,
        `maze.MazeSource` or `arc.ArcSource`) and of `LoadOptions`.

    Raises:
      ValueError: if a key is unknown, a value is out of range, a file is malformed, or there are
        fewer puzzles than the config asks for.
      FileNotFoundError: if a file is missing.
      ConnectionError: if files cannot be downloaded.

    Example:
      >>> from cgar_jax import data
      >>> dataset = data.load({"name": "sudoku", "size": 4, "num_clues": 8, "num_train": 5,
      ...                      "num_validation": 2})
      >>> dataset.train["inputs"].shape
      (5, 16)
    """
    # The processes that generate puzzles import this package. They start several times faster
    # without JAX and TFDS, which only `loading` needs.
    from cgar_jax.data import loading

    return loading.load(config)


def expected(config: Mapping[str, Any]) -> Expected:
    """Returns the size that a data set will have, without making or reading it.

    Puzzles in files are assumed to have the size that the config would generate.

    Args:
      config: data config, as for `load`.

    Raises:
      ValueError: if a key is unknown or a value is out of range.
    """
    return family_of(config.get("name")).from_config(config).expected()


def read_examples(path: str | os.PathLike, name: str, skip_bad: bool = False) -> Examples:
    """Reads one file of puzzles with answers into the columns of a `Dataset`.

    Args:
      path: CSV file with the columns `source,question,answer,rating` or `puzzle,solution`, or
        another table; see `cgar_jax.data.csv_files.read_csv`.
      name: name of the puzzle family, a key of `FAMILIES`.
      skip_bad: whether bad lines are skipped with a warning instead of raising an error.

    Returns:
      `inputs` and `labels`, int8 `[num, num_cells]`; `puzzle_identifiers`, zeros, int32 `[num]`;
      `difficulty`, the rating, float32 `[num]`.

    Raises:
      FileNotFoundError: if the file does not exist.
      ValueError: if the file is empty or malformed (the message names the line), or if the family
        has no CSV files.
    """
    family = family_of(name)
    if family.rules is None:
        raise ValueError(
            f"{path}: there are no CSV files of {name!r}; evaluate its models on the test split of "
            "their run, because each puzzle has an embedding that was trained on its demonstrations"
        )
    return as_examples(read_csv(path, family.rules, skip_bad))
