"""Relations between the cells of a puzzle: groups of cells that must all differ."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Relation(NamedTuple):
    """A kind of constraint, and the groups of cells that it applies to.

    No two cells of a group may have the same symbol. Groups of one relation are interchangeable:
    the rows and columns of a Sudoku are one relation, its boxes another.

    Attributes:
      name: name of the relation, such as "line".
      groups: cells of each group, as indices; groups may have different sizes.
    """

    name: str
    groups: tuple[tuple[int, ...], ...]


def incidence(relations: Sequence[Relation], num_cells: int) -> np.ndarray:
    """Returns which cells belong to which group, float32 `[groups, cells]`, 1 or 0.

    Args:
      relations: the relations; their groups follow each other.
      num_cells: number of cells.
    """
    groups = [group for relation in relations for group in relation.groups]
    found = np.zeros((len(groups), num_cells), np.float32)
    for row, group in enumerate(groups):
        found[row, list(group)] = 1
    return found
