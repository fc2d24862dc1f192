"""Finds near-duplicates that two splits share.

Near-duplicates are examples that the symmetries of their family make equal: solution grids of 9x9
Sudokus (whole puzzles for 4x4 and 6x6), walls of mazes, input-output pairs of ARC.
"""

import collections
import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from cgar_jax.data.parallel import parallel_map
from cgar_jax.data.schema import Examples
from cgar_jax.data.sources import Source


class Leak(NamedTuple):
    """A class of near-duplicates in two splits."""

    first: list[int]  # indices of the examples in the first split
    second: list[int]


class Comparison(NamedTuple):
    """The near-duplicates between two splits."""

    names: tuple[str, str]
    sizes: tuple[int, int]  # number of examples in each split
    leaks: list[Leak]
    places: list[tuple[str, str]]  # per leak, where its first examples are, for messages


def compare_splits(
    splits: Mapping[str, Examples],
    split_class: Callable[[tuple[np.ndarray, np.ndarray]], bytes],
) -> list[Comparison]:
    """Compares every two splits.

    Args:
      splits: columns by split, as from `Source.make_splits`.
      split_class: function that returns equal keys for near-duplicates, such as
        `Source.split_class`.
    """
    members = {}
    for split, examples in splits.items():
        members[split] = collections.defaultdict(list)
        pairs = list(zip(examples["inputs"], examples["labels"], strict=True))
        for index, key in enumerate(parallel_map(split_class, pairs)):
            members[split][key].append(index)
    comparisons = []
    for names in itertools.combinations(splits, 2):
        first, second = (members[name] for name in names)
        leaks = [Leak(indices, second[key]) for key, indices in first.items() if key in second]
        places = [
            tuple(_place(name, splits[name], each) for name, each in zip(names, leak, strict=True))
            for leak in leaks
        ]
        sizes = tuple(len(splits[name]["inputs"]) for name in names)
        comparisons.append(Comparison(names, sizes, leaks, places))
    return comparisons


def find_leaks(source: Source, splits: Mapping[str, Examples]) -> list[Comparison]:
    """Compares the splits of a source with each other, and its files with each other.

    Args:
      source: source of the splits.
      splits: columns by split, as from `Source.make_splits`.
    """
    return [
        comparison
        for each in (splits, source.file_contents())
        for comparison in compare_splits(each, source.split_class)
    ]


def _place(name: str, examples: Examples, indices: list[int]) -> str:
    source = examples["source"][indices[0]].decode()
    more = f" (and {len(indices) - 1} more)" if len(indices) > 1 else ""
    return f"{name}, example {indices[0] + 1}, source {source!r}{more}"
