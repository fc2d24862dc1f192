"""The `Dataset` checks its columns; the schema pads batches and adds the training columns."""

import numpy as np
import pytest

from cgar_jax.data import IGNORE_LABEL, Dataset, schema


def examples(num=3):
    return {
        "inputs": np.ones((num, 4), np.int8),
        "labels": np.full((num, 4), 2, np.int8),
        "puzzle_identifiers": np.zeros(num, np.int32),
        "difficulty": np.arange(num, dtype=np.float32),
    }


def dataset(train):
    return Dataset(train, examples(0), examples(1), 3, 4, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": np.empty((0, 4), np.int8)}, "the training split is empty"),
        ({"labels": None}, "'labels' of the train split is missing; expected shape .3, 4."),
        (
            {"difficulty": np.zeros(2)},
            r"'difficulty' of the train split is .2,.; expected shape .3,.",
        ),
        ({"groups": np.zeros(2)}, r"'groups' of the train split is .2,.; expected shape .3,."),
        ({"labels": np.full((3, 4), 3)}, "'labels' .* range from 3 to 3; expected 0 to 2"),
        ({"inputs": np.full((3, 4), -100)}, "'inputs' .* range from -100"),
        ({"puzzle_identifiers": np.ones(3, int)}, "'puzzle_identifiers' .* expected 0 to 0"),
    ],
)
def test_columns_that_do_not_fit_together_are_an_error(change, message):
    train = {name: values for name, values in (examples() | change).items() if values is not None}
    with pytest.raises(ValueError, match=message):
        dataset(train)


def test_labels_may_be_ignored():
    dataset(examples() | {"labels": np.full((3, 4), IGNORE_LABEL)})


def test_padding_examples_have_no_label():
    batch = schema.pad_batch(examples(2), schema.MODEL_COLUMNS, 3)
    assert set(batch) == {"inputs", "labels", "puzzle_identifiers"}
    assert {values.dtype for values in batch.values()} == {np.dtype(np.int32)}
    assert batch["inputs"].tolist() == [[1] * 4, [1] * 4, [0] * 4]
    assert batch["labels"].tolist() == [[2] * 4, [2] * 4, [IGNORE_LABEL] * 4]


def test_domains_are_equal_groups_by_difficulty():
    split = examples(6) | {"difficulty": np.array([5, 0, 4, 1, 3, 2], np.float32)}
    columns = schema.training_columns(split, num_domains=3)
    assert columns["domain_ids"].tolist() == [2, 0, 2, 0, 1, 1]


def test_groups_are_added_only_where_they_are_missing():
    assert schema.training_columns(examples(3), 1)["groups"].tolist() == [0, 1, 2]
    split = examples(3) | {"groups": np.array([7, 7, 8], np.int32)}
    assert schema.training_columns(split, 1)["groups"].tolist() == [7, 7, 8]


def test_training_columns_have_the_dtypes_of_the_schema():
    columns = schema.training_columns(examples(), num_domains=2)
    assert set(columns) == {column.name for column in schema.TRAINING_COLUMNS}
    for column in schema.TRAINING_COLUMNS:
        assert columns[column.name].dtype == column.stored_dtype
        assert columns[column.name].shape == (3, *column.shape(4))
