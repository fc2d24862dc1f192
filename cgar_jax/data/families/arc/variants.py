"""Draws variants of ARC puzzles: a transform and a renaming of colors, each with an identifier.

No grid is copied: a variant is one row of the table `Variants`, and its grids are made on demand.
Only colors 1 to 9 are renamed; color 0, black, is the background.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from cgar_jax.data.families.arc.grids import NUM_COLORS
from cgar_jax.data.families.arc.json_files import ArcPuzzle, Pair
from cgar_jax.data.symmetries import NUM_TRANSFORMS, Variants, transform

# Draws per wanted variant, as published; some of them are duplicates.
_DRAWS_PER_VARIANT = 5


def draw_variants(puzzles: Sequence[ArcPuzzle], num_variants: int, seed: int) -> Variants:
    """Draws up to `num_variants` variants of each puzzle, in addition to the puzzle itself.

    A variant is one of the eight symmetries of a square with a permutation of the colors 1 to 9; a
    variant with the same pairs as an earlier one is dropped. As published, at most five times as
    many variants are drawn. The variants of a puzzle depend only on `seed` and on the puzzle.

    Args:
      puzzles: puzzles with unique names.
      num_variants: number of variants wanted per puzzle.
      seed: random seed.
    """
    rows = [_draw(puzzle, num_variants, seed) for puzzle in puzzles]
    firsts = np.cumsum([0, *(len(transforms) for transforms, _ in rows)])
    return Variants(
        tuple(puzzle.name for puzzle in puzzles),
        firsts.astype(np.int32),
        np.concatenate([transforms for transforms, _ in rows]),
        np.concatenate([colors for _, colors in rows]),
    )


def pattern(pair: Pair, index: int) -> tuple[bytes, np.ndarray]:
    """Separates the pattern of a transformed pair from the names of its colors.

    Args:
      pair: input and output grid.
      index: number of the transform of both grids.

    Returns:
      A key that two pairs share if and only if renaming colors (black too) makes them equal, and
      the colors of this pair in the order in which they first occur, `[num_colors]`.
    """
    transformed = [transform(grid, index) for grid in pair]
    cells = np.concatenate([grid.reshape(-1) for grid in transformed])
    colors, firsts = np.unique(cells, return_index=True)
    order = colors[firsts.argsort()]
    ranks = np.empty(NUM_COLORS, np.uint8)
    ranks[order] = np.arange(len(order))
    shapes = bytes(side for grid in transformed for side in grid.shape)
    return shapes + ranks[cells].tobytes(), order


def _draw(puzzle: ArcPuzzle, num_variants: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the transforms and the colors of one puzzle's variants, itself first."""
    name = int.from_bytes(hashlib.sha256(puzzle.name.encode()).digest()[:8])
    rng = np.random.default_rng([seed, name])
    patterns = _patterns(puzzle)
    # Variants are drawn in rounds; the first round is the puzzle itself.
    transforms, colors = [np.zeros(1, np.uint8)], [np.arange(NUM_COLORS, dtype=np.uint8)[None]]
    first_rows: dict[bytes, int] = {}  # by content
    for drawn in range(0, _DRAWS_PER_VARIANT * num_variants + 1, num_variants or 1):
        contents = _contents(patterns, transforms[-1], colors[-1])
        for row, content in enumerate(contents, start=drawn - len(contents) + 1):
            first_rows.setdefault(content.tobytes(), row)
        if len(first_rows) > num_variants:
            break
        transforms.append(rng.integers(NUM_TRANSFORMS, size=num_variants, dtype=np.uint8))
        colors.append(np.tile(colors[0], (num_variants, 1)))
        colors[-1][:, 1:] = rng.permuted(colors[-1][:, 1:], axis=1)
    rows = list(first_rows.values())[: 1 + num_variants]
    return np.concatenate(transforms)[rows], np.concatenate(colors)[rows]


def _patterns(puzzle: ArcPuzzle) -> list[list[tuple[np.uint64, np.ndarray]]]:
    """Returns, by transform and pair, the number of the pattern and the order of its colors."""
    numbers: dict[bytes, int] = {}

    def numbered(pair, index):
        key, order = pattern(pair, index)
        return np.uint64(numbers.setdefault(key, len(numbers))), order

    pairs = puzzle.demonstrations + puzzle.tests
    return [[numbered(pair, index) for pair in pairs] for index in range(NUM_TRANSFORMS)]


def _contents(
    patterns: list[list[tuple[np.uint64, np.ndarray]]], transforms: np.ndarray, colors: np.ndarray
) -> np.ndarray:
    """Returns a row per variant; rows are equal if the variants' pairs are, in any order.

    A pair is encoded by the number of its pattern and the colors of the pattern, which together fit
    into 64 bits.
    """
    contents = np.empty((len(transforms), len(patterns[0])), np.uint64)
    places = 4 * np.arange(NUM_COLORS, dtype=np.uint64)
    shifted = colors.astype(np.uint64)
    for index, pairs in enumerate(patterns):
        rows = np.flatnonzero(transforms == index)
        for column, (number, order) in enumerate(pairs):
            named = shifted[rows][:, order] << places[: len(order)]
            contents[rows, column] = named.sum(1) | number << np.uint64(4 * NUM_COLORS)
    contents.sort(axis=1)
    return contents
