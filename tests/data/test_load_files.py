"""Loading puzzles from files: what is chosen, and what is an error."""

import gzip

import numpy as np
import pytest

from cgar_jax import data
from cgar_jax.data.families.sudoku import Grid, generate
from tests.data.small_sudokus import (
    SPLITS,
    classes,
    config,
    different_puzzles,
    disguised,
    equal,
    write_puzzles,
)

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def folder(tmp_path):
    """Thirty puzzles to train on, of which the first ten are the ten test puzzles in disguise."""
    puzzles = different_puzzles()
    folder = tmp_path / "puzzles"
    folder.mkdir()
    write_puzzles(folder / "test.csv", puzzles[:10])
    write_puzzles(folder / "train.csv", [*map(disguised, puzzles[:10]), *puzzles[10:]])
    return folder


def test_training_puzzles_that_are_equivalent_to_test_puzzles_are_not_used(folder):
    dataset = data.load(config(source=str(folder), num_train=-1, num_test=0))
    assert [len(getattr(dataset, split)["inputs"]) for split in SPLITS] == [15, 5, 10]


def test_files_may_be_compressed_and_have_the_columns_of_kaggle(folder):
    expected = data.load(config(source=str(folder), num_train=-1, num_test=0))
    for split in ("train", "test"):
        file = folder / f"{split}.csv"
        lines = file.read_text().replace(
            "source,question,answer,rating", "id,puzzle,solution,difficulty"
        )
        (folder / f"{split}.csv.gz").write_bytes(gzip.compress(lines.encode()))
        file.unlink()
    found = data.load(config(source=str(folder), num_train=-1, num_test=0))
    np.testing.assert_array_equal(found.train["inputs"], expected.train["inputs"])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_two_splits_share_a_class(folder, seed):
    dataset = data.load(config(source=str(folder), num_train=10, seed=seed))
    train, validation, test = (set(classes(getattr(dataset, split))) for split in SPLITS)
    assert len(train | validation | test) == len(train) + len(validation) + len(test)


def test_equivalent_puzzles_in_the_training_file_are_not_divided_over_two_splits(folder):
    lines = (folder / "train.csv").read_text().splitlines(keepends=True)
    (folder / "train.csv").write_text("".join(lines + lines[1:]))
    dataset = data.load(config(source=str(folder), num_train=-1, num_test=0))
    assert not set(classes(dataset.train)) & set(classes(dataset.validation))


def test_the_seed_chooses_the_puzzles_of_a_file(folder):
    first, second = (
        data.load(config(source=str(folder), num_train=5, num_test=5, seed=seed)) for seed in (0, 1)
    )
    assert not np.array_equal(first.test["inputs"], second.test["inputs"])
    assert not np.array_equal(first.train["inputs"], second.train["inputs"])


def test_min_difficulty_holds_in_all_splits(folder):
    dataset = data.load(
        config(source=str(folder), num_train=-1, num_validation=3, num_test=0, min_difficulty=6.0)
    )
    assert [getattr(dataset, split)["difficulty"].min() >= 6 for split in SPLITS] == [True] * 3
    assert sorted(dataset.test["difficulty"].tolist()) == [6, 7, 8, 9]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_train": 16}, "num_train=16, but .* has only 15 puzzles"),
        ({"num_test": 11}, "num_test=11, but .* has only 10 puzzles"),
        ({"num_validation": 21}, "num_validation=21, but .* has only 20 puzzles"),
        ({"num_train": -1, "num_validation": 20}, "num_train=1, but .* has only 0 puzzles"),
        ({"min_difficulty": 10.0}, r"test\.csv has a rating of at least .*=10; the highest is 9"),
    ],
)
def test_asking_for_more_than_the_files_hold_is_an_error(folder, changes, message):
    with pytest.raises(ValueError, match=message):
        data.load(config(source=str(folder), **changes))


def test_files_with_puzzles_of_different_sizes_are_an_error(folder):
    write_puzzles(folder / "test.csv", generate(Grid.of_size(6), 2, seed=0, num_clues=20))
    with pytest.raises(ValueError, match=r"16 cells in train\.csv and of 36 in test\.csv"):
        data.load(config(source=str(folder)))


def test_a_folder_without_the_files_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*train\.csv; expected 'generated'"):
        data.load(config(source=str(tmp_path)))


def test_a_failed_download_is_an_error_that_suggests_a_local_folder(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(ConnectionError, match=r"train\.csv of .* 'some/thing' .* local folder"):
        data.load(config(source="hub:some/thing"))


def test_files_of_the_hub_are_read_like_those_of_a_folder(folder, monkeypatch):
    def download(repository, file, repo_type):
        assert (repository, repo_type) == ("some/thing", "dataset")
        return str(folder / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    dataset = data.load(config(source="hub:some/thing", num_train=5))
    assert equal(dataset, data.load(config(source=str(folder), num_train=5)))
