"""The puzzle families. Each is a package with a `Source`, and one entry of `FAMILIES`.

Importing a family imports no JAX, so that worker processes start fast.
"""

from cgar_jax._core.registry import check_name
from cgar_jax.data.families import arc, maze, sudoku
from cgar_jax.data.rules import Rules
from cgar_jax.data.sources import Source

__all__ = ["FAMILIES", "arc", "family_of", "maze", "rules_of", "sudoku"]

FAMILIES: dict[str, type[Source]] = {
    family.name: family for family in (arc.ArcSource, maze.MazeSource, sudoku.SudokuSource)
}


def family_of(name: str) -> type[Source]:
    """Returns the source class of the family with this name.

    Raises:
      ValueError: if there is no such family.
    """
    check_name("data.name", name, FAMILIES)
    return FAMILIES[name]


def rules_of(name: str) -> Rules:
    """Returns the rules of the family with this name.

    Raises:
      ValueError: if there is no such family, or its puzzles share no rules.
    """
    rules = family_of(name).rules
    if rules is None:
        raise ValueError(
            f"a model of {name!r} can only answer the puzzles that it was trained on, because each "
            "has a trained embedding; score the model with cgar evaluate"
        )
    return rules
