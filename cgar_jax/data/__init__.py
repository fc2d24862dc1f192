"""Puzzles in, arrays out: what to train and evaluate on, and how to augment it on the device.

A family of puzzles is one entry of ``FAMILIES``: a function from a config to a `Dataset`.
"""

from collections.abc import Mapping
from typing import Any

from cgar_jax._labels import IGNORE_LABEL
from cgar_jax._registry import check_name
from cgar_jax.data import sudoku
from cgar_jax.data.dataset import Dataset, keep_as_is
from cgar_jax.data.sudoku import decode, encode, read_examples

__all__ = [
    "FAMILIES",
    "IGNORE_LABEL",
    "Dataset",
    "decode",
    "encode",
    "keep_as_is",
    "load",
    "read_examples",
]

FAMILIES = {"sudoku": sudoku.load}


def load(config: Mapping[str, Any]) -> Dataset:
    """Loads the data set that a config describes, from a cache on disk if it was made before.

    >>> dataset = load({"name": "sudoku", "source": "generated", "size": 6, "num_clues": 18})

    Args:
      config: an ``ml_collections.ConfigDict`` or another mapping; ``name`` is a key of
        ``FAMILIES``, whose loader says which other keys there are.

    Raises:
      ValueError: if there is no such family, or as its loader says.
    """
    name = config.get("name")
    check_name("data.name", name, FAMILIES)
    return FAMILIES[name](config)
