"""The model that comes with the package."""

import hashlib

import pytest

import cgar_jax
from cgar_jax import model_files
from tests import running as commands

FOLDER = model_files.locate(model_files.PRETRAINED)
# Inkala, 2012, which newspapers called the hardest Sudoku in the world.
PUZZLE = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
EASY_6X6 = "...342..25.6.5.6.....43514.2.3.2.16."


@pytest.fixture(scope="module")
def model():
    return cgar_jax.load()


def test_its_parameters_have_the_stated_checksum():
    digest = hashlib.sha256((FOLDER / model_files.PARAMETERS).read_bytes()).hexdigest()
    assert (FOLDER / model_files.CHECKSUM).read_text().split() == [digest, model_files.PARAMETERS]


def test_it_is_small():
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 300_000


def test_it_proves_a_hard_puzzle(model):
    (proof,) = model.solve(PUZZLE, budget=1_000, batch_size=1)
    assert proof.verified
    assert model.accepts(model.read(PUZZLE).tokens, proof.answer[None])[0]


def test_views_are_refused_because_it_searches(model):
    with pytest.raises(ValueError, match="views are for rollouts"):
        model.solver(views=True)


def test_it_needs_no_workdir_and_solves_other_sizes(cache):
    asked = (EASY_6X6, "--size=6", "--batch_size=1")
    code, output, errors = commands.run_apart("solve", *asked, cache=cache)
    assert code == 0, errors
    assert "verified" in output


def test_a_puzzle_of_another_size_is_an_error(cache):
    code, _, errors = commands.run_apart("solve", EASY_6X6, cache=cache)
    assert code == 2
    assert "36 cells; expected 81" in errors


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / model_files.PRETRAINED).mkdir()
    assert model_files.locate(model_files.PRETRAINED).resolve() == tmp_path / model_files.PRETRAINED
