"""ARC-AGI as a family of data sets: which pairs are trained on, and which are asked."""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
from absl import logging

from cgar_jax._core.labels import IGNORE_LABEL
from cgar_jax.data.dataset import Dataset, Examples, Expected, keep_as_is
from cgar_jax.data.dihedral import NUM_TRANSFORMS
from cgar_jax.data.families.arc.grids import MAX_SIZE, PAD, VOCAB_SIZE, decode, encode
from cgar_jax.data.families.arc.json_files import ArcPuzzle, Pair, read_set, set_paths
from cgar_jax.data.families.arc.variants import Variants, draw_variants, pattern
from cgar_jax.data.source import Source

# Tables of embeddings have a multiple of so many rows, so that devices can share them.
_ROWS_MULTIPLE = 1024

# For plans: puzzles of the public sets, and of any other set at most; pairs of a puzzle at most, as
# a rule.
_SET_SIZES = {"training": 400, "evaluation": 400, "concept": 160, "evaluation2": 120}
_OTHER_SET_SIZE = 1_000
_PAIRS = 10


def split_class(example: tuple[np.ndarray, np.ndarray]) -> bytes:
    """Returns a key that pairs share if turning and renaming colours makes one the other.

    Black stays black.

    Args:
      example: tokens of input and output as `encode` has them, ``uint8 [size * size]`` each.
    """
    pair = tuple(map(decode, example))
    keys = []
    for index in range(NUM_TRANSFORMS):
        key, colours = pattern(pair, index)
        keys.append(key + bytes(np.flatnonzero(colours == 0)))
    return min(keys)


@dataclasses.dataclass(frozen=True)
class Arc(Source):
    """Which ARC puzzles to take. The difficulty of a pair is the cells of its larger grid.

    Trained on are, as published, the demonstrations of all puzzles, those of the test set too, and
    the tests of the puzzles of all other sets. The tests of the test set are never trained on.

    Attributes:
      source: a folder with ``arc-agi_SET_challenges.json`` and ``arc-agi_SET_solutions.json``.
      sets: names of the sets to train on; the test set must be one of them.
      test_set: the set whose tests are asked in the end. A puzzle of it is left out of other sets.
      num_puzzles: how many of each set at most, drawn by ``seed``; 0 is all.
      num_validation: number of puzzles, of sets other than the test set, whose tests are kept out
        of training for choices made while training.
      num_variants: how many variants of each puzzle there are at most, itself not counted.
      size: rows and columns of the canvas; puzzles with larger grids are left out.
    """

    sets: tuple[str, ...] = ("training", "evaluation", "concept")
    test_set: str = "evaluation"
    num_puzzles: int = 0
    num_validation: int = 0
    num_variants: int = 1000
    size: int = MAX_SIZE

    split_class = staticmethod(split_class)

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "sets", tuple(self.sets))
        for name in ("num_puzzles", "num_validation", "num_variants"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}; expected at least 0")
        if not 1 <= self.size <= MAX_SIZE:
            raise ValueError(f"size={self.size}; expected 1 to {MAX_SIZE}")
        if self.test_set not in self.sets:
            raise ValueError(
                f"test_set={self.test_set!r} is not one of sets={self.sets}; its demonstrations "
                "have to be trained on: each puzzle has an embedding of its own"
            )

    @property
    def folder(self) -> pathlib.Path:
        """Where the files are.

        Raises:
          ValueError: if the config does not say.
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
                parts["train"] += _labelled(name, puzzle.name, "train", puzzle.demonstrations)
                parts[split] += _labelled(name, puzzle.name, "test", puzzle.tests)
        return {split: self._columns(pairs) for split, pairs in parts.items()}

    def read_sets(self) -> dict[str, list[ArcPuzzle]]:
        """Reads the puzzles of each set that fit the canvas, the test set's in that set alone.

        Raises:
          FileNotFoundError: if a file is missing.
          ValueError: if a puzzle is malformed, or no puzzle of the test set fits.
        """
        read = {name: read_set(self.folder, name, self.skip_bad) for name in self.sets}
        tested = {puzzle.name for puzzle in read[self.test_set]}
        rng = np.random.default_rng(self.seed)
        sets = {}
        for name, puzzles in read.items():
            new = [p for p in puzzles if name == self.test_set or p.name not in tested]
            fits = [p for p in new if _largest_side(p) <= self.size]
            _tell_left_out(name, len(puzzles) - len(new), f"are in {self.test_set!r} too")
            _tell_left_out(name, len(new) - len(fits), f"do not fit {self.size}x{self.size} cells")
            order = rng.permutation(len(fits))[: self.num_puzzles or None]
            sets[name] = [fits[index] for index in np.sort(order)]
        if not sets[self.test_set]:
            raise ValueError(
                f"no puzzle of {self.test_set!r} in {self.folder} fits size={self.size}; "
                f"expected a size of up to {MAX_SIZE} that some do"
            )
        return sets

    def dataset(self, splits: Mapping[str, Examples], augment: bool) -> Dataset:  # noqa: D102
        variants = draw_variants(_puzzles_of(splits), self.num_variants, self.seed)
        numbers = {name: number for number, name in enumerate(variants.names)}
        return Dataset(
            **{
                split: _as_examples(columns, variants, numbers) for split, columns in splits.items()
            },
            vocab_size=VOCAB_SIZE,
            sequence_length=self.size**2,
            num_puzzle_identifiers=_padded(len(variants.transforms)),
            augment=_augmentation(variants) if augment else keep_as_is,
            variants=variants,
        )

    def expected(self) -> Expected:  # noqa: D102
        sizes = [_SET_SIZES.get(name, _OTHER_SET_SIZE) for name in self.sets]
        num_puzzles = sum(min(size, self.num_puzzles or size) for size in sizes)
        # Variants with the same content are dropped, of small grids a tenth.
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


def _labelled(set_name: str, puzzle: str, kind: str, pairs: list[Pair]) -> list[tuple[bytes, Pair]]:
    return [(f"{set_name}/{puzzle}/{kind}/{n}".encode(), pair) for n, pair in enumerate(pairs)]


def _names(columns: Examples) -> list[str]:
    return [source.decode().split("/")[1] for source in columns["source"]]


def _puzzles_of(splits: Mapping[str, Examples]) -> list[ArcPuzzle]:
    """Returns the puzzles of all splits, in the order of the training split."""
    pairs: dict[str, list[Pair]] = {}
    for columns in splits.values():
        grids = zip(map(decode, columns["inputs"]), map(decode, columns["labels"]), strict=True)
        for name, pair in zip(_names(columns), grids, strict=True):
            pairs.setdefault(name, []).append(pair)
    return [ArcPuzzle(name, found, []) for name, found in pairs.items()]


def _as_examples(columns: Examples, variants: Variants, numbers: Mapping[str, int]) -> Examples:
    groups = np.array([numbers[name] for name in _names(columns)], np.int32)
    labels = columns["labels"].astype(np.int8)
    return {
        "inputs": columns["inputs"].astype(np.int8),
        "labels": np.where(labels == PAD, np.int8(IGNORE_LABEL), labels),
        "puzzle_identifiers": variants.firsts[groups],
        "difficulty": columns["difficulty"],
        "groups": groups,
    }


def _augmentation(variants: Variants):
    # Imported here because reading puzzles needs no JAX.
    import jax

    from cgar_jax.data.families.arc.augmentation import augment

    return jax.tree_util.Partial(augment, variants.firsts, variants.transforms, variants.colours)


def _largest_side(puzzle: ArcPuzzle) -> int:
    return max(
        side for pair in puzzle.demonstrations + puzzle.tests for g in pair for side in g.shape
    )


def _padded(num_identifiers: int) -> int:
    return -(-num_identifiers // _ROWS_MULTIPLE) * _ROWS_MULTIPLE


def _tell_left_out(name: str, number: int, why: str) -> None:
    if number:
        logging.warning("%d puzzles of %r are left out: they %s", number, name, why)
