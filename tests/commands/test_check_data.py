"""The search for puzzles that two splits share, on planted ones."""

import numpy as np
import pytest
from cgar_jax.data.families.arc.puzzles import split_class as arc_class

from cgar_jax.commands.check_data import check
from cgar_jax.data import arc, write_csv
from cgar_jax.data.families.maze import decode as maze_text
from cgar_jax.data.families.maze.generation import generate as generate_mazes
from cgar_jax.data.families.sudoku import Grid, decode, generate
from cgar_jax.data.symmetries import transform, transformed_cells
from tests.data.arc_puzzles import puzzle, write_set


def examples_of(puzzles):
    return {
        "inputs": np.array([p.question for p in puzzles]),
        "labels": np.array([p.answer for p in puzzles]),
        "difficulty": np.zeros(len(puzzles), np.float32),
    }


def write_files(folder, train, test, text):
    for name, puzzles in {"train": train, "test": test}.items():
        write_csv(folder / f"{name}.csv", examples_of(puzzles), text)


def files_config(name, folder):
    counts = {"num_train": 2, "num_validation": 1, "num_test": 0}
    return {"name": name, "source": str(folder), "cache_dir": str(folder / "cache")} | counts


def renamed(sudoku):
    """The same Sudoku by other digits, upside down."""
    names = np.array([0, 1, 9, 8, 7, 6, 5, 4, 3, 2, 10], np.uint8)
    question, answer = (names[part][::-1] for part in sudoku[:2])
    return sudoku._replace(question=question, answer=answer)


def mirrored(maze):
    order = transformed_cells(9)[4]
    return maze._replace(question=maze.question[order], answer=maze.answer[order])


FAMILIES = {
    "sudoku": (lambda: generate(Grid.of_size(9), 8, seed=0, num_clues=40), renamed, decode),
    "maze": (lambda: generate_mazes(9, 8, 0, (1, 99), 0.1), mirrored, maze_text),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_planted_near_duplicate_is_found_and_named(family, tmp_path, capsys):
    make, disguise, text = FAMILIES[family]
    puzzles = make()
    write_files(tmp_path, [*puzzles[:4], disguise(puzzles[6])], puzzles[5:], text)
    assert check(files_config(family, tmp_path)) == 1
    printed = capsys.readouterr().out
    assert "train.csv, example 5, of '' is like test.csv, example 2, of ''" in printed


@pytest.mark.parametrize("family", FAMILIES)
def test_splits_without_near_duplicates_are_told_so(family, tmp_path, capsys):
    make, _, text = FAMILIES[family]
    puzzles = make()
    write_files(tmp_path, puzzles[:5], puzzles[5:], text)
    assert check(files_config(family, tmp_path)) == 0
    assert "is like" not in capsys.readouterr().out


def test_a_planted_arc_pair_is_found_and_named(tmp_path, capsys):
    colours = np.array([0, 2, 3, 4, 5, 6, 7, 8, 9, 1], np.uint8)
    asked = puzzle(9, "asked")
    disguised = tuple(colours[transform(grid, 3)] for grid in asked.tests[0])
    planted = puzzle(0, "planted")
    planted.demonstrations.append(disguised)
    write_set(tmp_path, "training", [planted])
    write_set(tmp_path, "evaluation", [asked])
    config = {"name": "arc", "source": str(tmp_path), "sets": ("training", "evaluation")}
    assert check(config | {"cache_dir": str(tmp_path / "cache")}) == 1
    printed = capsys.readouterr().out
    assert "of 'training/planted/train/3' is like test" in printed
    assert "of 'evaluation/asked/test/0'" in printed


def test_arc_pairs_that_differ_in_what_is_black_are_different():
    grid = np.array([[0, 1, 1]], np.uint8)
    classes = {arc_class((arc.encode(pair, 3), arc.encode(pair, 3))) for pair in (grid, 1 - grid)}
    assert len(classes) == 2


def test_examples_of_one_split_are_not_compared_with_each_other(tmp_path):
    twice = puzzle(1, "twice")
    write_set(tmp_path, "evaluation", [twice._replace(demonstrations=twice.demonstrations * 2)])
    config = {"name": "arc", "source": str(tmp_path), "sets": ("evaluation",)}
    assert check(config | {"cache_dir": str(tmp_path / "cache")}) == 0
