"""The fingerprint of a training set reveals every change, and owners keep their embeddings."""

import dataclasses

import numpy as np
import pytest

from cgar_jax import data
from cgar_jax.data import Fingerprint
from cgar_jax.data.trained_rows import keyed_like, load_as_trained, previous_rows, variants_of
from tests.data import small_sudokus
from tests.data.arc_puzzles import config, puzzle, write_set


def changes(before, now):
    return Fingerprint.of(before).changes(Fingerprint.of(now))


# Puzzles without embeddings


@pytest.fixture
def files(tmp_path, cache):
    """A folder with CSV files of Sudokus, and the data config that trains on all of `train.csv`."""
    puzzles = small_sudokus.different_puzzles()
    small_sudokus.write_puzzles(tmp_path / "test.csv", puzzles[:10])
    small_sudokus.write_puzzles(tmp_path / "train.csv", puzzles[10:])
    return tmp_path, small_sudokus.config(source=str(tmp_path), num_train=-1, num_validation=0)


def test_a_training_set_that_is_loaded_again_has_not_changed(files):
    _, settings = files
    assert changes(data.load(settings), data.load(settings)) == []


def test_one_edited_rating_is_a_change(files):
    folder, settings = files
    before, path = data.load(settings), folder / "train.csv"
    path.write_text(path.read_text().removesuffix("\n") + "5\n")
    assert changes(before, data.load(settings)) == [
        "the training examples differ in their difficulty"
    ]


def test_one_puzzle_less_is_a_change_with_both_counts(files):
    folder, settings = files
    before, path = data.load(settings), folder / "train.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    num = len(before.train["inputs"])
    assert changes(before, data.load(settings)) == [
        f"{num} training examples before, {num - 1} now"
    ]


@pytest.mark.parametrize("column", ["inputs", "labels", "difficulty"])
def test_one_changed_number_is_a_change_of_its_column(column, cache):
    before = data.load(small_sudokus.config())
    values = before.train[column].copy()
    values.flat[-1] = 1 + (values.flat[-1] == 1)
    now = dataclasses.replace(before, train=before.train | {column: values})
    assert changes(before, now) == [f"the training examples differ in their {column}"]


def test_other_validation_and_test_puzzles_are_no_change_of_the_training_set(cache):
    before = data.load(small_sudokus.config())
    assert (
        changes(
            before,
            dataclasses.replace(
                before,
                validation=before.test,
                test={name: column[:3] for name, column in before.test.items()},
            ),
        )
        == []
    )


# Puzzles with embeddings


@pytest.fixture
def trained(folder):
    """A data set that a model was trained on, as it was then."""
    return data.load(config(folder, num_validation=1))


def load(folder, **settings):
    return data.load(config(folder, num_validation=1, **settings))


def train_puzzles(numbers=range(4)):
    return [puzzle(n, f"train{n}") for n in numbers]


def test_puzzles_that_are_new_gone_or_different_are_named(folder, trained):
    others = [puzzle(50, "a/new"), puzzle(51, "train1"), *train_puzzles([0, 3])]
    write_set(folder, "training", others)
    lines = changes(trained, load(folder))
    assert "1 puzzle new: 'a/new'" in lines
    assert "1 puzzle gone: 'train2'" in lines
    assert any(line.startswith("1 puzzle with other training pairs: 'train1'") for line in lines)


def test_another_number_of_variants_is_a_change(folder, trained):
    assert (
        "7 puzzles with other variants: 'train0', "
        in changes(trained, load(folder, num_variants=3))[0]
    )


def test_pairs_in_another_order_change_the_examples_but_no_puzzle(folder, trained):
    write_set(
        folder,
        "training",
        [p._replace(demonstrations=p.demonstrations[::-1]) for p in train_puzzles()],
    )
    (line,) = changes(trained, load(folder))
    assert line.startswith("the training examples differ in their")


def test_a_fingerprint_is_read_as_it_was_written(folder):
    write_set(folder, "training", [puzzle(n, name) for n, name in enumerate(("a/b", "", "é\n"))])
    found = Fingerprint.of(data.load(config(folder)))
    again = Fingerprint.from_json(found.to_json())
    assert again == found
    assert list(again.puzzles) == list(found.puzzles)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"examples": 3, "puzzles": {}}'])
def test_a_text_that_is_no_fingerprint_is_an_error(text):
    with pytest.raises(ValueError, match="not the record of a training set"):
        Fingerprint.from_json(text)


def test_the_variants_of_a_fingerprint_are_those_of_the_data_set(trained):
    found = variants_of(Fingerprint.of(trained).puzzles)
    for ours, theirs in zip(found, trained.variants, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def rows_of_puzzle(dataset):
    """Returns the puzzle identifiers of each split by the name of the puzzle."""
    return {
        split: {
            dataset.variants.names[group]: identifier
            for group, identifier in zip(
                getattr(dataset, split)["groups"],
                getattr(dataset, split)["puzzle_identifiers"].tolist(),
                strict=True,
            )
        }
        for split in ("train", "validation", "test")
    }


def test_puzzles_keep_their_rows_when_others_are_added_in_front(folder, trained):
    write_set(folder, "training", [puzzle(50, "a"), *train_puzzles()])
    write_set(folder, "evaluation", [puzzle(51, "b"), *(puzzle(9 + n, f"eval{n}") for n in (0, 2))])
    now = keyed_like(data.load(config(folder, num_validation=0)), Fingerprint.of(trained).puzzles)
    before = rows_of_puzzle(trained)
    kept = {name: row for name, row in before["train"].items() if name != "eval1"}
    assert rows_of_puzzle(now)["train"] == kept
    assert rows_of_puzzle(now)["test"] == {n: before["test"][n] for n in ("eval0", "eval2")}
    assert now.left_out == ("b",)


def test_a_puzzle_with_another_test_is_asked_in_the_variants_of_its_training(folder, trained):
    # Other grids have other symmetries, so that other variants would be drawn.
    black = np.zeros((2, 2), np.uint8)
    write_set(folder, "evaluation", [puzzle(9, "eval0")._replace(tests=[(black, black)])])
    now = keyed_like(load(folder), Fingerprint.of(trained).puzzles)
    np.testing.assert_array_equal(now.variants.transforms, trained.variants.transforms)
    assert not now.left_out


def test_a_data_set_without_any_known_test_puzzle_is_an_error(folder, trained):
    write_set(folder, "evaluation", [puzzle(50, "x/y")])
    with pytest.raises(ValueError, match="no embedding for any of the test puzzles \\('x/y'\\)"):
        keyed_like(load(folder), Fingerprint.of(trained).puzzles)


def test_a_model_without_a_record_of_its_puzzles_is_an_error(folder):
    with pytest.raises(ValueError, match="does not record which puzzles its embeddings belong to"):
        load_as_trained(config(folder), None)


def test_previous_rows_find_the_same_variant_of_the_same_puzzle():
    first, second, third = ("0" * 11, "1" * 11, "2" * 11)
    old = {"a": {"variants": first + second}, "b": {"variants": first}}
    new = {"c": {"variants": first}, "b": {"variants": first + third}, "a": {"variants": second}}
    assert previous_rows(old, new).tolist() == [-1, 2, -1, 1]
