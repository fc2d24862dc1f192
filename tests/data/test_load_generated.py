"""Loading generated puzzles: sizes, differences between puzzles, settings, augmentation."""

import dataclasses

import jax
import numpy as np
import pytest

from cgar_jax import data
from cgar_jax.config import data_config
from tests.data.small_sudokus import SPLITS, classes, config

pytestmark = pytest.mark.usefixtures("cache")


def test_splits_have_the_requested_sizes():
    dataset = data.load(config())
    shapes = [getattr(dataset, split)["inputs"].shape for split in SPLITS]
    assert shapes == [(20, 36), (5, 36), (10, 36)]


def test_a_data_set_has_the_sizes_that_a_model_needs():
    dataset = data.load(config())
    sizes = dataset.vocab_size, dataset.sequence_length, dataset.num_puzzle_identifiers
    assert sizes == (8, 36, 1)


def test_6x6_puzzles_are_all_essentially_different():
    dataset = data.load(config(num_train=60))
    keys = [key for split in SPLITS for key in classes(getattr(dataset, split))]
    assert len(set(keys)) == len(keys) == 75


def test_9x9_solutions_are_all_essentially_different():
    dataset = data.load(config(size=9, num_clues=40))
    keys = [key for split in SPLITS for key in classes(getattr(dataset, split))]
    assert len(set(keys)) == len(keys) == 35


def test_a_larger_training_set_keeps_the_held_out_puzzles():
    few, many = data.load(config()), data.load(config(num_train=30))
    np.testing.assert_array_equal(few.test["inputs"], many.test["inputs"])
    np.testing.assert_array_equal(few.train["inputs"], many.train["inputs"][:20])


def test_another_seed_gives_other_puzzles():
    first, second = (classes(data.load(config(seed=seed)).train) for seed in (0, 1))
    assert not set(first) & set(second)


def test_asking_for_more_puzzles_than_exist_is_an_error():
    with pytest.raises(
        ValueError, match=r"asked for 315 essentially different 4x4 .* only 2 different"
    ):
        data.load(config(size=4, num_clues=16, num_train=300))


def test_all_puzzles_that_exist_can_be_asked_for():
    # There are two full 4x4 grids, and the second one may take a whole round of 200 puzzles.
    dataset = data.load(config(size=4, num_clues=16, num_train=1, num_validation=1, num_test=0))
    assert len(set(classes(dataset.train) + classes(dataset.validation))) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_trian": 3}, "unknown key of the data config 'num_trian'; did you mean 'num_train'"),
        ({"name": "sudokus"}, "unknown data.name 'sudokus'; did you mean 'sudoku'"),
        ({"size": 5}, "size 5; use one of"),
        ({"num_clues": 5}, r"num_clues=5 for 6x6 Sudoku; expected .* within 8..36"),
        ({"num_train": 0}, "num_train is 0, but it must be a positive integer"),
        ({"num_validation": -1}, "num_validation is -1, but it must be an integer of at least 0"),
        ({"seed": -1}, "seed is -1, but it must be an integer of at least 0"),
    ],
)
def test_settings_out_of_range_are_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        data.load(config(**changes))


def test_without_augmentation_puzzles_are_unchanged():
    dataset = data.load(config(augment=False))
    batch = {name: values[:4] for name, values in dataset.train.items()}
    augmented = dataset.augment(jax.random.key(0), batch)
    np.testing.assert_array_equal(augmented["inputs"], batch["inputs"])


def test_augmentation_changes_the_puzzles_but_not_their_classes():
    dataset = data.load(config(augment=True))
    batch = {name: values[:4] for name, values in dataset.train.items()}
    augmented = dataset.augment(jax.random.key(0), batch)
    assert (np.asarray(augmented["inputs"]) != batch["inputs"]).any(axis=1).all()
    assert classes({k: np.asarray(v) for k, v in augmented.items()}) == classes(batch)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "sudoku", "size": 4, "num_clues": 6, "num_train": 5, "num_validation": 2},
        {"name": "maze", "size": 7, "num_train": 5, "num_validation": 2},
    ],
    ids=lambda settings: settings["name"],
)
def test_the_expected_size_of_a_data_set_is_its_size(settings, tmp_path):
    dataset = data.load(settings | {"cache_dir": str(tmp_path)})
    assert data.expected(settings) == (
        dataset.vocab_size,
        dataset.sequence_length,
        dataset.num_puzzle_identifiers,
        len(dataset.train["inputs"]),
    )


@pytest.mark.parametrize("name", data.FAMILIES)
def test_a_data_config_has_the_defaults_of_the_source(name):
    family = data.FAMILIES[name]
    assert family.from_config(data_config(name)) == family()
    for option in dataclasses.fields(data.LoadOptions):
        assert data_config(name)[option.name] == option.default
