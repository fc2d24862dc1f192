"""Where puzzles come from: the settings of a family of data sets, and what a family must do."""

import abc
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

from cgar_jax._core.registry import check_name
from cgar_jax.data.dataset import Dataset, Examples, Expected


@dataclasses.dataclass(frozen=True)
class Source(abc.ABC):
    """Which examples to take, and how they are made into a `Dataset`; its fields are config keys.

    Attributes:
      source: a folder, or what else the family says.
      seed: chooses the examples.
      skip_bad: whether bad records of files are counted and listed, and not errors.
    """

    source: str = ""
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

    @property
    @abc.abstractmethod
    def paths(self) -> Iterable[pathlib.Path]:
        """The files to read; none for what is generated.

        Raises:
          FileNotFoundError: if a file does not exist.
          ConnectionError: if files cannot be downloaded.
        """

    @abc.abstractmethod
    def make_splits(self) -> dict[str, Examples]:
        """Generates or reads the examples, and divides them.

        Returns:
          ``train``, ``validation`` and ``test``: ``inputs`` and ``labels``, tokens, ``uint8 [num,
          sequence_length]``; ``difficulty``, ``float32 [num]``; ``source``, UTF-8 bytes ``[num]``.

        Raises:
          ValueError: if there are not enough examples, or a file is malformed.
        """

    @staticmethod
    @abc.abstractmethod
    def split_class(example: tuple[np.ndarray, np.ndarray]) -> bytes:
        """Returns a key that near-duplicates share: examples equal up to the family's symmetries.

        A function of a module, or a static method of an importable class: processes share the work.

        Args:
          example: ``inputs`` and ``labels`` of one, ``uint8 [sequence_length]`` each.
        """

    def file_contents(self) -> dict[str, Examples]:
        """Reads all there is in the files, before anything is chosen or left out, file by file.

        Returns:
          As from `make_splits`, by name of the file; nothing where the splits have all there is.
        """
        return {}

    @abc.abstractmethod
    def dataset(self, splits: Mapping[str, Examples], augment: bool) -> Dataset:
        """Makes a data set of what `make_splits` returned; ``augment`` is whether it augments."""

    @abc.abstractmethod
    def expected(self) -> Expected:
        """Tells what the data set will be like, from the settings alone."""

    def fingerprint(self) -> str:
        """Returns a short text that differs for other settings and for other contents of files."""
        settings = {"family": type(self).__name__} | dataclasses.asdict(self)
        fingerprint = hashlib.sha256(json.dumps(settings).encode())
        for path in self.paths:
            with path.open("rb") as file:
                fingerprint.update(hashlib.file_digest(file, "sha256").digest())
        return fingerprint.hexdigest()[:16]
