"""From a config or a file to the arrays of puzzles whose question and answer are grids."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from cgar_jax.data.builder import cached_splits
from cgar_jax.data.csv_files import read_csv
from cgar_jax.data.dataset import Dataset, Examples, keep_as_is
from cgar_jax.data.puzzles import Puzzles

OTHER_KEYS = ("name", "cache_dir", "augment", "num_domains")


def load_puzzles(family: type[Puzzles], config: Mapping[str, Any]) -> Dataset:
    """Is `cgar_jax.data.load` for one family."""
    puzzles = family.from_config(config, OTHER_KEYS)
    cache_dir = config.get("cache_dir") or os.environ.get("CGAR_DATA_DIR") or "~/.cache/cgar_jax"
    splits = cached_splits(puzzles, pathlib.Path(cache_dir).expanduser())
    num_cells = splits["train"]["inputs"].shape[1]
    return Dataset(
        **{split: _as_examples(columns) for split, columns in splits.items()},
        vocab_size=family.vocab_size(num_cells),
        sequence_length=num_cells,
        num_puzzle_identifiers=1,
        accepts=family.accepts,
        augment=family.augmentation() if config.get("augment") else keep_as_is,
    )


def read_puzzles(
    family: type[Puzzles], path: str | os.PathLike, skip_bad: bool = False
) -> Examples:
    """Reads the puzzles of one CSV file as examples like those of a `cgar_jax.data.Dataset`."""
    return _as_examples(read_csv(path, family, skip_bad))


def _as_examples(columns: Examples) -> Examples:
    return {
        "inputs": columns["inputs"].astype(np.int32),
        "labels": columns["labels"].astype(np.int32),
        "puzzle_identifiers": np.zeros(len(columns["inputs"]), np.int32),
        "difficulty": columns["difficulty"],
    }
