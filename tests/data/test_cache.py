"""The cache of data sets: when it is used, when not, and what survives interruptions."""

import subprocess
import sys

import pytest

from cgar_jax import data
from cgar_jax.data.builder import PuzzleGrids
from cgar_jax.data.puzzle_source import PuzzleSource
from tests.data.small_sudokus import config, different_puzzles, equal, write_puzzles

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def builds(monkeypatch):
    """A list that grows by one entry whenever a data set is made rather than read."""
    builds = []
    make_splits = PuzzleSource.make_splits

    def counted(source):
        builds.append(source)
        return make_splits(source)

    monkeypatch.setattr(PuzzleSource, "make_splits", counted)
    return builds


def test_a_data_set_is_made_once(builds):
    assert equal(data.load(config()), data.load(config()))
    assert len(builds) == 1


@pytest.mark.parametrize("changes", [{"seed": 1}, {"num_clues": 21}, {"num_test": 11}])
def test_other_settings_make_another_data_set(builds, changes):
    data.load(config())
    data.load(config(**changes))
    assert len(builds) == 2


@pytest.mark.parametrize("changes", [{"augment": True}, {"num_domains": 3}])
def test_settings_that_do_not_choose_examples_reuse_the_data_set(builds, changes):
    data.load(config())
    data.load(config(**changes))
    assert len(builds) == 1


def test_a_changed_file_makes_another_data_set(tmp_path, builds):
    puzzles = different_puzzles()
    write_puzzles(tmp_path / "test.csv", puzzles[:10])
    write_puzzles(tmp_path / "train.csv", puzzles[10:])
    files = config(source=str(tmp_path), num_train=5)
    data.load(files)
    text = (tmp_path / "test.csv").read_text()
    (tmp_path / "test.csv").write_text(text.replace(",9\n", ",8\n"))
    assert data.load(files).test["difficulty"].max() == 8
    assert len(builds) == 2


def test_an_interrupted_build_is_not_mistaken_for_a_finished_one(monkeypatch):
    def interrupted(self, examples):
        yield 0, {name: values[:1] for name, values in examples.items()}
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PuzzleGrids, "_generate_examples", interrupted)
        with pytest.raises(KeyboardInterrupt):
            data.load(config())
    assert len(data.load(config()).train["inputs"]) == 20


def test_a_data_set_that_another_process_finished_in_the_meantime_is_used(monkeypatch):
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


def test_cache_dir_sets_the_place_of_the_cache(tmp_path, cache):
    data.load(config(cache_dir=str(tmp_path / "other")))
    assert (tmp_path / "other").is_dir()
    assert not cache.exists()


def test_tensorflow_is_not_imported():
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
