"""Puzzles whose question and answer are grids of the same cells: which to take, and from where.

A family of them is a subclass of `Puzzles`; files, splits and the cache know no more of it.
"""

import abc
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cgar_jax.data.dataset import Dataset, Examples, Expected, keep_as_is
from cgar_jax.data.source import Source


class Puzzle(NamedTuple):
    """A puzzle: ``question`` and ``answer``, tokens ``uint8 [num_cells]``, and its difficulty."""

    question: np.ndarray
    answer: np.ndarray
    rating: float


@dataclasses.dataclass(frozen=True)
class Puzzles(Source):
    """Which puzzles to take; the keys of a config, and what they are unless given.

    A subclass adds what its generator asks for, and says how its family is made, read and compared.

    Attributes:
      source: ``"generated"``, a folder with ``train.csv`` and ``test.csv``, or
        ``"hub:OWNER/NAME"`` for those files of a Hugging Face data set.
      num_train: number of training puzzles; 0 or -1 is all that the file has left.
      num_validation: number of validation puzzles; with files, taken from ``train.csv``.
      num_test: number of test puzzles; 0 or -1 is all that the file has.
      min_difficulty: the least rating of a puzzle in any split.
      size: rows and columns; for generated puzzles only, those in files are as large as they are.
    """

    source: str = "generated"
    num_train: int = 1000
    num_validation: int = 100
    num_test: int = 0
    min_difficulty: float = 0.0
    size: int = 9

    def __post_init__(self):
        super().__post_init__()
        if self.num_validation < 0:
            raise ValueError(f"num_validation={self.num_validation}; expected at least 0")
        if self.source == "generated":
            self.check_generator()
            if self.num_train < 1 or self.num_test < 0:
                raise ValueError(
                    f"num_train={self.num_train} and num_test={self.num_test} with generated "
                    "puzzles; expected at least 1 and at least 0 ('all' exists only for files)"
                )

    @abc.abstractmethod
    def check_generator(self) -> None:
        """Raises ``ValueError`` if no puzzle can be generated with these settings."""

    @abc.abstractmethod
    def generate(self, num_puzzles: int, start: int) -> list[Puzzle]:
        """Generates puzzles ``start`` to ``start + num_puzzles - 1`` of ``seed``.

        Raises:
          ValueError: if such puzzles could not be found.
        """

    @property
    @abc.abstractmethod
    def kind(self) -> str:
        """What is generated, for messages: the settings of the generator in words."""

    @staticmethod
    @abc.abstractmethod
    def vocab_size(num_cells: int) -> int:
        """Returns the number of tokens.

        Raises:
          ValueError: if no grid of the family has ``num_cells`` cells.
        """

    @staticmethod
    @abc.abstractmethod
    def parse(
        num_cells: int, questions: Sequence[str], answers: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the tokens of questions and answers, ``uint8 [num, num_cells]`` each.

        Raises:
          RecordError: for the first that is malformed or whose answer is wrong.
        """

    @staticmethod
    def clean_line(line: str) -> str:
        """Returns the cells in a line that a person wrote: without ornaments."""
        return line

    @staticmethod
    @abc.abstractmethod
    def parse_questions(texts: Sequence[str]) -> np.ndarray:
        """Returns the tokens of questions, ``uint8 [num, num_cells]``.

        Raises:
          RecordError: for the first that has a character which no question has.
        """

    @staticmethod
    @abc.abstractmethod
    def question_faults(questions: np.ndarray) -> list[str]:
        """Tells what is wrong with each question, ``""`` if nothing is.

        Args:
          questions: tokens, ``uint8 [num, num_cells]``.
        """

    @staticmethod
    @abc.abstractmethod
    def num_solutions(question: np.ndarray) -> int | None:
        """Returns 0, 1, or 2 for two and more; None where being one of several says nothing.

        Args:
          question: tokens of a puzzle without faults, ``uint8 [num_cells]``.
        """

    @staticmethod
    @abc.abstractmethod
    def text(tokens: np.ndarray) -> str:
        """Returns a question or an answer as CSV files have it.

        Args:
          tokens: integers ``[num_cells]``, a model's too.
        """

    @staticmethod
    @abc.abstractmethod
    def draw(tokens: np.ndarray) -> str:
        """Returns a question or an answer in lines that people can read.

        Args:
          tokens: integers ``[num_cells]``, a model's too.
        """

    @staticmethod
    def split_signatures(questions: np.ndarray, answers: np.ndarray) -> list[bytes]:
        """Returns keys, quickly found, that are equal wherever `split_class` is; perhaps elsewhere.

        A family whose classes are dear to find gives keys that differ for nearly all others.

        Args:
          questions: tokens, ``uint8 [num, num_cells]``.
          answers: tokens, ``uint8 [num, num_cells]``.
        """
        del answers
        return [b""] * len(questions)

    @staticmethod
    @abc.abstractmethod
    def accepts(questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Tells which answers obey all rules, be they those of the file or others.

        Args:
          questions: tokens, integer ``[num, num_cells]``.
          answers: tokens, integer ``[num, num_cells]``, for example a model's.

        Returns:
          ``bool [num]``.
        """

    @staticmethod
    @abc.abstractmethod
    def answer_faults(questions: np.ndarray, answers: np.ndarray) -> list[str]:
        """Tells which rule each answer breaks first, ``""`` if it is accepted.

        Args:
          questions: as for `accepts`.
          answers: as for `accepts`.
        """

    @staticmethod
    @abc.abstractmethod
    def wrong_cells(questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Tells which cells of each answer break a rule, none if it is accepted.

        Args:
          questions: as for `accepts`.
          answers: as for `accepts`.

        Returns:
          ``bool [num, num_cells]``.
        """

    @staticmethod
    @abc.abstractmethod
    def augmentation() -> Callable[..., dict[str, Any]]:
        """Returns the function ``(key, examples) -> examples`` that draws symmetric variants."""

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

    @property
    def paths(self) -> list[pathlib.Path]:  # noqa: D102
        return list(self.files.values())

    def make_splits(self) -> dict[str, Examples]:  # noqa: D102
        # Imported here because it needs this module.
        from cgar_jax.data.splits import make_splits

        return make_splits(self)

    def file_contents(self) -> dict[str, Examples]:  # noqa: D102
        # Imported here because it needs this module.
        from cgar_jax.data.csv_files import read_csv

        return {
            path.name: read_csv(path, type(self), self.skip_bad) for path in self.files.values()
        }

    def dataset(self, splits: Mapping[str, Examples], augment: bool) -> Dataset:  # noqa: D102
        num_cells = splits["train"]["inputs"].shape[1]
        return Dataset(
            **{split: _as_examples(columns) for split, columns in splits.items()},
            vocab_size=self.vocab_size(num_cells),
            sequence_length=num_cells,
            num_puzzle_identifiers=1,
            accepts=self.accepts,
            augment=self.augmentation() if augment else keep_as_is,
        )

    def expected(self) -> Expected:  # noqa: D102
        # Files are taken to have puzzles of the size that would be generated.
        num_cells = self.size**2
        return Expected(self.vocab_size(num_cells), num_cells, 1, max(self.num_train, 0))

    @classmethod
    def read(cls, path: str | os.PathLike, skip_bad: bool = False) -> Examples:
        """Reads the puzzles of one CSV file as examples like those of a `Dataset`."""
        # Imported here because it needs this module.
        from cgar_jax.data.csv_files import read_csv

        return _as_examples(read_csv(path, cls, skip_bad))


def _as_examples(columns: Examples) -> Examples:
    return {
        "inputs": columns["inputs"].astype(np.int8),
        "labels": columns["labels"].astype(np.int8),
        "puzzle_identifiers": np.zeros(len(columns["inputs"]), np.int32),
        "difficulty": columns["difficulty"],
    }


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
