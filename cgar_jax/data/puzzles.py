"""Puzzles whose question and answer are grids of the same cells: which to take, and from where.

A family of them is a subclass of `Puzzles`; files, splits and the cache know no more of it.
"""

import abc
import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from cgar_jax._registry import check_name


class Puzzle(NamedTuple):
    """A puzzle: ``question`` and ``answer``, tokens ``uint8 [num_cells]``, and its difficulty."""

    question: np.ndarray
    answer: np.ndarray
    rating: float


@dataclasses.dataclass(frozen=True)
class Puzzles(abc.ABC):
    """Which puzzles to take; the keys of a config, and what they are unless given.

    A subclass adds what its generator asks for, and says how its family is made, read and compared.

    Attributes:
      source: ``"generated"``, a folder with ``train.csv`` and ``test.csv``, or
        ``"hub:OWNER/NAME"`` for those files of a Hugging Face data set.
      num_train: number of training puzzles; 0 or -1 is all that the file has left.
      num_validation: number of validation puzzles; with files, taken from ``train.csv``.
      num_test: number of test puzzles; 0 or -1 is all that the file has.
      min_difficulty: the least rating of a puzzle in any split.
      seed: chooses the puzzles.
      skip_bad: whether bad lines of files are counted and listed, and not errors.
    """

    source: str = "generated"
    num_train: int = 1000
    num_validation: int = 100
    num_test: int = 0
    min_difficulty: float = 0.0
    seed: int = 0
    skip_bad: bool = False

    @classmethod
    def from_config(cls, config: Mapping[str, Any], other_keys: tuple[str, ...]) -> Self:
        """Picks the settings from a config that may hold ``other_keys`` besides.

        Raises:
          ValueError: if a key is unknown or a value impossible.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for key in config:
            check_name("key of the data config", key, (*names, *other_keys))
        return cls(**{name: config[name] for name in names if name in config})

    def __post_init__(self):
        if self.seed < 0:
            raise ValueError(f"seed={self.seed}; expected a number of at least 0")
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
    @abc.abstractmethod
    def split_class(puzzle: tuple[np.ndarray, np.ndarray]) -> bytes:
        """Returns a key that no two splits may share, for ``(question, answer)``.

        A function of a module, or a static method of an importable class: processes share the work.
        """

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

    def fingerprint(self) -> str:
        """Returns a short text that differs for other settings and for other contents of files."""
        settings = {"family": type(self).__name__} | dataclasses.asdict(self)
        fingerprint = hashlib.sha256(json.dumps(settings).encode())
        for path in self.files.values():
            with path.open("rb") as file:
                fingerprint.update(hashlib.file_digest(file, "sha256").digest())
        return fingerprint.hexdigest()[:16]


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
