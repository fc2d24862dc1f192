"""Finds near-duplicates that two splits of a config share.

Near-duplicates are examples that the symmetries of their family make equal, see
`cgar_jax.data.leaks`. The command compares the splits of a config with each other, and the files
that they are chosen from. The exit code is 1 if there are any.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from rich.console import Console
from rich.table import Table

from cgar_jax.commands import command_line
from cgar_jax.data.leaks import find_leaks
from cgar_jax.data.loading import load_splits
from cgar_jax.progress import Status

ARGUMENTS = "CONFIG"
REQUIRED = ("config",)
EXAMPLES = ("cgar check-data sudoku_extreme",)


def check(config: Mapping[str, Any], shown: int = 5) -> int:
    """Prints the number of near-duplicates and some of them.

    Args:
      config: data config, as for `cgar_jax.data.load`.
      shown: largest number of near-duplicates to list per comparison.

    Returns:
      The number of near-duplicate classes.
    """
    with Status() as status:
        status.update(f"loading puzzles ({config['name']}, {config['source']})")
        source, splits = load_splits(config)
        status.update("comparing puzzles")
        comparisons = find_leaks(source, splits)
    table = Table("compared", "examples", "classes in both", title="near-duplicates")
    lines = []
    for names, sizes, leaks, places in comparisons:
        counts = (f"{size:,}" for size in sizes)
        table.add_row(" and ".join(names), " and ".join(counts), f"{len(leaks):,}")
        lines += [" is like ".join(pair) for pair in places[:shown]]
        if len(leaks) > shown:
            lines.append(f"and {len(leaks) - shown} more between {' and '.join(names)}")
    console = Console(highlight=False)
    console.print(table)
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)
    return sum(len(comparison.leaks) for comparison in comparisons)


def define_flags() -> None:
    """Defines this command's flags."""
    command_line.define_config()
    flags.DEFINE_integer("shown", 5, "largest number of near-duplicates to list per comparison")


def main(values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code: 1 if there are near-duplicates."""
    return 1 if check(values.config.data, values.shown) else 0
