"""The `Dataset` that every puzzle family is loaded into, and that the training loop relies on.

This file has no settings and reads no files: families fill a `Dataset`, training and evaluation use
it. It imports no JAX, because the worker processes that generate puzzles import it too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cgar_jax._core.labels import IGNORE_LABEL
from cgar_jax.data import schema
from cgar_jax.data.schema import Examples
from cgar_jax.data.symmetries import Variants

if TYPE_CHECKING:
    import jax

Augmentation = Callable[[Any, Mapping[str, Any]], dict[str, Any]]
"""A function `(key, examples) -> examples` on JAX arrays."""


def identity_augmentation(
    key: jax.Array, examples: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """The identity augmentation: returns `examples` unchanged and ignores `key`."""
    del key
    return dict(examples)


class Expected(NamedTuple):
    """The size of a data set, predicted from its settings without loading it."""

    vocab_size: int
    sequence_length: int
    num_puzzle_identifiers: int  # upper bound
    num_train: int  # upper bound on the training examples; 0 if only the files determine it


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Training, validation and test examples in memory, with their augmentation.

    Each split holds the columns `schema.DATASET_COLUMNS`, and optionally `groups`: examples with
    the same number belong to the same puzzle (without the column, each example is its own puzzle).
    The validation and test splits may be empty.

    Attributes:
      train: examples to train on.
      validation: examples for decisions during training.
      test: examples for the final score.
      vocab_size: number of tokens; token 0 is padding.
      sequence_length: number of tokens per example.
      num_puzzle_identifiers: number of different `puzzle_identifiers`, counted from 0.
      augment: pure function `(key, examples) -> examples` that replaces each example of a batch by
        a random variant, called with a typed random key under `jax.jit`. An augmentation that needs
        large arrays should be a `jax.tree_util.Partial`, which makes them program arguments.
      accepts: function `(inputs, answers) -> bool [num]` that checks answers by the rules of the
        puzzle; None if the family has no rules.
      variants: the variants of each ARC puzzle, for voting; None for other families.
      left_out: names of the ARC puzzles that are left out of the test split, because the model at
        hand has no embedding for them.

    Raises:
      ValueError: if a column is missing or has the wrong shape, the training split is empty, or a
        token is outside the vocabulary.
    """

    train: Examples
    validation: Examples
    test: Examples
    vocab_size: int
    sequence_length: int
    num_puzzle_identifiers: int
    augment: Augmentation = identity_augmentation
    accepts: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    variants: Variants | None = None
    left_out: tuple[str, ...] = ()

    def __post_init__(self):
        if not len(self.train.get("inputs", ())):
            raise ValueError("the training split is empty; expected at least one example")
        for split in ("train", "validation", "test"):
            self._check_shapes(split, getattr(self, split))
            self._check_values(split, getattr(self, split))

    def _check_shapes(self, split: str, examples: Examples) -> None:
        num = len(examples.get("inputs", ()))
        optional = (schema.GROUPS,) if "groups" in examples else ()
        for column in (*schema.DATASET_COLUMNS, *optional):
            expected = (num, *column.shape(self.sequence_length))
            found = np.shape(examples[column.name]) if column.name in examples else "missing"
            if found != expected:
                raise ValueError(
                    f"column {column.name!r} of the {split} split is {found}; "
                    f"expected shape {expected}"
                )

    def _check_values(self, split: str, examples: Examples) -> None:
        ends = {
            "inputs": self.vocab_size,
            "labels": self.vocab_size,
            "puzzle_identifiers": self.num_puzzle_identifiers,
        }
        for name, end in ends.items():
            values = examples[name]
            if name == "labels":
                values = values[values != IGNORE_LABEL]
            if values.size and not 0 <= values.min() <= values.max() < end:
                raise ValueError(
                    f"values of {name!r} in the {split} split range from {values.min()} to "
                    f"{values.max()}; expected 0 to {end - 1}"
                )
