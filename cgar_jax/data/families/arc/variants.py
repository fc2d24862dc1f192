"""Variants of ARC puzzles: which turn and which renaming of colours, each with an identifier.

No grid is copied: a variant is one row of a small table, and its grids are made when they are
needed. Only colours 1 to 9 are renamed; colour 0, black, is the background.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cgar_jax.data.dihedral import INVERSES, NUM_TRANSFORMS, transform
from cgar_jax.data.families.arc.grids import NUM_COLOURS
from cgar_jax.data.families.arc.json_files import ArcPuzzle, Pair

_TRIES = 5  # draws for each variant wanted, as published; duplicates are among them


class Variants(NamedTuple):
    """Variants by identifier; those of one puzzle follow each other, the puzzle as it is first."""

    names: tuple[str, ...]  # of the puzzles
    firsts: np.ndarray  # [num_puzzles + 1] int32, the first identifier of each puzzle, then the end
    transforms: np.ndarray  # [num_variants] uint8, a symmetry of `cgar_jax.data.dihedral`
    colours: np.ndarray  # [num_variants, 10] uint8, what each colour becomes

    def puzzle_of(self, identifier: int) -> int:
        """Returns the number of the puzzle whose variant, or itself, has ``identifier``."""
        return int(np.searchsorted(self.firsts, identifier, side="right")) - 1

    def of(self, identifier: int) -> range:
        """Returns all identifiers of the puzzle whose variant, or itself, has ``identifier``."""
        puzzle = self.puzzle_of(identifier)
        return range(*self.firsts[puzzle : puzzle + 2].tolist())

    def undo(self, identifier: int, grid: np.ndarray) -> np.ndarray:
        """Returns the grid of the puzzle itself whose variant is ``grid``."""
        original = self.colours[identifier].argsort().astype(np.uint8)[grid]
        return transform(original, INVERSES[self.transforms[identifier]])


def draw_variants(puzzles: Sequence[ArcPuzzle], num_variants: int, seed: int) -> Variants:
    """Draws up to ``num_variants`` variants of each puzzle, itself not counted.

    A turn is drawn of the eight symmetries of a square and a permutation of the colours 1 to 9;
    a variant whose pairs are those of one drawn before is dropped. As published, no more than five
    times as many are tried. What is drawn for a puzzle depends on ``seed`` and the puzzle alone,
    not on the other puzzles.
    """
    rows = [_draw(puzzle, num_variants, seed) for puzzle in puzzles]
    firsts = np.cumsum([0, *(len(transforms) for transforms, _ in rows)])
    return Variants(
        tuple(puzzle.name for puzzle in puzzles),
        firsts.astype(np.int32),
        np.concatenate([transforms for transforms, _ in rows]),
        np.concatenate([colours for _, colours in rows]),
    )


def _draw(puzzle: ArcPuzzle, num_variants: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    name = int.from_bytes(hashlib.sha256(puzzle.name.encode()).digest()[:8])
    rng = np.random.default_rng([seed, name])
    patterns = _patterns(puzzle)
    # What is drawn, round by round; the puzzle itself comes first.
    transforms, colours = [np.zeros(1, np.uint8)], [np.arange(NUM_COLOURS, dtype=np.uint8)[None]]
    first_rows: dict[bytes, int] = {}  # by content
    for drawn in range(0, _TRIES * num_variants + 1, num_variants or 1):
        contents = _contents(patterns, transforms[-1], colours[-1])
        for row, content in enumerate(contents, start=drawn - len(contents) + 1):
            first_rows.setdefault(content.tobytes(), row)
        if len(first_rows) > num_variants:
            break
        transforms.append(rng.integers(NUM_TRANSFORMS, size=num_variants, dtype=np.uint8))
        colours.append(np.tile(colours[0], (num_variants, 1)))
        colours[-1][:, 1:] = rng.permuted(colours[-1][:, 1:], axis=1)
    rows = list(first_rows.values())[: 1 + num_variants]
    return np.concatenate(transforms)[rows], np.concatenate(colours)[rows]


def _patterns(puzzle: ArcPuzzle) -> list[list[tuple[np.uint64, np.ndarray]]]:
    """Returns by symmetry and pair the number of its pattern, and the colours in their order."""
    numbers: dict[bytes, int] = {}

    def numbered(pair, index):
        key, order = pattern(pair, index)
        return np.uint64(numbers.setdefault(key, len(numbers))), order

    pairs = puzzle.demonstrations + puzzle.tests
    return [[numbered(pair, index) for pair in pairs] for index in range(NUM_TRANSFORMS)]


def _contents(
    patterns: list[list[tuple[np.uint64, np.ndarray]]], transforms: np.ndarray, colours: np.ndarray
) -> np.ndarray:
    """Returns rows, one for each variant, that are equal where its pairs are, in whatever order.

    A pair is told by the number of its pattern and by the colours that are in its places: together
    they fit into 64 bits.
    """
    contents = np.empty((len(transforms), len(patterns[0])), np.uint64)
    places = 4 * np.arange(NUM_COLOURS, dtype=np.uint64)
    shifted = colours.astype(np.uint64)
    for index, pairs in enumerate(patterns):
        rows = np.flatnonzero(transforms == index)
        for column, (number, order) in enumerate(pairs):
            named = shifted[rows][:, order] << places[: len(order)]
            contents[rows, column] = named.sum(1) | number << np.uint64(4 * NUM_COLOURS)
    contents.sort(axis=1)
    return contents


def pattern(pair: Pair, index: int) -> tuple[bytes, np.ndarray]:
    """Returns what a turned pair is but for the names of its colours, and these in their order.

    Args:
      pair: input and output.
      index: of the symmetry that turns them both.

    Returns:
      A key that two pairs share if and only if renaming colours, black too, makes one the other;
      and the colours of this one, each where it is first met, ``[num_colours]``.
    """
    turned = [transform(grid, index) for grid in pair]
    cells = np.concatenate([grid.reshape(-1) for grid in turned])
    colours, firsts = np.unique(cells, return_index=True)
    order = colours[firsts.argsort()]
    ranks = np.empty(NUM_COLOURS, np.uint8)
    ranks[order] = np.arange(len(order))
    shapes = bytes(side for grid in turned for side in grid.shape)
    return shapes + ranks[cells].tobytes(), order
