"""Sources of examples: the settings of a data set, and the interface that every family implements.

A source decides which examples to load and how to split them. Its fields are the keys of
`config.data`, and their defaults are defined nowhere else. Rules of puzzles are in `rules`; the
cache and the augmentation are added by `loading`.
"""

import abc
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from cgar_jax._core.ranges import check_integer, check_number
from cgar_jax._core.registry import check_name
from cgar_jax.data.dataset import Dataset, Expected
from cgar_jax.data.rules import Rules
from cgar_jax.data.schema import Examples
from cgar_jax.data.symmetries import Symmetries


@dataclasses.dataclass(frozen=True)
class LoadOptions:
    """Keys of `config.data` that do not influence which examples are chosen.

    Attributes:
      cache_dir: folder of the cached data sets; `""` means the environment variable
        `CGAR_DATA_DIR`, or else `~/.cache/cgar_jax`.
      augment: whether training examples are replaced by random symmetric variants.
      num_domains: number of groups of training examples by difficulty, which are the domains of
        weightings and samplings that mix domains.
      max_device_megabytes: largest training set that is kept on the devices; a larger one is
        streamed from the host, which needs `sampling.name = "epoch_sampling"`.
    """

    cache_dir: str = ""
    augment: bool = True
    num_domains: int = 10
    max_device_megabytes: int = 1_024

    def __post_init__(self):
        check_integer("data", "num_domains", self.num_domains, "[1, inf)")
        check_number("data", "max_device_megabytes", self.max_device_megabytes, "[0, inf)")


@dataclasses.dataclass(frozen=True)
class Source(abc.ABC):
    """The settings of a data set, with the methods that make a `Dataset` from them.

    Class attributes:
      name: value of `config.data.name` that selects the family.
      rules: rules of the family's puzzles; None if its puzzles share no rules.

    Attributes:
      source: origin of the examples, such as a folder.
      seed: random seed for choosing examples.
      skip_bad: whether bad records in files are skipped with a warning instead of an error.
    """

    name: ClassVar[str]
    rules: ClassVar[Rules | None] = None

    source: str = ""
    seed: int = 0
    skip_bad: bool = False

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Returns the source that a data config describes.

        Args:
          config: fields of this class, `name` and fields of `LoadOptions`, all optional.

        Raises:
          ValueError: if a key is unknown or a value is out of range.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        others = [field.name for field in dataclasses.fields(LoadOptions)]
        for key in config:
            check_name("key of the data config", key, (*names, "name", *others))
        LoadOptions(**{name: config[name] for name in others if name in config})
        return cls(**{name: config[name] for name in names if name in config})

    def __post_init__(self):
        check_integer("data", "seed", self.seed, "[0, inf)")

    @property
    @abc.abstractmethod
    def paths(self) -> Iterable[pathlib.Path]:
        """The files to read; empty for generated examples.

        Raises:
          FileNotFoundError: if a file does not exist.
          ConnectionError: if a file cannot be downloaded.
        """

    @abc.abstractmethod
    def make_splits(self) -> dict[str, Examples]:
        """Generates or reads the examples and divides them.

        Returns:
          The splits `train`, `validation` and `test`, each with `inputs` and `labels`, tokens,
          uint8 `[num, sequence_length]`; `difficulty`, float32 `[num]`; `source`, UTF-8 bytes
          `[num]`.

        Raises:
          ValueError: if there are not enough examples, or a file is malformed.
        """

    @abc.abstractmethod
    def split_class(self, pair: tuple[np.ndarray, np.ndarray]) -> bytes:
        """Returns a key that examples share if the family's symmetries make them equal.

        Args:
          pair: `inputs` and `labels` of one example, uint8 `[sequence_length]` each.
        """

    def file_contents(self) -> dict[str, Examples]:
        """Returns the whole contents of the files by file name, before examples are chosen.

        Returns:
          Columns as from `make_splits`; empty if the splits hold everything in the files.
        """
        return {}

    @abc.abstractmethod
    def dataset(self, splits: Mapping[str, Examples]) -> Dataset:
        """Returns the data set, without augmentation, of the splits from `make_splits`."""

    @abc.abstractmethod
    def symmetries(self, dataset: Dataset) -> Symmetries | None:
        """Returns the symmetries that augmentation draws from; None means no augmentation."""

    @abc.abstractmethod
    def expected(self) -> Expected:
        """Returns the size of the data set, predicted from the settings."""

    def fingerprint(self) -> str:
        """Returns a short text that differs for different settings and file contents."""
        settings = {"family": self.name} | dataclasses.asdict(self)
        fingerprint = hashlib.sha256(json.dumps(settings).encode())
        for path in self.paths:
            with path.open("rb") as file:
                fingerprint.update(hashlib.file_digest(file, "sha256").digest())
        return fingerprint.hexdigest()[:16]
