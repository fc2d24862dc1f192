"""Loads data for a trained model, whose puzzle embeddings are found by the names of the puzzles.

The `Fingerprint` of the model's training data names the owners of the embeddings. The data at hand
may have other puzzles, or the same ones in another order.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from cgar_jax.data import load, schema
from cgar_jax.data.augmentation import augmentation_for
from cgar_jax.data.dataset import Dataset, identity_augmentation
from cgar_jax.data.fingerprint import Fingerprint, PuzzleRows
from cgar_jax.data.records import named
from cgar_jax.data.symmetries import Variants

_DIGITS = 11  # per row


def load_as_trained(config: Mapping[str, Any], trained_on: Fingerprint | None) -> Dataset:
    """Loads the data of a trained model, with the puzzle identifiers of its training.

    Logs a warning if the training split is no longer what the model was trained on, or if test
    puzzles are left out.

    Args:
      config: data config, as for `cgar_jax.data.load`.
      trained_on: fingerprint of the model's training data, or None if unknown.

    Raises:
      ValueError: if puzzles have embeddings, but their owners are unknown, or the model has none of
        the test puzzles; see also `cgar_jax.data.load`.
      OSError: if the data cannot be read.
    """
    dataset = load(config)
    if trained_on is None:
        if dataset.variants is not None:
            raise ValueError(
                "the model does not record which puzzles its embeddings belong to "
                "(trained_on.json is missing), so that no puzzle can be answered"
            )
        return dataset
    if changes := trained_on.changes(Fingerprint.of(dataset)):
        listed = "\n  ".join(changes)
        logging.warning("the training data have changed since the model was trained:\n  %s", listed)
    if dataset.variants is not None:
        dataset = keyed_like(dataset, trained_on.puzzles)
    if dataset.left_out:
        logging.warning(
            "test puzzles left out of the scores, because the model was not trained on their "
            "demonstrations and has no embedding for them: %s",
            named(dataset.left_out),
        )
    return dataset


def variants_of(rows: PuzzleRows) -> Variants:
    """Returns the variants of the puzzles that own the rows of a table."""
    tables = [_digits(puzzle["variants"]) for puzzle in rows.values()]
    firsts = np.cumsum([0, *map(len, tables)]).astype(np.int32)
    digits = np.concatenate(tables)
    return Variants(tuple(rows), firsts, digits[:, 0], digits[:, 1:])


def previous_rows(old: PuzzleRows, new: PuzzleRows) -> np.ndarray:
    """Returns the old row of each new row, int32 `[num]`; -1 if no puzzle and variant match."""
    known = {key: row for row, key in enumerate(_keys(old))}
    return np.array([known.get(key, -1) for key in _keys(new)], np.int32)


def keyed_like(dataset: Dataset, rows: PuzzleRows) -> Dataset:
    """Replaces the puzzle identifiers of a data set by those of a trained model.

    Puzzles that the model does not have are left out, and their test puzzles are listed in
    `Dataset.left_out`. Each puzzle is asked in the variants that the model was trained on.

    Args:
      dataset: data set of puzzles with embeddings.
      rows: puzzles of the model, from its `Fingerprint`.

    Raises:
      ValueError: if the model has none of the test puzzles.
    """
    variants = variants_of(rows)
    numbers = {name: number for number, name in enumerate(variants.names)}
    group_of = np.array([numbers.get(name, -1) for name in dataset.variants.names])
    splits = {}
    for split in ("train", "validation", "test"):
        examples = getattr(dataset, split)
        groups = group_of[examples["groups"]].astype(schema.GROUPS.stored_dtype)
        known = schema.select(examples | {"groups": groups}, groups >= 0)
        splits[split] = known | {"puzzle_identifiers": variants.firsts[known["groups"]]}
    tested = {dataset.variants.names[group] for group in dataset.test["groups"]}
    left_out = sorted(tested - set(rows))
    if not len(splits["test"]["inputs"]) or not len(splits["train"]["inputs"]):
        raise ValueError(
            f"the model has no embedding for any of the test puzzles ({named(left_out)}); it can "
            "only answer puzzles on whose demonstrations it was trained"
        )
    fixed = dataset.augment is identity_augmentation
    return dataclasses.replace(
        dataset,
        **splits,
        num_puzzle_identifiers=int(variants.firsts[-1]),
        augment=dataset.augment if fixed else augmentation_for(variants),
        variants=variants,
        left_out=tuple(left_out),
    )


def _digits(text: str) -> np.ndarray:
    return (np.frombuffer(text.encode(), np.uint8) - ord("0")).reshape(-1, _DIGITS)


def _keys(rows: PuzzleRows) -> list[tuple[str, str]]:
    return [
        (name, puzzle["variants"][start : start + _DIGITS])
        for name, puzzle in rows.items()
        for start in range(0, len(puzzle["variants"]), _DIGITS)
    ]
