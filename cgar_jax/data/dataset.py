"""What every family of data sets is loaded into, and what the training loop may rely on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cgar_jax._core.labels import IGNORE_LABEL

if TYPE_CHECKING:  # the processes that generate puzzles load this file, and need no JAX
    import jax

    from cgar_jax.data.families.arc.variants import Variants

Examples = dict[str, np.ndarray]


def keep_as_is(key: jax.Array, examples: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Is the augmentation that does nothing: returns ``examples``, whatever the ``key``."""
    del key
    return dict(examples)


class Expected(NamedTuple):
    """What is known of a data set before it is made, to plan a run by."""

    vocab_size: int
    sequence_length: int
    num_puzzle_identifiers: int  # at most
    num_train: int  # training examples, at most; 0 if only the files tell


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Training, validation and test examples in memory, and how to augment them.

    Each split is a dict of arrays whose first axis counts examples: ``inputs`` and ``labels``,
    integer ``[num, sequence_length]``; ``puzzle_identifiers``, ``int32 [num]``; ``difficulty``,
    ``float32 [num]``; perhaps ``groups``, ``int32 [num]``, the same number for all examples of one
    puzzle (each is a puzzle of its own where there are none). Only ``train`` is never empty.

    Attributes:
      train: what to train on.
      validation: for choices made while training.
      test: for the one figure at the end.
      vocab_size: tokens are 0 (padding) to ``vocab_size - 1``.
      sequence_length: number of tokens of an example.
      num_puzzle_identifiers: ``puzzle_identifiers`` are 0 to ``num_puzzle_identifiers - 1``.
      augment: pure function ``(key, examples) -> examples`` of a batch, to be called with a typed
        random key under ``jax.jit``; it draws another variant of each example. Where it needs
        large arrays it is a `jax.tree_util.Partial`, so that they can be arguments of a program.
      accepts: ``(inputs, answers) -> bool [num]``, whether answers obey the rules of their puzzles;
        none if nobody can tell.
      variants: of puzzles that are asked in many variants, whose answers are put to the vote.

    Raises:
      ValueError: if a split lacks an array or the arrays do not fit together, if there is nothing
        to train on, or a token lies outside the vocabulary.
    """

    train: Examples
    validation: Examples
    test: Examples
    vocab_size: int
    sequence_length: int
    num_puzzle_identifiers: int
    augment: Callable[[jax.Array, Mapping[str, jax.Array]], dict[str, jax.Array]] = keep_as_is
    accepts: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    variants: Variants | None = None

    def __post_init__(self):
        if not len(self.train.get("inputs", ())):
            raise ValueError("the training split is empty; expected at least one example")
        for split in ("train", "validation", "test"):
            self._check(split, getattr(self, split))

    def _check(self, split: str, examples: Examples) -> None:
        num = len(examples.get("inputs", ()))
        shapes = {
            "inputs": (num, self.sequence_length),
            "labels": (num, self.sequence_length),
            "puzzle_identifiers": (num,),
            "difficulty": (num,),
        } | ({"groups": (num,)} if "groups" in examples else {})
        for name, shape in shapes.items():
            found = np.shape(examples[name]) if name in examples else "missing"
            if found != shape:
                raise ValueError(f"{name!r} of the {split} split is {found}; expected {shape}")
        limits = {
            "inputs": (0, self.vocab_size),
            "labels": (0, self.vocab_size),
            "puzzle_identifiers": (0, self.num_puzzle_identifiers),
        }
        for name, (low, high) in limits.items():
            values = examples[name]
            if name == "labels":
                values = values[values != IGNORE_LABEL]
            if values.size and not low <= values.min() <= values.max() < high:
                raise ValueError(
                    f"{name!r} of the {split} split reach from {values.min()} to {values.max()}; "
                    f"expected {low} to {high - 1}"
                )
