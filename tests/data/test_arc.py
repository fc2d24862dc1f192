"""Data sets of ARC puzzles: what is trained on, and how it is augmented."""

import collections
import json
import logging

import jax
import numpy as np

from cgar_jax import data
from cgar_jax.data.families.arc import ArcPuzzle, decode
from tests.data.arc_puzzles import SIZE, config, puzzle, write_json, write_set


def test_the_training_split_has_demonstrations_of_the_test_set_but_none_of_its_tests(folder):
    dataset = data.load(config(folder, num_validation=1))
    # Three demonstrations of seven puzzles, and the tests of the three puzzles that are neither in
    # the test set nor held out for validation.
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


def test_a_puzzle_of_the_test_set_is_left_out_of_other_sets(folder):
    write_set(folder, "both", [puzzle(9, "eval0"), puzzle(5, "other")])
    dataset = data.load(config(folder, sets=("both", "evaluation")))
    # Demonstrations of four puzzles, and the test of "other" but not that of "eval0".
    assert len(dataset.train["inputs"]) == 4 * 3 + 1


def test_puzzles_larger_than_the_canvas_are_left_out(folder):
    large = np.zeros((7, 7), np.uint8)
    write_set(folder, "training", [puzzle(0, "fits"), ArcPuzzle("l", [(large, large)] * 3, [])])
    challenges = json.loads((folder / "arc-agi_training_challenges.json").read_text())
    challenges["l"]["test"] = [{"input": [[1]]}]
    write_json(folder, "training", challenges, {"fits": [[[1]]], "l": [[[1]]]})
    assert data.load(config(folder)).variants.names == ("fits", "eval0", "eval1", "eval2")


def test_num_puzzles_limits_each_set(folder):
    names = data.load(config(folder, num_puzzles=2)).variants.names
    assert collections.Counter(name[:4] for name in names) == {"trai": 2, "eval": 2}


def test_the_difficulty_of_a_pair_is_the_size_of_its_larger_grid(folder):
    pairs = [(np.zeros((2, 3), np.uint8), np.zeros((1, 1), np.uint8))]
    write_set(folder, "evaluation", [ArcPuzzle("e", pairs, pairs)])
    assert data.load(config(folder, sets=("evaluation",))).test["difficulty"].tolist() == [6]


SEPARATORS = ("/", "|", "|||", "-", "_", ".", ":", ",", " ", "\n", "\\", "\0", "%2F", "::")
AWKWARD_NAMES = [
    *(
        "AboveBelow/AboveBelow1",
        "AboveBelow/AboveBelow2",
        "Center/Center1",
        "Center",
        "",
        "0",
        "00",
    ),
    *(f"a{separator}b" for separator in SEPARATORS),
    *(f"a{separator}" for separator in SEPARATORS),
    *(f"{separator}a" for separator in SEPARATORS),
    *("train", "train/0", "evaluation", "evaluation/eval0", "training/a/train/0", "t1", "a|||t1"),
    *("\u00e9", "e\u0301", "\u00c9", "\u2215", "\U0001f9e9", "A", "a"),
]


def trained_pairs(dataset):
    """Returns the training pairs of each puzzle of a data set, by name."""
    pairs = collections.defaultdict(set)
    for group, *grids in zip(
        *(dataset.train[n] for n in ("groups", "inputs", "labels")), strict=True
    ):
        pairs[dataset.variants.names[group]].add(tuple(decode(grid).tobytes() for grid in grids))
    return pairs


def demonstrations(puzzles):
    return {p.name: {(a.tobytes(), b.tobytes()) for a, b in p.demonstrations} for p in puzzles}


def test_every_name_is_a_puzzle_of_its_own_whatever_characters_it_has(folder):
    puzzles = [puzzle(number, name) for number, name in enumerate(AWKWARD_NAMES)]
    write_set(folder, "evaluation", puzzles)
    dataset = data.load(config(folder, sets=("evaluation",)))
    assert trained_pairs(dataset) == demonstrations(puzzles)
    assert len(np.unique(dataset.train["puzzle_identifiers"])) == len(puzzles)


def test_the_order_of_the_files_does_not_matter(folder):
    before = data.load(config(folder, num_puzzles=2, num_validation=1))
    for name in ("training", "evaluation"):
        for part in ("challenges", "solutions"):
            path = folder / f"arc-agi_{name}_{part}.json"
            content = json.loads(path.read_text())
            path.write_text(json.dumps(dict(reversed(content.items()))))
    after = data.load(config(folder, num_puzzles=2, num_validation=1))
    assert after.variants.names == before.variants.names
    for split in ("train", "validation", "test"):
        columns = getattr(before, split)
        for name, column in getattr(after, split).items():
            np.testing.assert_array_equal(column, columns[name])


def test_the_version_of_the_last_set_is_kept_and_the_other_one_is_reported(folder, caplog):
    old, new, same = puzzle(20, "both"), puzzle(21, "both"), puzzle(22, "same")
    write_set(folder, "first", [old, same, puzzle(23, "first")])
    reordered = same._replace(demonstrations=same.demonstrations[::-1])
    write_set(folder, "second", [new, reordered, puzzle(24, "second")])
    with caplog.at_level(logging.WARNING):
        dataset = data.load(config(folder, sets=("first", "second", "evaluation")))
    assert trained_pairs(dataset)["both"] >= demonstrations([new])["both"]
    assert not trained_pairs(dataset)["both"] & demonstrations([old])["both"]
    assert len(trained_pairs(dataset)["same"]) == 4
    assert "2 puzzles of 'first' are left out because they are in 'second' too" in caplog.text
    assert "1 of them with other pairs: 'both'" in caplog.text


def test_no_puzzle_has_two_answers_to_one_question(folder):
    write_set(folder, "training", [puzzle(20, "both"), puzzle(0, "eval0")])
    second = puzzle(20, "both")
    changed = [(a, np.full_like(b, 3)) for a, b in second.demonstrations]
    write_set(folder, "second", [second._replace(demonstrations=changed)])
    train = data.load(config(folder, sets=("second", "training", "evaluation"))).train
    asked = collections.defaultdict(set)
    columns = zip(*(train[n] for n in ("puzzle_identifiers", "inputs", "labels")), strict=True)
    for identifier, question, answer in columns:
        asked[identifier, question.tobytes()].add(answer.tobytes())
    assert {len(answers) for answers in asked.values()} == {1}


def test_loading_twice_gives_the_same_data_set(folder):
    first, second = (data.load(config(folder)) for _ in range(2))
    np.testing.assert_array_equal(first.variants.colors, second.variants.colors)
    np.testing.assert_array_equal(
        first.train["puzzle_identifiers"], second.train["puzzle_identifiers"]
    )


def test_the_number_of_identifiers_is_divisible_by_many_devices(folder):
    assert data.load(config(folder)).num_puzzle_identifiers % 1024 == 0


def augmented_batches(folder, num_batches=40):
    """Returns the data set, and its whole training split augmented several times."""
    dataset = data.load(config(folder))
    augment = jax.jit(lambda augment, key, batch: augment(key, batch))
    batches = [
        jax.device_get(augment(dataset.augment, key, dataset.train))
        for key in jax.random.split(jax.random.key(0), num_batches)
    ]
    return dataset, batches


def test_the_identifiers_of_augmented_examples_are_those_of_their_variants(folder):
    dataset, batches = augmented_batches(folder, 1)
    for row, identifier in enumerate(batches[0]["puzzle_identifiers"]):
        canvas = batches[0]["inputs"][row].reshape(SIZE, SIZE)
        rows, columns = np.nonzero(canvas >= 2)
        grid = canvas[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] - 2
        original = dataset.variants.undo(identifier, grid.astype(np.uint8))
        np.testing.assert_array_equal(original, decode(dataset.train["inputs"][row]))


def test_all_pairs_of_a_puzzle_in_one_batch_have_the_same_variant(folder):
    dataset, batches = augmented_batches(folder, 3)
    for batch in batches:
        found = set(zip(dataset.train["groups"], batch["puzzle_identifiers"], strict=True))
        assert len(found) == len(dataset.variants.names)


def test_augmentation_draws_every_variant(folder):
    dataset, batches = augmented_batches(folder, 200)
    drawn = {identifier for batch in batches for identifier in batch["puzzle_identifiers"].tolist()}
    assert drawn == set(range(len(dataset.variants.transforms)))


def test_a_quarter_of_the_pairs_stays_in_the_corner(folder):
    _, batches = augmented_batches(folder)
    in_corner = [batch["inputs"][:, 0] >= 2 for batch in batches]
    # Some of the other pairs land there by chance: the larger, the more often.
    assert 0.25 < np.mean(in_corner) < 0.6


def test_without_augmentation_examples_are_unchanged(folder):
    dataset = data.load(config(folder, augment=False))
    same = dataset.augment(jax.random.key(0), dataset.train)
    np.testing.assert_array_equal(same["inputs"], dataset.train["inputs"])
