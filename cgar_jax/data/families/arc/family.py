"""The ARC-AGI family: its settings, and the choice of pairs for training and for testing.

ARC has no `Rules`: every puzzle has rules of its own, and a model needs an embedding that was
trained on its demonstrations.
"""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
from absl import logging

from cgar_jax._core.labels import IGNORE_LABEL
from cgar_jax._core.ranges import check_integer
from cgar_jax.data import schema
from cgar_jax.data.dataset import Dataset, Expected
from cgar_jax.data.families.arc.grids import MAX_SIZE, PAD, VOCAB_SIZE, decode, encode
from cgar_jax.data.families.arc.json_files import ArcPuzzle, Pair, read_set, set_paths
from cgar_jax.data.families.arc.variants import draw_variants, pattern
from cgar_jax.data.records import named
from cgar_jax.data.schema import Examples
from cgar_jax.data.sources import Source
from cgar_jax.data.symmetries import NUM_TRANSFORMS, Variants

# Embedding tables have a multiple of this many rows, so that they can be split over devices.
_ROWS_MULTIPLE = 1024

# For predictions only: puzzles in the public sets, a bound for other sets, and a usual bound for
# the number of pairs per puzzle.
_SET_SIZES = {"training": 400, "evaluation": 400, "concept": 160, "evaluation2": 120}
_OTHER_SET_SIZE = 1_000
_PAIRS = 10


@dataclasses.dataclass(frozen=True)
class ArcSource(Source):
    """The settings of an ARC data set. A pair's difficulty is the cell count of its larger grid.

    As published, the training split has the demonstrations of all puzzles, including those of the
    test set, and the tests of the puzzles in all other sets. It never has tests of the test set.

    A puzzle is known by its name in the files. If several sets have puzzles of the same name, the
    one in the test set is kept, or else the one in the last of these sets. The order of the puzzles
    in the files does not matter.

    Attributes:
      source: folder with `arc-agi_SET_challenges.json` and `arc-agi_SET_solutions.json`.
      sets: names of the sets to train on, including the test set.
      test_set: set whose tests form the test split.
      num_puzzles: largest number of puzzles per set, drawn by `seed`; 0 means all.
      num_validation: number of puzzles outside the test set whose tests form the validation split
        instead of being trained on.
      num_variants: largest number of variants per puzzle, in addition to the puzzle itself.
      size: rows and columns of the canvas; puzzles with larger grids are left out.
    """

    name = "arc"

    sets: tuple[str, ...] = ("training", "evaluation", "concept")
    test_set: str = "evaluation"
    num_puzzles: int = 0
    num_validation: int = 20
    num_variants: int = 1_000
    size: int = MAX_SIZE

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "sets", tuple(self.sets))
        for name in ("num_puzzles", "num_validation", "num_variants"):
            check_integer("data", name, getattr(self, name), "[0, inf)")
        check_integer("data", "size", self.size, f"[1, {MAX_SIZE}]")
        for name in self.sets:
            if self.sets.count(name) > 1:
                raise ValueError(f"sets={self.sets} names {name!r} twice; expected each set once")
            if "/" in name:
                raise ValueError(f"sets={self.sets} has {name!r}; expected names without '/'")
        if self.test_set not in self.sets:
            raise ValueError(
                f"test_set={self.test_set!r} is not one of sets={self.sets}; add it, because its "
                "demonstrations must be trained on: each puzzle has its own embedding"
            )

    @property
    def folder(self) -> pathlib.Path:
        """The folder of the files.

        Raises:
          ValueError: if `source` is empty.
        """
        if not self.source:
            raise ValueError(
                "data.source is not set; expected the folder with the JSON files of the ARC Prize "
                "competition (arc-agi_training_challenges.json and so on), which "
                "benchmarks/fetch_arc.py writes"
            )
        return pathlib.Path(self.source).expanduser()

    @property
    def paths(self) -> list[pathlib.Path]:  # noqa: D102
        return [path for name in self.sets for path in set_paths(self.folder, name)]

    def make_splits(self) -> dict[str, Examples]:  # noqa: D102
        sets = self.read_sets()
        others = [puzzle for name in self.sets if name != self.test_set for puzzle in sets[name]]
        if len(others) < self.num_validation:
            raise ValueError(
                f"num_validation={self.num_validation}, but the sets other than {self.test_set!r} "
                f"have only {len(others)} puzzles"
            )
        chosen = np.random.default_rng(self.seed).permutation(len(others))[: self.num_validation]
        held_out = {others[index].name for index in chosen}
        parts: dict[str, list] = {"train": [], "validation": [], "test": []}
        for name, puzzles in sets.items():
            for puzzle in puzzles:
                split = "validation" if puzzle.name in held_out else "train"
                split = "test" if name == self.test_set else split
                parts["train"] += _labeled(name, puzzle.name, "train", puzzle.demonstrations)
                parts[split] += _labeled(name, puzzle.name, "test", puzzle.tests)
        return {split: self._columns(pairs) for split, pairs in parts.items()}

    def read_sets(self) -> dict[str, list[ArcPuzzle]]:
        """Reads the puzzles of each set that fit the canvas, sorted by name.

        Of several puzzles with the same name, one is returned, and the others are reported.

        Raises:
          FileNotFoundError: if a file is missing.
          ValueError: if a puzzle is malformed, or no puzzle of the test set fits.
        """
        read = {name: read_set(self.folder, name, self.skip_bad) for name in self.sets}
        rng = np.random.default_rng(self.seed)
        sets = {}
        for name, puzzles in _each_name_once(read, self.test_set).items():
            fits = [p for p in puzzles if _largest_side(p) <= self.size]
            _log_left_out(
                name, len(puzzles) - len(fits), f"do not fit {self.size}x{self.size} cells"
            )
            order = rng.permutation(len(fits))[: self.num_puzzles or None]
            sets[name] = [fits[index] for index in np.sort(order)]
        if not sets[self.test_set]:
            raise ValueError(
                f"no puzzle of {self.test_set!r} in {self.folder} fits size={self.size}; "
                f"use a larger size, up to {MAX_SIZE}"
            )
        return sets

    def split_class(self, pair: tuple[np.ndarray, np.ndarray]) -> bytes:
        """Returns a key that pairs share if a transform and a renaming of colors makes them equal.

        Black must stay black.
        """
        grids = tuple(map(decode, pair))
        keys = []
        for index in range(NUM_TRANSFORMS):
            key, colors = pattern(grids, index)
            keys.append(key + bytes(np.flatnonzero(colors == 0)))
        return min(keys)

    def dataset(self, splits: Mapping[str, Examples]) -> Dataset:  # noqa: D102
        variants = draw_variants(_puzzles_of(splits), self.num_variants, self.seed)
        numbers = {name: number for number, name in enumerate(variants.names)}
        return Dataset(
            **{
                split: _as_examples(columns, variants, numbers) for split, columns in splits.items()
            },
            vocab_size=VOCAB_SIZE,
            sequence_length=self.size**2,
            num_puzzle_identifiers=_padded(len(variants.transforms)),
            variants=variants,
        )

    def symmetries(self, dataset: Dataset) -> Variants | None:  # noqa: D102
        return dataset.variants

    def expected(self) -> Expected:  # noqa: D102
        sizes = [_SET_SIZES.get(name, _OTHER_SET_SIZE) for name in self.sets]
        num_puzzles = sum(min(size, self.num_puzzles or size) for size in sizes)
        # Variants with equal contents are dropped; for small grids that is a tenth of them.
        num_identifiers = _padded(num_puzzles * (1 + self.num_variants))
        return Expected(VOCAB_SIZE, self.size**2, num_identifiers, num_puzzles * _PAIRS)

    def _columns(self, pairs: list[tuple[bytes, Pair]]) -> Examples:
        encoded = [[encode(grid, self.size) for grid in pair] for _, pair in pairs]
        tokens = np.array(encoded, np.uint8).reshape(-1, 2, self.size**2)
        return {
            "inputs": tokens[:, 0],
            "labels": tokens[:, 1],
            "difficulty": np.array([max(a.size, b.size) for _, (a, b) in pairs], np.float32),
            "source": np.array([source for source, _ in pairs], object),
        }


def _labeled(set_name: str, puzzle: str, kind: str, pairs: list[Pair]) -> list[tuple[bytes, Pair]]:
    return [(f"{set_name}/{puzzle}/{kind}/{n}".encode(), pair) for n, pair in enumerate(pairs)]


def _names(columns: Examples) -> list[str]:
    """Returns the name of each pair's puzzle, which may contain anything, also slashes."""
    of_puzzles = (source.decode().split("/", 1)[1] for source in columns["source"])
    return [label.rsplit("/", 2)[0] for label in of_puzzles]


def _each_name_once(
    sets: Mapping[str, list[ArcPuzzle]], test_set: str
) -> dict[str, list[ArcPuzzle]]:
    """Keeps one puzzle of each name, see `ArcSource`, and sorts each set by name."""
    by_rank = sorted(sets, key=lambda name: name == test_set)  # the sort keeps the order of others
    kept = {puzzle.name: (name, puzzle) for name in by_rank for puzzle in sets[name]}
    result = {}
    for name, puzzles in sets.items():
        replaced = collections.defaultdict(list)
        for puzzle in puzzles:
            replaced[kept[puzzle.name][0]].append(puzzle)
        result[name] = sorted(replaced.pop(name, []), key=lambda puzzle: puzzle.name)
        for other, versions in replaced.items():
            differ = [p.name for p in versions if _content(p) != _content(kept[p.name][1])]
            note = f"; {len(differ)} of them with other pairs: {named(differ)}" if differ else ""
            _log_left_out(name, len(versions), f"are in {other!r} too{note}")
    return result


def _content(puzzle: ArcPuzzle) -> list[tuple[tuple[int, ...] | bytes, ...]]:
    """Returns the pairs of a puzzle in an order that does not depend on the file."""
    pairs = puzzle.demonstrations + puzzle.tests
    return sorted(tuple(part for g in pair for part in (g.shape, g.tobytes())) for pair in pairs)


def _puzzles_of(splits: Mapping[str, Examples]) -> list[ArcPuzzle]:
    """Returns the puzzles of all splits, in the order of the training split."""
    pairs: dict[str, list[Pair]] = {}
    for columns in splits.values():
        grids = zip(map(decode, columns["inputs"]), map(decode, columns["labels"]), strict=True)
        for name, pair in zip(_names(columns), grids, strict=True):
            pairs.setdefault(name, []).append(pair)
    return [ArcPuzzle(name, found, []) for name, found in pairs.items()]


def _as_examples(columns: Examples, variants: Variants, numbers: Mapping[str, int]) -> Examples:
    groups = np.array([numbers[name] for name in _names(columns)], schema.GROUPS.stored_dtype)
    labels = columns["labels"].astype(schema.LABELS.stored_dtype)
    return {
        "inputs": columns["inputs"].astype(schema.INPUTS.stored_dtype),
        "labels": np.where(labels == PAD, labels.dtype.type(IGNORE_LABEL), labels),
        "puzzle_identifiers": variants.firsts[groups],
        "difficulty": columns["difficulty"],
        "groups": groups,
    }


def _largest_side(puzzle: ArcPuzzle) -> int:
    return max(
        side for pair in puzzle.demonstrations + puzzle.tests for g in pair for side in g.shape
    )


def _padded(num_identifiers: int) -> int:
    return -(-num_identifiers // _ROWS_MULTIPLE) * _ROWS_MULTIPLE


def _log_left_out(name: str, num: int, reason: str) -> None:
    if num:
        logging.warning("%d puzzles of %r are left out because they %s", num, name, reason)
