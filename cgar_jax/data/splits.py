"""Chooses the puzzles to train, validate and test on, so that no two splits share a class.

Held-out puzzles are drawn first: they stay the same when only ``num_train`` changes, and a smaller
training set is the beginning of a larger one.
"""

import collections
import pathlib

import numpy as np
from rich.console import Console

from cgar_jax.data.csv_files import read_csv
from cgar_jax.data.dataset import Examples
from cgar_jax.data.parallel import parallel_map
from cgar_jax.data.puzzles import Puzzles
from cgar_jax.progress import Ticker

# How many puzzles are generated at a time: enough to tell a share of duplicates, and to keep all
# cores busy; few enough to tell soon how it goes.
_LEAST_ROUND, _MOST_ROUND = 200, 2000
_LEAST_NEW = 0.05  # with a smaller share of new ones in a round, there are hardly any more


def make_splits(puzzles: Puzzles) -> dict[str, Examples]:
    """Generates or reads puzzles and divides them into ``train``, ``validation`` and ``test``.

    Returns:
      Arrays as from `read_csv` for each split. No class (see `Puzzles.split_class`) is in two
      splits; among generated puzzles none comes twice at all.

    Raises:
      ValueError: if there are not enough puzzles, or a file is malformed.
    """
    if puzzles.source == "generated":
        return _generated_splits(puzzles)
    return _file_splits(puzzles)


def _generated_splits(puzzles: Puzzles) -> dict[str, Examples]:
    num_wanted = puzzles.num_test + puzzles.num_validation + puzzles.num_train
    found = {}  # by class, in the order of their generation
    num_tried, num_missing, least_round = 0, num_wanted, 1
    console, ticker = Console(stderr=True, highlight=False), Ticker()
    while num_missing > 0:
        num_known = len(found)
        num_round = min(max(num_missing, least_round), _MOST_ROUND)
        drawn = puzzles.generate(num_round, start=num_tried)
        keys = parallel_map(puzzles.split_class, [puzzle[:2] for puzzle in drawn])
        for puzzle, key in zip(drawn, keys, strict=True):
            found.setdefault(key, puzzle)
        num_tried += num_round
        num_missing, num_new = num_wanted - len(found), len(found) - num_known
        if num_missing > 0 and num_round >= _LEAST_ROUND and num_new < _LEAST_NEW * num_round:
            raise ValueError(
                f"asked for {num_wanted} essentially different {puzzles.kind}, but {num_tried} "
                f"random ones had only {len(found)} different among them; ask for fewer, or for "
                "other settings of the generator"
            )
        least_round = _LEAST_ROUND
        if num_missing > 0 and ticker.due():
            console.print(f"generated {len(found):,} of {num_wanted:,} {puzzles.kind}")
    questions, answers, ratings = zip(*list(found.values())[:num_wanted], strict=True)
    examples = {
        "inputs": np.array(questions),
        "labels": np.array(answers),
        "difficulty": np.array(ratings, np.float32),
        "source": np.full(num_wanted, b"generated"),
    }
    ends = np.cumsum([puzzles.num_test, puzzles.num_validation])
    test, validation, train = np.split(np.arange(num_wanted), ends)
    return {
        "train": _select(examples, train),
        "validation": _select(examples, validation),
        "test": _select(examples, test),
    }


def _file_splits(puzzles: Puzzles) -> dict[str, Examples]:
    pool, test = (
        _hard_enough(read_csv(path, type(puzzles), puzzles.skip_bad), path, puzzles.min_difficulty)
        for path in puzzles.files.values()
    )
    if pool["inputs"].shape[1] != test["inputs"].shape[1]:
        raise ValueError(
            f"{puzzles.source} has puzzles of {pool['inputs'].shape[1]} cells in train.csv and of "
            f"{test['inputs'].shape[1]} in test.csv; expected the same size in both"
        )
    rng = np.random.default_rng(puzzles.seed)
    order = rng.permutation(len(test["inputs"]))
    num_test = puzzles.num_test if puzzles.num_test > 0 else len(order)
    _check_enough("num_test", num_test, len(order), puzzles.source)
    test = _select(test, order[:num_test])

    held_out = _HeldOut(puzzles)
    held_out.add(test)
    order = rng.permutation(len(pool["inputs"]))
    validation, order = _draw(pool, order, puzzles.num_validation, held_out)
    _check_enough("num_validation", puzzles.num_validation, len(validation), puzzles.source)
    held_out.add(_select(pool, validation))
    num_train = puzzles.num_train if puzzles.num_train > 0 else len(order)
    train, _ = _draw(pool, order, num_train, held_out)
    _check_enough("num_train", max(puzzles.num_train, 1), len(train), puzzles.source)
    return {"train": _select(pool, train), "validation": _select(pool, validation), "test": test}


class _HeldOut:
    """Puzzles of which no further split may have the class.

    A class is dear to find. It is asked for only where a signature says that two may be the same.
    """

    def __init__(self, puzzles: Puzzles):
        self._puzzles = puzzles
        # By signature: those whose class is not known yet.
        self._unknown: dict[bytes, list] = collections.defaultdict(list)
        self._classes: dict[bytes, set[bytes]] = collections.defaultdict(set)

    def add(self, examples: Examples) -> None:
        """Takes puzzles in."""
        for signature, pair in zip(self._signatures(examples), _pairs(examples), strict=True):
            self._unknown[signature].append(pair)

    def holds(self, examples: Examples) -> np.ndarray:
        """Tells of which puzzles it has one of the same class, ``bool [num]``."""
        signatures, pairs = self._signatures(examples), _pairs(examples)
        suspects = [
            number
            for number, signature in enumerate(signatures)
            if signature in self._unknown or signature in self._classes
        ]
        asked = {signatures[number] for number in suspects} & self._unknown.keys()
        members = [
            (signature, pair) for signature in asked for pair in self._unknown.pop(signature)
        ]
        keys = parallel_map(
            self._puzzles.split_class,
            [pair for _, pair in members] + [pairs[number] for number in suspects],
        )
        for (signature, _), key in zip(members, keys, strict=False):
            self._classes[signature].add(key)
        found = np.zeros(len(pairs), bool)
        for number, key in zip(suspects, keys[len(members) :], strict=True):
            found[number] = key in self._classes[signatures[number]]
        return found

    def _signatures(self, examples: Examples) -> list[bytes]:
        return self._puzzles.split_signatures(examples["inputs"], examples["labels"])


def _draw(
    examples: Examples, order: np.ndarray, num: int, held_out: _HeldOut
) -> tuple[list[int], np.ndarray]:
    """Goes through ``order`` until ``num`` puzzles are found of which none like it is held out.

    Returns:
      Their indices, and what is left of ``order``.
    """
    chosen = []
    while len(chosen) < num and len(order):
        head, order = np.split(order, [num - len(chosen)])
        chosen += head[~held_out.holds(_select(examples, head))].tolist()
    return chosen, order


def _pairs(examples: Examples) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(examples["inputs"], examples["labels"], strict=True))


def _select(examples: Examples, indices: np.ndarray | list[int]) -> Examples:
    indices = np.asarray(indices, int)
    return {name: values[indices] for name, values in examples.items()}


def _hard_enough(examples: Examples, path: pathlib.Path, min_difficulty: float) -> Examples:
    difficulty = examples["difficulty"]
    if difficulty.max() < min_difficulty:
        raise ValueError(
            f"no puzzle in {path} has a rating of at least min_difficulty={min_difficulty:g}; "
            f"the highest is {difficulty.max():g}"
        )
    return _select(examples, np.flatnonzero(difficulty >= min_difficulty))


def _check_enough(key: str, num_wanted: int, num_found: int, source: str) -> None:
    if num_found < num_wanted:
        raise ValueError(
            f"{key}={num_wanted}, but {source} has only {num_found} puzzles for it that pass "
            "min_difficulty and are equivalent to none in a split drawn before; ask for at most "
            "that many"
        )
