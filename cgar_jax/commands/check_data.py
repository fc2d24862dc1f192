"""Looks for puzzles that two splits share: `cgar check-data --config=FILE.py`.

Near-duplicates are examples that are equal up to the symmetries of their family: solution grids of
Sudokus (whole puzzles of 4x4 and 6x6), walls of mazes, inputs with their outputs of ARC. The splits
of a config are compared, and the files they are chosen from. The exit code is 1 if any are found.
"""

import collections
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags
from ml_collections import config_flags
from rich.console import Console
from rich.table import Table

from cgar_jax import data
from cgar_jax.commands import runner as command
from cgar_jax.data.dataset import Examples
from cgar_jax.data.loading import load_splits
from cgar_jax.data.parallel import parallel_map
from cgar_jax.data.source import Source


class Leak(NamedTuple):
    """Near-duplicates of one class in two splits: the numbers of the examples, counted from 0."""

    first: list[int]
    second: list[int]


def find_leaks(source: Source, splits: Mapping[str, Examples]) -> dict[tuple[str, str], list[Leak]]:
    """Returns the near-duplicates between each two of several splits.

    Args:
      source: whose examples they are.
      splits: as from `Source.make_splits`.
    """
    members = {}
    for split, examples in splits.items():
        members[split] = collections.defaultdict(list)
        pairs = list(zip(examples["inputs"], examples["labels"], strict=True))
        for number, key in enumerate(parallel_map(source.split_class, pairs)):
            members[split][key].append(number)
    return {
        (first, second): [
            Leak(numbers, members[second][key])
            for key, numbers in members[first].items()
            if key in members[second]
        ]
        for first, second in itertools.combinations(splits, 2)
    }


def check(config: Mapping[str, Any], shown: int = 5) -> int:
    """Prints how many near-duplicates there are, and some of them; returns the number.

    Args:
      config: of the data, see `cgar_jax.data.load`.
      shown: how many to list for two splits.
    """
    console = Console(highlight=False)
    print(f"loading puzzles ({config['name']}, {config['source']})", flush=True)
    source, splits = load_splits(data.family_of(config["name"]), config)
    table = Table("compared", "examples", "classes in both", title="near-duplicates")
    lines, total = [], 0
    for examples in (splits, source.file_contents()):
        for names, leaks in find_leaks(source, examples).items():
            sizes = (f"{len(examples[name]['inputs']):,}" for name in names)
            table.add_row(" and ".join(names), " and ".join(sizes), f"{len(leaks):,}")
            total += len(leaks)
            for leak in leaks[:shown]:
                where = map(_where, names, (examples[name] for name in names), leak)
                lines.append(" is like ".join(where))
            if len(leaks) > shown:
                lines.append(f"and {len(leaks) - shown} more between {' and '.join(names)}")
    console.print(table)
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)
    return total


def _where(name: str, examples: Examples, numbers: Sequence[int]) -> str:
    source = examples["source"][numbers[0]].decode()
    more = f" (and {len(numbers) - 1} more)" if len(numbers) > 1 else ""
    return f"{name}, example {numbers[0] + 1}, of {source!r}{more}"


def define_flags() -> None:
    """Defines those of the command."""
    config_flags.DEFINE_config_file("config", None, "File whose data is checked.")
    flags.DEFINE_integer("shown", 5, "How many near-duplicates to list for two splits.")


def main(values: flags.FlagValues) -> int:
    """The command; returns its exit code."""
    return 1 if check(values.config.data, values.shown) else 0


if __name__ == "__main__":
    command.main(define_flags, main, required=["config"])
