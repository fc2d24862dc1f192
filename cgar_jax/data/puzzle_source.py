"""The source of puzzles whose question and answer are grids with the same cells.

Such a family subclasses `PuzzleSource`, names its `Rules` and adds its generator with the
generator's settings; files, splits and the data set are handled here.
"""

import abc
import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from cgar_jax._core.ranges import check_integer, check_number
from cgar_jax.data import schema
from cgar_jax.data.csv_files import read_csv
from cgar_jax.data.dataset import Dataset, Expected
from cgar_jax.data.puzzle_files import find_files
from cgar_jax.data.rules import Puzzle, Rules
from cgar_jax.data.schema import Examples
from cgar_jax.data.sources import Source
from cgar_jax.data.splits import SplitSizes, file_splits, generated_splits
from cgar_jax.data.symmetries import Symmetries

GENERATED = "generated"
ALL = "[-1, inf)"


@dataclasses.dataclass(frozen=True)
class PuzzleSource(Source):
    """The settings of a puzzle data set. Subclasses add the settings of their generator.

    Attributes:
      source: `"generated"`, a folder with `train.csv` and `test.csv`, or `"hub:OWNER/NAME"` for a
        Hugging Face data set with these files.
      num_train: number of training puzzles; 0 or -1 means all that the file has left.
      num_validation: number of validation puzzles; with files, they are taken from `train.csv`.
      num_test: number of test puzzles; 0 or -1 means all that the file has.
      min_difficulty: smallest rating of a puzzle in any split.
      size: rows and columns of generated puzzles; puzzles in files have their own size.
    """

    rules: ClassVar[Rules]

    source: str = GENERATED
    num_train: int = 1_000
    num_validation: int = 500
    num_test: int = 0
    min_difficulty: float = 0.0
    size: int = 9

    def __post_init__(self):
        super().__post_init__()
        is_generated = self.source == GENERATED
        check_integer("data", "num_validation", self.num_validation, "[0, inf)")
        # -1 and, for training puzzles, 0 mean all puzzles of a file.
        check_integer("data", "num_train", self.num_train, "[1, inf)" if is_generated else ALL)
        check_integer("data", "num_test", self.num_test, "[0, inf)" if is_generated else ALL)
        check_number("data", "min_difficulty", self.min_difficulty, "[0, inf)")
        if is_generated:
            self.check_generator()

    @abc.abstractmethod
    def check_generator(self) -> None:
        """Raises `ValueError` if no puzzle can be generated with these settings."""

    @abc.abstractmethod
    def generate(self, indices: range) -> list[Puzzle]:
        """Generates the puzzles of `seed` with the given indices.

        A puzzle depends only on the settings and on its index.

        Raises:
          ValueError: if no such puzzles were found.
        """

    @property
    @abc.abstractmethod
    def description(self) -> str:
        """Plural noun phrase for the generated puzzles, with the settings of the generator."""

    @property
    def num_cells(self) -> int:
        """The number of cells of a generated puzzle."""
        return self.size**2

    @functools.cached_property
    def files(self) -> dict[str, pathlib.Path]:
        """The files to read by split, see `find_files`; empty for generated puzzles."""
        return {} if self.source == GENERATED else find_files(self.source)

    @property
    def paths(self) -> list[pathlib.Path]:  # noqa: D102
        return list(self.files.values())

    def make_splits(self) -> dict[str, Examples]:  # noqa: D102
        sizes = SplitSizes(self.num_train, self.num_validation, self.num_test)
        if self.source == GENERATED:
            return generated_splits(self.generate, self.rules, sizes, self.description)
        pool, test = (
            _hard_enough(read_csv(path, self.rules, self.skip_bad), path, self.min_difficulty)
            for path in self.files.values()
        )
        if pool["inputs"].shape[1] != test["inputs"].shape[1]:
            raise ValueError(
                f"{self.source} has puzzles of {pool['inputs'].shape[1]} cells in train.csv and of "
                f"{test['inputs'].shape[1]} in test.csv; expected the same size in both"
            )
        return file_splits(pool, test, self.rules, sizes, self.seed, self.source)

    def split_class(self, pair: tuple[np.ndarray, np.ndarray]) -> bytes:  # noqa: D102
        return self.rules.split_class(pair)

    def file_contents(self) -> dict[str, Examples]:  # noqa: D102
        return {
            path.name: read_csv(path, self.rules, self.skip_bad) for path in self.files.values()
        }

    def dataset(self, splits: Mapping[str, Examples]) -> Dataset:  # noqa: D102
        num_cells = splits["train"]["inputs"].shape[1]
        return Dataset(
            **{split: as_examples(columns) for split, columns in splits.items()},
            vocab_size=self.rules.vocab_size(num_cells),
            sequence_length=num_cells,
            num_puzzle_identifiers=1,
            accepts=self.rules.accepts,
        )

    def symmetries(self, dataset: Dataset) -> Symmetries | None:  # noqa: D102
        return self.rules.symmetries(dataset.sequence_length)

    def expected(self) -> Expected:  # noqa: D102
        # Puzzles in files are assumed to have the size that would be generated.
        vocab_size = self.rules.vocab_size(self.num_cells)
        return Expected(vocab_size, self.num_cells, 1, max(self.num_train, 0))


def as_examples(columns: Examples) -> Examples:
    """Returns puzzles, as from `read_csv`, as the columns of a `Dataset`."""
    return {
        "inputs": columns["inputs"].astype(schema.INPUTS.stored_dtype),
        "labels": columns["labels"].astype(schema.LABELS.stored_dtype),
        "puzzle_identifiers": np.zeros(
            len(columns["inputs"]), schema.PUZZLE_IDENTIFIERS.stored_dtype
        ),
        "difficulty": columns["difficulty"],
    }


def _hard_enough(examples: Examples, path: pathlib.Path, min_difficulty: float) -> Examples:
    difficulty = examples["difficulty"]
    if difficulty.max() < min_difficulty:
        raise ValueError(
            f"no puzzle in {path} has a rating of at least min_difficulty={min_difficulty:g}; "
            f"the highest is {difficulty.max():g}"
        )
    return schema.select(examples, difficulty >= min_difficulty)
