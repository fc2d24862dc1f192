"""The fingerprint of a training set: what a checkpoint records about the data it was trained on.

It names the owner of each row of the puzzle-embedding table, so that a row is found again by the
name of its puzzle, and it reveals whether data have changed since. Validation and test splits are
not part of it: they may change freely.
"""

from __future__ import annotations

import collections
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from cgar_jax.data.dataset import Dataset
from cgar_jax.data.records import named
from cgar_jax.data.schema import Examples

PuzzleRows = dict[str, dict[str, str]]
"""The owners of the rows of an embedding table, in the order of the rows.

Maps the name of each puzzle to `variants`, eleven digits per row (a transform, and the new value of
each color), and to `pairs`, a digest of the puzzle's training pairs in any order.
"""


class Fingerprint(NamedTuple):
    """What identifies a training set.

    All training examples are hashed, which takes about a second per gigabyte.

    Attributes:
      examples: `num_examples`, and a digest of each column of the training split.
      puzzles: the puzzles that own rows of the embedding table; empty if puzzles have no
        embeddings of their own.
    """

    examples: dict[str, Any]
    puzzles: PuzzleRows

    @classmethod
    def of(cls, dataset: Dataset) -> Fingerprint:
        """Returns the fingerprint of the training split of a data set."""
        digests = {name: _digest(column) for name, column in sorted(dataset.train.items())}
        return cls({"num_examples": len(dataset.train["inputs"]), **digests}, _puzzles(dataset))

    @classmethod
    def from_json(cls, text: str) -> Fingerprint:
        """Reads what `to_json` has written.

        Raises:
          ValueError: if the text is something else.
        """
        try:
            content = json.loads(text)
            return cls(dict(content["examples"]), dict(content["puzzles"]))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"not the record of a training set ({error!r})") from None

    def to_json(self) -> str:
        """Returns the fingerprint as text."""
        return json.dumps(self._asdict(), indent=2) + "\n"

    def changes(self, now: Fingerprint) -> list[str]:
        """Describes what has changed between this training set and another one.

        Args:
          now: fingerprint of the current training set.

        Returns:
          One line for each kind of change; empty if the training sets are equal.
        """
        lines = list(_puzzle_changes(self.puzzles, now.puzzles))
        old, new = self.examples, now.examples
        if old.get("num_examples") != new.get("num_examples"):
            lines.append(
                f"{old.get('num_examples'):,} training examples before, "
                f"{new.get('num_examples'):,} now"
            )
        columns = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
        if columns and not lines:
            lines.append(f"the training examples differ in their {', '.join(columns)}")
        return lines


def _puzzle_changes(old: PuzzleRows, new: PuzzleRows) -> Iterator[str]:
    both = [name for name in old if name in new]

    def differ(key: str) -> list[str]:
        return [name for name in both if old[name].get(key) != new[name].get(key)]

    kinds = {
        "new": [name for name in new if name not in old],
        "gone": [name for name in old if name not in new],
        "with other training pairs": differ("pairs"),
        "with other variants": differ("variants"),
    }
    for kind, names in kinds.items():
        if names:
            yield f"{len(names)} puzzle{'s' if len(names) > 1 else ''} {kind}: {named(names)}"
    if both != [name for name in new if name in old]:
        yield "the puzzles are in another order"


def _puzzles(dataset: Dataset) -> PuzzleRows:
    variants = dataset.variants
    if variants is None:
        return {}
    digits = np.column_stack([variants.transforms, variants.colors]).astype(np.uint8) + ord("0")
    pairs = _digests_by_group(dataset.train)
    ranges = zip(variants.firsts[:-1], variants.firsts[1:], strict=True)
    return {
        name: {"pairs": pairs[number], "variants": digits[first:end].tobytes().decode()}
        for number, (name, (first, end)) in enumerate(zip(variants.names, ranges, strict=True))
    }


def _digests_by_group(train: Examples) -> Mapping[int, str]:
    pairs = collections.defaultdict(list)
    for group, *tokens in zip(train["groups"], train["inputs"], train["labels"], strict=True):
        pairs[int(group)].append(b"".join(each.tobytes() for each in tokens))
    digests = {group: hashlib.sha256(b"".join(sorted(each))) for group, each in pairs.items()}
    return collections.defaultdict(str, {g: each.hexdigest()[:16] for g, each in digests.items()})


def _digest(column: np.ndarray) -> str:
    digest = hashlib.sha256(f"{column.dtype} {column.shape}".encode())
    digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()[:16]
