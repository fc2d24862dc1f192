"""Chooses the puzzles to train, validate and test on, so that no two splits share a class.

Held-out puzzles are drawn first: they stay the same when only ``num_train`` changes, and a smaller
training set is the beginning of a larger one.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from cgar_jax._registry import check_name
from cgar_jax.data.dataset import Examples
from cgar_jax.data.parallel import parallel_map
from cgar_jax.data.sudoku.csv_files import read_csv
from cgar_jax.data.sudoku.generation import clue_range, generate
from cgar_jax.data.sudoku.grid import Grid
from cgar_jax.data.sudoku.symmetry import split_class

_ROUND = 200  # the least number of puzzles generated at a time to make up for duplicates
_LEAST_NEW = 0.01  # with a smaller share of new ones in a round, there are as good as no more


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which puzzles to choose; the keys of a config, and what they are unless given.

    Attributes:
      source: ``"generated"``, a folder with ``train.csv`` and ``test.csv``, or
        ``"hub:OWNER/NAME"`` for those files of a Hugging Face data set.
      size: 4, 6 or 9; for generated puzzles only.
      num_clues: number of clues, a range of it ``(low, high)``, or 0 for as few as each puzzle
        allows; for generated puzzles only.
      num_train: number of training puzzles; 0 or -1 is all that the file has left.
      num_validation: number of validation puzzles; with files, taken from ``train.csv``.
      num_test: number of test puzzles; 0 or -1 is all that the file has.
      min_difficulty: the least rating of a puzzle in any split.
      seed: chooses the puzzles.
    """

    source: str = "generated"
    size: int = 9
    num_clues: int | tuple[int, int] = 0
    num_train: int = 1000
    num_validation: int = 100
    num_test: int = 0
    min_difficulty: float = 0.0
    seed: int = 0

    @classmethod
    def from_config(cls, config: Mapping[str, Any], other_keys: tuple[str, ...]) -> "Settings":
        """Picks the settings from a config that may hold ``other_keys`` besides.

        Raises:
          ValueError: if a key is unknown or a value impossible.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for key in config:
            check_name("key of the data config", key, (*names, *other_keys))
        return cls(**{name: config[name] for name in names if name in config})

    def __post_init__(self):
        if np.ndim(self.num_clues):
            object.__setattr__(self, "num_clues", tuple(self.num_clues))
        if self.seed < 0:
            raise ValueError(f"seed={self.seed}; expected a number of at least 0")
        if self.num_validation < 0:
            raise ValueError(f"num_validation={self.num_validation}; expected at least 0")
        if self.source == "generated":
            clue_range(Grid.of_size(self.size), self.num_clues)
            if self.num_train < 1 or self.num_test < 0:
                raise ValueError(
                    f"num_train={self.num_train} and num_test={self.num_test} with generated "
                    "puzzles; expected at least 1 and at least 0 ('all' exists only for files)"
                )

    @functools.cached_property
    def files(self) -> dict[str, pathlib.Path]:
        """The paths of the files to read, by split; none for generated puzzles.

        Raises:
          FileNotFoundError: if the folder or a file in it does not exist.
          ConnectionError: if the files cannot be downloaded.
        """
        if self.source == "generated":
            return {}
        if self.source.startswith("hub:"):
            return _download(self.source.removeprefix("hub:"))
        folder = pathlib.Path(self.source).expanduser()
        files = {split: folder / f"{split}.csv" for split in ("train", "test")}
        for file in files.values():
            if not file.is_file():
                raise FileNotFoundError(
                    f"data source {self.source!r}: there is no file {file}; expected "
                    "'generated', 'hub:OWNER/NAME', or a folder with train.csv and test.csv"
                )
        return files

    def fingerprint(self) -> str:
        """Returns a short text that differs for other settings and for other contents of files."""
        fingerprint = hashlib.sha256(json.dumps(dataclasses.asdict(self)).encode())
        for path in self.files.values():
            with path.open("rb") as file:
                fingerprint.update(hashlib.file_digest(file, "sha256").digest())
        return fingerprint.hexdigest()[:16]


def make_splits(settings: Settings) -> dict[str, Examples]:
    """Generates or reads puzzles and divides them into ``train``, ``validation`` and ``test``.

    Returns:
      Arrays as from `read_csv` for each split. No equivalence class (see `split_class`) is in two
      splits; among generated puzzles none comes twice at all.

    Raises:
      ValueError: if there are not enough puzzles, or a file is malformed.
    """
    if settings.source == "generated":
        return _generated_splits(settings)
    return _file_splits(settings)


def _generated_splits(settings: Settings) -> dict[str, Examples]:
    grid = Grid.of_size(settings.size)
    num_wanted = settings.num_test + settings.num_validation + settings.num_train
    puzzles = {}  # by class, in the order of their generation
    num_tried = 0
    num_round = num_wanted
    while len(puzzles) < num_wanted:
        num_known = len(puzzles)
        drawn = generate(
            grid,
            num_round,
            settings.seed,
            settings.num_clues,
            settings.min_difficulty,
            start=num_tried,
        )
        for puzzle, key in zip(drawn, _classes([p[:2] for p in drawn]), strict=True):
            puzzles.setdefault(key, puzzle)
        num_tried += num_round
        num_missing, num_new = num_wanted - len(puzzles), len(puzzles) - num_known
        if num_missing > 0 and num_round >= _ROUND and num_new < _LEAST_NEW * num_round:
            raise ValueError(
                f"asked for {num_wanted} essentially different {grid.size}x{grid.size} puzzles "
                f"with num_clues={settings.num_clues}, but {num_tried} random ones had only "
                f"{len(puzzles)} different among them; ask for fewer, or for other num_clues"
            )
        num_round = max(num_missing, _ROUND)
    questions, answers, ratings = zip(*list(puzzles.values())[:num_wanted], strict=True)
    examples = {
        "inputs": np.array(questions),
        "labels": np.array(answers),
        "difficulty": np.array(ratings, np.float32),
        "source": np.full(num_wanted, b"generated"),
    }
    ends = np.cumsum([settings.num_test, settings.num_validation])
    test, validation, train = np.split(np.arange(num_wanted), ends)
    return {
        "train": _select(examples, train),
        "validation": _select(examples, validation),
        "test": _select(examples, test),
    }


def _file_splits(settings: Settings) -> dict[str, Examples]:
    pool, test = (
        _hard_enough(read_csv(path), path, settings.min_difficulty)
        for path in settings.files.values()
    )
    if pool["inputs"].shape[1] != test["inputs"].shape[1]:
        raise ValueError(
            f"{settings.source} has puzzles of {pool['inputs'].shape[1]} cells in train.csv and of "
            f"{test['inputs'].shape[1]} in test.csv; expected the same size in both"
        )
    rng = np.random.default_rng(settings.seed)
    order = rng.permutation(len(test["inputs"]))
    num_test = settings.num_test if settings.num_test > 0 else len(order)
    _check_enough("num_test", num_test, len(order), settings.source)
    test = _select(test, order[:num_test])

    logging.info("comparing with the classes of %d test puzzles", num_test)
    taken = set(_classes(_pairs(test)))
    order = rng.permutation(len(pool["inputs"]))
    validation, order, classes = _draw(pool, order, settings.num_validation, taken)
    _check_enough("num_validation", settings.num_validation, len(validation), settings.source)
    num_train = settings.num_train if settings.num_train > 0 else len(order)
    train, _, _ = _draw(pool, order, num_train, taken | classes)
    _check_enough("num_train", max(settings.num_train, 1), len(train), settings.source)
    return {"train": _select(pool, train), "validation": _select(pool, validation), "test": test}


def _draw(
    examples: Examples, order: np.ndarray, num: int, taken: set[bytes]
) -> tuple[list[int], np.ndarray, set[bytes]]:
    """Goes through ``order`` until ``num`` puzzles are found whose class is not ``taken``.

    Returns:
      Their indices, what is left of ``order``, and their classes.
    """
    chosen, classes = [], set()
    while len(chosen) < num and len(order):
        head, order = np.split(order, [num - len(chosen)])
        keys = _classes(_pairs(_select(examples, head)))
        free = [(index, key) for index, key in zip(head, keys, strict=True) if key not in taken]
        chosen += [index for index, _ in free]
        classes |= {key for _, key in free}
    return chosen, order, classes


def _classes(puzzles: list[tuple[np.ndarray, np.ndarray]]) -> list[bytes]:
    return parallel_map(split_class, puzzles)


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


def _download(repository: str) -> dict[str, pathlib.Path]:
    # Imported here because only this needs it.
    import huggingface_hub

    files = {}
    for split in ("train", "test"):
        try:
            path = huggingface_hub.hf_hub_download(repository, f"{split}.csv", repo_type="dataset")
        except Exception as error:  # the library's errors have no base class in common
            raise ConnectionError(
                f"could not download {split}.csv of the Hugging Face data set {repository!r} "
                f"({type(error).__name__}); check the name and the network, or set source to a "
                "local folder with train.csv and test.csv"
            ) from error
        files[split] = pathlib.Path(path)
    return files
