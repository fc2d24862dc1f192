"""The columns of an example: their names, shapes, dtypes and padding, defined in this one place.

Data sets, the training step and the evaluator take their columns from here, so a new column is one
`Column` and its membership in the tuples below.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from cgar_jax._core.labels import IGNORE_LABEL

Examples = dict[str, np.ndarray]
"""Columns by name; the first axis of every array counts examples."""


class Column(NamedTuple):
    """One column of an example.

    Attributes:
      name: key of the column in `Examples`.
      per_cell: whether an example has one value per cell rather than a single value.
      dtype: dtype inside a batch, where the model computes.
      stored_dtype: dtype of a whole data set in memory; tokens are stored in one byte.
      padding: value of a row that only fills up a batch.
    """

    name: str
    per_cell: bool
    dtype: type[np.generic]
    stored_dtype: type[np.generic]
    padding: int

    def shape(self, sequence_length: int) -> tuple[int, ...]:
        """Returns the shape of one example: `(sequence_length,)` or `()`."""
        return (sequence_length,) if self.per_cell else ()


INPUTS = Column("inputs", True, np.int32, np.int8, 0)
LABELS = Column("labels", True, np.int32, np.int8, IGNORE_LABEL)
PUZZLE_IDENTIFIERS = Column("puzzle_identifiers", False, np.int32, np.int32, 0)
DIFFICULTY = Column("difficulty", False, np.float32, np.float32, 0)
GROUPS = Column("groups", False, np.int32, np.int32, 0)
DOMAIN_IDS = Column("domain_ids", False, np.int32, np.int32, 0)

MODEL_COLUMNS = (INPUTS, LABELS, PUZZLE_IDENTIFIERS)
"""The columns that evaluation needs: the model's inputs, and the labels to compare with."""

DATASET_COLUMNS = (*MODEL_COLUMNS, DIFFICULTY)
"""The columns of every split of a data set; a split may have `GROUPS` as well."""

CARRIED_COLUMNS = (*DATASET_COLUMNS, DOMAIN_IDS)
"""The columns that training slots carry from one supervision step to the next."""

TRAINING_COLUMNS = (*CARRIED_COLUMNS, GROUPS)
"""The columns of a training set on the devices, where sampling draws by `GROUPS`."""


def training_columns(examples: Mapping[str, np.ndarray], num_domains: int) -> Examples:
    """Adds the columns that only training needs: `groups`, if missing, and `domain_ids`.

    The domains are `num_domains` groups of equal size by difficulty; domain 0 is the easiest.

    Args:
      examples: columns of a split, see `DATASET_COLUMNS`.
      num_domains: number of domains.
    """
    num = len(examples["difficulty"])
    ranks = np.argsort(np.argsort(examples["difficulty"], kind="stable"), kind="stable")
    domain_ids = (ranks * num_domains // max(num, 1)).astype(DOMAIN_IDS.dtype)
    groups = np.arange(num, dtype=GROUPS.dtype)
    return {GROUPS.name: groups, DOMAIN_IDS.name: domain_ids, **examples}


def pad_batch(batch: Mapping[str, np.ndarray], columns: Iterable[Column], size: int) -> Examples:
    """Returns `columns` of a batch in their batch dtype, padded to `size` examples.

    The padding examples have no label, so they count in no loss and in no score.

    Args:
      batch: arrays `[num, ...]` with at least `columns`.
      columns: columns to return.
      size: number of examples to return, at least `num`.
    """

    def pad(column: Column) -> Any:
        values = batch[column.name].astype(column.dtype)
        widths = ((0, size - len(values)),) + ((0, 0),) * (values.ndim - 1)
        return np.pad(values, widths, constant_values=column.padding)

    return {column.name: pad(column) for column in columns}


def select(examples: Mapping[str, np.ndarray], rows: Any) -> Examples:
    """Returns the given rows (indices, a mask or a slice) of every column."""
    return {name: values[rows] for name, values in examples.items()}
