import dataclasses
import functools
import subprocess
import sys

import jax
import ml_collections
import numpy as np
import pytest

from cgar_jax import data
from cgar_jax.data import splits as splits_module
from cgar_jax.data import write_csv
from cgar_jax.data.families.sudoku import Grid, decode, generate, split_class

SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CGAR_DATA_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def config(**changes):
    return ml_collections.ConfigDict(
        {
            "name": "sudoku",
            "source": "generated",
            "size": 6,
            "num_clues": 20,
            "num_train": 20,
            "num_validation": 5,
            "num_test": 10,
            "min_difficulty": 0.0,
            "seed": 0,
            "cache_dir": "",
            "augment": False,
            **changes,
        }
    )


def write_puzzles(path, puzzles):
    write_csv(
        path,
        {
            "inputs": np.array([p.question for p in puzzles]),
            "labels": np.array([p.answer for p in puzzles]),
            "difficulty": np.arange(len(puzzles), dtype=np.float32),
        },
        decode,
    )


def turned(puzzle):
    """An equivalent 4x4 puzzle: digits renamed, and mirrored."""
    names = np.array([0, 1, 3, 4, 5, 2], np.uint8)
    question, answer = (names[part][::-1] for part in puzzle[:2])
    return puzzle._replace(question=question, answer=answer)


@functools.cache
def different_puzzles():
    puzzles = {}
    for puzzle in generate(Grid.of_size(4), 200, seed=0, num_clues=7):
        puzzles.setdefault(split_class(puzzle[:2]), puzzle)
    return list(puzzles.values())[:30]


@pytest.fixture
def folder(tmp_path):
    """30 puzzles to train on, of which the first 10 are disguises of the 10 test puzzles."""
    puzzles = different_puzzles()
    folder = tmp_path / "puzzles"
    folder.mkdir()
    write_puzzles(folder / "test.csv", puzzles[:10])
    write_puzzles(folder / "train.csv", [*map(turned, puzzles[:10]), *puzzles[10:]])
    return folder


def classes(examples):
    pairs = zip(examples["inputs"], examples["labels"], strict=True)
    return [split_class(tuple(part.astype(np.uint8) for part in pair)) for pair in pairs]


def equal(first, second):
    return all(
        np.array_equal(values, getattr(second, split)[name])
        for split in SPLITS
        for name, values in getattr(first, split).items()
    )


def test_generated_splits_have_the_sizes_asked_for():
    dataset = data.load(config())
    assert [getattr(dataset, split)["inputs"].shape for split in SPLITS] == [
        (20, 36),
        (5, 36),
        (10, 36),
    ]


def test_a_dataset_says_what_a_model_has_to_know():
    dataset = data.load(config())
    assert (dataset.vocab_size, dataset.sequence_length, dataset.num_puzzle_identifiers) == (
        8,
        36,
        1,
    )


def test_generated_6x6_puzzles_are_all_essentially_different():
    dataset = data.load(config(num_train=60))
    keys = [key for split in SPLITS for key in classes(getattr(dataset, split))]
    assert len(set(keys)) == len(keys) == 75


def test_generated_9x9_solutions_are_all_essentially_different():
    dataset = data.load(config(size=9, num_clues=40))
    keys = [key for split in SPLITS for key in classes(getattr(dataset, split))]
    assert len(set(keys)) == len(keys) == 35


def test_held_out_puzzles_stay_when_more_are_trained_on():
    few, many = data.load(config()), data.load(config(num_train=30))
    np.testing.assert_array_equal(few.test["inputs"], many.test["inputs"])
    np.testing.assert_array_equal(few.train["inputs"], many.train["inputs"][:20])


def test_another_seed_chooses_other_puzzles():
    assert not set(classes(data.load(config()).train)) & set(
        classes(data.load(config(seed=1)).train)
    )


def test_more_puzzles_than_there_are_is_an_error():
    with pytest.raises(
        ValueError, match=r"asked for 315 essentially different 4x4 .* only 2 different"
    ):
        data.load(config(size=4, num_clues=16, num_train=300))


def test_the_last_rare_puzzles_are_enough():
    # There are two full 4x4 grids; finding the second in a round of 200 is as good as it gets.
    dataset = data.load(config(size=4, num_clues=16, num_train=1, num_validation=1, num_test=0))
    assert len(set(classes(dataset.train) + classes(dataset.validation))) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_trian": 3}, "unknown key of the data config 'num_trian'; did you mean 'num_train'"),
        ({"name": "sudokus"}, "unknown data.name 'sudokus'; did you mean 'sudoku'"),
        ({"size": 5}, "size 5; use one of"),
        ({"num_clues": 5}, r"num_clues=5 for 6x6 Sudoku; expected .* within 8..36"),
        ({"num_train": 0}, "num_train=0 .* expected at least 1"),
        ({"num_validation": -1}, "num_validation=-1; expected at least 0"),
        ({"seed": -1}, "seed=-1; expected a number of at least 0"),
    ],
)
def test_an_impossible_config_is_explained(changes, message):
    with pytest.raises(ValueError, match=message):
        data.load(config(**changes))


def test_nothing_of_the_train_file_that_is_equivalent_to_a_test_puzzle_is_used(folder):
    dataset = data.load(config(source=str(folder), num_train=-1, num_test=0))
    assert [len(getattr(dataset, split)["inputs"]) for split in SPLITS] == [15, 5, 10]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_splits_of_files_share_no_class(folder, seed):
    dataset = data.load(config(source=str(folder), num_train=10, seed=seed))
    train, validation, test = (set(classes(getattr(dataset, split))) for split in SPLITS)
    assert len(train | validation | test) == len(train) + len(validation) + len(test)


def test_equivalent_puzzles_of_the_train_file_do_not_straddle_validation(folder):
    lines = (folder / "train.csv").read_text().splitlines(keepends=True)
    (folder / "train.csv").write_text("".join(lines + lines[1:]))
    dataset = data.load(config(source=str(folder), num_train=-1, num_test=0))
    assert not set(classes(dataset.train)) & set(classes(dataset.validation))


def test_the_seed_chooses_which_puzzles_of_a_file_are_used(folder):
    first, second = (
        data.load(config(source=str(folder), num_train=5, num_test=5, seed=seed)) for seed in (0, 1)
    )
    assert not np.array_equal(first.test["inputs"], second.test["inputs"])
    assert not np.array_equal(first.train["inputs"], second.train["inputs"])


def test_all_splits_of_files_are_as_difficult_as_asked_for(folder):
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
def test_more_than_the_files_hold_is_an_error(folder, changes, message):
    with pytest.raises(ValueError, match=message):
        data.load(config(source=str(folder), **changes))


def test_files_of_different_sizes_are_an_error(folder):
    write_puzzles(folder / "test.csv", generate(Grid.of_size(6), 2, seed=0, num_clues=20))
    with pytest.raises(ValueError, match=r"16 cells in train\.csv and of 36 in test\.csv"):
        data.load(config(source=str(folder)))


def test_a_folder_without_the_files_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*train\.csv; expected 'generated'"):
        data.load(config(source=str(tmp_path)))


def test_a_data_set_that_cannot_be_downloaded_is_an_error(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(ConnectionError, match=r"train\.csv of .* 'some/thing' .* local folder"):
        data.load(config(source="hub:some/thing"))


def test_a_data_set_of_the_hub_is_read_like_a_folder(folder, monkeypatch):
    def download(repository, file, repo_type):
        assert (repository, repo_type) == ("some/thing", "dataset")
        return str(folder / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    dataset = data.load(config(source="hub:some/thing", num_train=5))
    assert equal(dataset, data.load(config(source=str(folder), num_train=5)))


@pytest.fixture
def num_builds(monkeypatch):
    """A list that grows by one entry with each data set that is really made."""
    builds = []
    make_splits = splits_module.make_splits

    def counted(settings):
        builds.append(settings)
        return make_splits(settings)

    monkeypatch.setattr("cgar_jax.data.splits.make_splits", counted)
    return builds


def test_a_data_set_is_made_once(num_builds):
    assert equal(data.load(config()), data.load(config()))
    assert len(num_builds) == 1


@pytest.mark.parametrize("changes", [{"seed": 1}, {"num_clues": 21}, {"num_test": 11}])
def test_other_settings_make_another_data_set(num_builds, changes):
    data.load(config())
    data.load(config(**changes))
    assert len(num_builds) == 2


def test_a_changed_file_makes_another_data_set(folder, num_builds):
    files = config(source=str(folder), num_train=5)
    data.load(files)
    text = (folder / "test.csv").read_text()
    (folder / "test.csv").write_text(text.replace(",9\n", ",8\n"))
    assert data.load(files).test["difficulty"].max() == 8
    assert len(num_builds) == 2


def test_an_interrupted_build_is_not_taken_for_a_finished_one(monkeypatch):
    def interrupted(self, examples):
        yield 0, {name: values[:1] for name, values in examples.items()}
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cgar_jax.data.builder.PuzzleGrids._generate_examples", interrupted)
        with pytest.raises(KeyboardInterrupt):
            data.load(config())
    assert len(data.load(config()).train["inputs"]) == 20


def test_a_data_set_that_another_process_finished_meanwhile_is_used(monkeypatch):
    from cgar_jax.data.builder import PuzzleGrids

    prepare = PuzzleGrids.download_and_prepare

    def prepare_twice(self, **kwargs):
        prepare(self, **kwargs)
        raise OSError("Directory not empty")

    monkeypatch.setattr(PuzzleGrids, "download_and_prepare", prepare_twice)
    assert len(data.load(config()).train["inputs"]) == 20


def test_splits_larger_than_a_record_keep_their_order(monkeypatch, tmp_path):
    whole = data.load(config())
    monkeypatch.setattr("cgar_jax.data.builder._PUZZLES_PER_RECORD", 3)
    assert equal(whole, data.load(config(cache_dir=str(tmp_path / "other"))))


def test_an_empty_validation_split_is_an_empty_array():
    dataset = data.load(config(num_validation=0))
    assert dataset.validation["inputs"].shape == (0, 36)


def test_the_cache_is_where_the_config_says(tmp_path, cache):
    data.load(config(cache_dir=str(tmp_path / "other")))
    assert (tmp_path / "other").is_dir()
    assert not cache.exists()


def test_no_tensorflow_is_loaded():
    script = (
        "import sys\n"
        "from cgar_jax import data\n"
        "data.load({'name': 'sudoku', 'size': 4, 'num_clues': 8, 'num_train': 3,\n"
        "           'num_validation': 0})\n"
        "print('tensorflow' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_augmentation_is_off_unless_asked_for():
    dataset = data.load(config())
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
    ("change", "message"),
    [
        ({"inputs": np.empty((0, 36), np.int32)}, "the training split is empty"),
        ({"labels": None}, "'labels' of the train split is missing; expected .20, 36."),
        ({"difficulty": np.zeros(3)}, r"'difficulty' of the train split is .3,.; expected .20,."),
        ({"labels": np.full((20, 36), 8)}, "'labels' .* reach from 8 to 8; expected 0 to 7"),
        ({"inputs": np.full((20, 36), -100)}, "'inputs' .* reach from -100"),
    ],
)
def test_a_dataset_that_does_not_fit_together_is_refused(change, message):
    dataset = data.load(config())
    train = {k: v for k, v in {**dataset.train, **change}.items() if v is not None}
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(dataset, train=train)


def test_labels_may_be_ignored():
    dataset = data.load(config())
    labels = np.full((20, 36), data.IGNORE_LABEL)
    dataclasses.replace(dataset, train=dataset.train | {"labels": labels})


@pytest.mark.parametrize(
    "config",
    [
        {"name": "sudoku", "size": 4, "num_clues": 6, "num_train": 5, "num_validation": 2},
        {"name": "maze", "size": 7, "num_train": 5, "num_validation": 2},
    ],
    ids=lambda config: config["name"],
)
def test_what_is_expected_of_a_data_set_is_what_it_becomes(config, tmp_path):
    dataset = data.load(config | {"cache_dir": str(tmp_path)})
    assert data.expected(config) == (
        dataset.vocab_size,
        dataset.sequence_length,
        dataset.num_puzzle_identifiers,
        len(dataset.train["inputs"]),
    )
