"""The data sets of ARC puzzles: what is trained on, and how it is augmented."""

import collections
import json

import jax
import numpy as np

from cgar_jax import data
from cgar_jax.data.families.arc import ArcPuzzle, decode
from tests.data.arc_puzzles import SIZE, config, puzzle, write_json, write_set


def test_demonstrations_of_the_test_set_are_trained_on_and_its_tests_are_not(folder):
    dataset = data.load(config(folder, num_validation=1))
    # 3 demonstrations of 7 puzzles, and the tests of the 3 that are neither asked nor held out.
    sizes = [len(split["inputs"]) for split in (dataset.train, dataset.validation, dataset.test)]
    assert sizes == [24, 1, 3]


def test_no_pair_is_in_two_splits(folder):
    dataset = data.load(config(folder, num_validation=2))
    splits = dataset.train, dataset.validation, dataset.test
    pairs = [
        {a.tobytes() + b.tobytes() for a, b in zip(s["inputs"], s["labels"], strict=True)}
        for s in splits
    ]
    assert len(set.union(*pairs)) == sum(map(len, pairs))


def test_a_puzzle_of_the_test_set_is_left_out_of_another_set(folder):
    write_set(folder, "both", [puzzle(9, "eval0"), puzzle(5, "other")])
    dataset = data.load(config(folder, sets=("both", "evaluation")))
    # Demonstrations of four puzzles and the test of one: not that of eval0.
    assert len(dataset.train["inputs"]) == 4 * 3 + 1


def test_puzzles_too_large_for_the_canvas_are_left_out(folder):
    large = np.zeros((7, 7), np.uint8)
    write_set(folder, "training", [puzzle(0, "fits"), ArcPuzzle("l", [(large, large)] * 3, [])])
    challenges = json.loads((folder / "arc-agi_training_challenges.json").read_text())
    challenges["l"]["test"] = [{"input": [[1]]}]
    write_json(folder, "training", challenges, {"fits": [[[1]]], "l": [[[1]]]})
    assert data.load(config(folder)).variants.names == ("fits", "eval0", "eval1", "eval2")


def test_num_puzzles_bounds_each_set(folder):
    names = data.load(config(folder, num_puzzles=2)).variants.names
    assert collections.Counter(name[:4] for name in names) == {"trai": 2, "eval": 2}


def test_the_difficulty_of_a_pair_is_the_size_of_its_larger_grid(folder):
    pairs = [(np.zeros((2, 3), np.uint8), np.zeros((1, 1), np.uint8))]
    write_set(folder, "evaluation", [ArcPuzzle("e", pairs, pairs)])
    assert data.load(config(folder, sets=("evaluation",))).test["difficulty"].tolist() == [6]


def test_a_data_set_is_the_same_when_it_is_loaded_again(folder):
    first, second = (data.load(config(folder)) for _ in range(2))
    np.testing.assert_array_equal(first.variants.colors, second.variants.colors)
    np.testing.assert_array_equal(
        first.train["puzzle_identifiers"], second.train["puzzle_identifiers"]
    )


def test_the_number_of_identifiers_divides_over_many_devices(folder):
    assert data.load(config(folder)).num_puzzle_identifiers % 1024 == 0


def drawn(folder, num_batches=40):
    """The training set in batches that hold it whole, and the identifiers of each."""
    dataset = data.load(config(folder))
    augment = jax.jit(lambda augment, key, batch: augment(key, batch))
    batches = [
        jax.device_get(augment(dataset.augment, key, dataset.train))
        for key in jax.random.split(jax.random.key(0), num_batches)
    ]
    return dataset, batches


def test_augmented_examples_are_their_variants(folder):
    dataset, batches = drawn(folder, 1)
    for row, identifier in enumerate(batches[0]["puzzle_identifiers"]):
        canvas = batches[0]["inputs"][row].reshape(SIZE, SIZE)
        rows, columns = np.nonzero(canvas >= 2)
        grid = canvas[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] - 2
        original = dataset.variants.undo(identifier, grid.astype(np.uint8))
        np.testing.assert_array_equal(original, decode(dataset.train["inputs"][row]))


def test_pairs_of_a_puzzle_in_one_batch_are_of_the_same_variant(folder):
    dataset, batches = drawn(folder, 3)
    for batch in batches:
        found = set(zip(dataset.train["groups"], batch["puzzle_identifiers"], strict=True))
        assert len(found) == len(dataset.variants.names)


def test_every_variant_is_drawn(folder):
    dataset, batches = drawn(folder, 200)
    met = {identifier for batch in batches for identifier in batch["puzzle_identifiers"].tolist()}
    assert met == set(range(len(dataset.variants.transforms)))


def test_a_quarter_of_the_pairs_stays_in_the_corner(folder):
    _, batches = drawn(folder)
    corners = [batch["inputs"][:, 0] >= 2 for batch in batches]
    # Beside those kept, a pair lands there by chance: more often the larger it is.
    assert 0.25 < np.mean(corners) < 0.6


def test_without_augmentation_examples_stay_as_they_are(folder):
    dataset = data.load(config(folder, augment=False))
    same = dataset.augment(jax.random.key(0), dataset.train)
    np.testing.assert_array_equal(same["inputs"], dataset.train["inputs"])
