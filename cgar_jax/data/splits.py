"""Divides puzzles into training, validation and test splits that share no class.

Puzzles that the symmetries of a family make equal belong to one class, see `Rules.split_class`.
Held-out puzzles are drawn first: they stay the same if only `num_train` changes, and a smaller
training set is the beginning of a larger one.
"""

import collections
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from rich.console import Console

from cgar_jax.data.parallel import parallel_map
from cgar_jax.data.rules import Puzzle, Rules, columns_of
from cgar_jax.data.schema import Examples, select
from cgar_jax.progress import Ticker

# Puzzles per round of generation: enough to estimate the share of duplicates and to keep all cores
# busy, few enough to report progress soon.
_MIN_ROUND, _MAX_ROUND = 200, 2000
# Below this share of new classes in a round, hardly any more exist.
_MIN_NEW_SHARE = 0.05


class SplitSizes(NamedTuple):
    """The number of puzzles in each split; with files, 0 or less means all for train and test."""

    train: int
    validation: int
    test: int


def generated_splits(
    generate: Callable[[range], list[Puzzle]], rules: Rules, sizes: SplitSizes, description: str
) -> dict[str, Examples]:
    """Generates puzzles until there are enough different ones, and divides them.

    Args:
      generate: function from indices to puzzles, such as `PuzzleSource.generate`.
      rules: rules of the puzzle family.
      sizes: number of puzzles in each split.
      description: plural noun phrase for the puzzles, for messages.

    Returns:
      Columns as from `read_csv` for each split. Each class of puzzles occurs once in all splits
      together.

    Raises:
      ValueError: if there are not enough different puzzles.
    """
    num_wanted = sum(sizes)
    found: dict[bytes, Puzzle] = {}  # by class, in the order of generation
    num_tried, num_missing, min_round = 0, num_wanted, 1
    console, ticker = Console(stderr=True, highlight=False), Ticker()
    while num_missing > 0:
        num_known = len(found)
        num_round = min(max(num_missing, min_round), _MAX_ROUND)
        drawn = generate(range(num_tried, num_tried + num_round))
        keys = parallel_map(rules.split_class, [puzzle[:2] for puzzle in drawn])
        for puzzle, key in zip(drawn, keys, strict=True):
            found.setdefault(key, puzzle)
        num_tried += num_round
        num_missing, num_new = num_wanted - len(found), len(found) - num_known
        if num_missing > 0 and num_round >= _MIN_ROUND and num_new < _MIN_NEW_SHARE * num_round:
            raise ValueError(
                f"asked for {num_wanted} essentially different {description}, but {num_tried} "
                f"random ones had only {len(found)} different among them; ask for fewer, or for "
                "other settings of the generator"
            )
        min_round = _MIN_ROUND
        if num_missing > 0 and ticker.due():
            console.print(f"generated {len(found):,} of {num_wanted:,} {description}")
    examples = columns_of(list(found.values())[:num_wanted])
    ends = np.cumsum([sizes.test, sizes.validation])
    test, validation, train = np.split(np.arange(num_wanted), ends)
    return {
        "train": select(examples, train),
        "validation": select(examples, validation),
        "test": select(examples, test),
    }


def file_splits(
    pool: Examples, test: Examples, rules: Rules, sizes: SplitSizes, seed: int, source: str
) -> dict[str, Examples]:
    """Draws the splits from the puzzles of two files.

    Args:
      pool: puzzles to train and validate on, columns as from `read_csv`.
      test: puzzles to test on.
      rules: rules of the puzzle family.
      sizes: number of puzzles in each split.
      seed: random seed for the choice.
      source: name of the source, for messages.

    Returns:
      Columns as from `read_csv` for each split. No class of puzzles is in two splits.

    Raises:
      ValueError: if there are not enough puzzles.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(test["inputs"]))
    num_test = sizes.test if sizes.test > 0 else len(order)
    _check_enough("num_test", num_test, len(order), source)
    test = select(test, order[:num_test])

    held_out = _HeldOut(rules)
    held_out.add(test)
    order = rng.permutation(len(pool["inputs"]))
    validation, order = _draw(pool, order, sizes.validation, held_out)
    _check_enough("num_validation", sizes.validation, len(validation), source)
    held_out.add(select(pool, validation))
    num_train = sizes.train if sizes.train > 0 else len(order)
    train, _ = _draw(pool, order, num_train, held_out)
    _check_enough("num_train", max(sizes.train, 1), len(train), source)
    return {"train": select(pool, train), "validation": select(pool, validation), "test": test}


class _HeldOut:
    """Puzzles whose classes no further split may contain.

    Classes are slow to compute, so they are computed only for puzzles whose signatures are equal.
    """

    def __init__(self, rules: Rules):
        self._rules = rules
        # By signature: the puzzles whose class has not been computed yet.
        self._pending: dict[bytes, list] = collections.defaultdict(list)
        self._classes: dict[bytes, set[bytes]] = collections.defaultdict(set)

    def add(self, examples: Examples) -> None:
        """Adds puzzles."""
        for signature, pair in zip(self._signatures(examples), _pairs(examples), strict=True):
            self._pending[signature].append(pair)

    def contains(self, examples: Examples) -> np.ndarray:
        """Returns whether a puzzle of the same class was added, for each puzzle, bool `[num]`."""
        signatures, pairs = self._signatures(examples), _pairs(examples)
        suspects = [
            index
            for index, signature in enumerate(signatures)
            if signature in self._pending or signature in self._classes
        ]
        needed = {signatures[index] for index in suspects} & self._pending.keys()
        members = [
            (signature, pair) for signature in needed for pair in self._pending.pop(signature)
        ]
        keys = parallel_map(
            self._rules.split_class,
            [pair for _, pair in members] + [pairs[index] for index in suspects],
        )
        for (signature, _), key in zip(members, keys, strict=False):
            self._classes[signature].add(key)
        found = np.zeros(len(pairs), bool)
        for index, key in zip(suspects, keys[len(members) :], strict=True):
            found[index] = key in self._classes[signatures[index]]
        return found

    def _signatures(self, examples: Examples) -> list[bytes]:
        return self._rules.split_signatures(examples["inputs"], examples["labels"])


def _draw(
    examples: Examples, order: np.ndarray, num: int, held_out: _HeldOut
) -> tuple[list[int], np.ndarray]:
    """Goes through `order` until `num` puzzles outside the held-out classes are found.

    Returns:
      The indices of these puzzles, and the rest of `order`.
    """
    chosen = []
    while len(chosen) < num and len(order):
        head, order = np.split(order, [num - len(chosen)])
        chosen += head[~held_out.contains(select(examples, head))].tolist()
    return chosen, order


def _pairs(examples: Examples) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(examples["inputs"], examples["labels"], strict=True))


def _check_enough(key: str, num_wanted: int, num_found: int, source: str) -> None:
    if num_found < num_wanted:
        raise ValueError(
            f"{key}={num_wanted}, but {source} has only {num_found} puzzles for it that pass "
            "min_difficulty and are not equivalent to one in a split drawn before; ask for at "
            "most that many"
        )
