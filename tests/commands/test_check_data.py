"""The command check-data finds near-duplicates that the test plants, and no others."""

import numpy as np
import pytest

from cgar_jax.commands.check_data import check
from cgar_jax.data import arc, family_of, maze, rules_of, sudoku, write_csv
from cgar_jax.data.symmetries import transform, transformed_cells
from tests.data.arc_puzzles import puzzle, write_set


def examples_of(puzzles):
    return {
        "inputs": np.array([p.question for p in puzzles]),
        "labels": np.array([p.answer for p in puzzles]),
        "difficulty": np.zeros(len(puzzles), np.float32),
    }


def write_files(folder, train, test, family):
    for name, puzzles in {"train": train, "test": test}.items():
        write_csv(folder / f"{name}.csv", examples_of(puzzles), rules_of(family).to_text)


def config_of(name, folder):
    counts = {"num_train": 2, "num_validation": 1, "num_test": 0}
    return {"name": name, "source": str(folder), "cache_dir": str(folder / "cache")} | counts


def arc_config(folder, *sets):
    return {
        "name": "arc",
        "source": str(folder),
        "sets": sets,
        "num_validation": 0,
        "cache_dir": str(folder / "cache"),
    }


def renamed(puzzle):
    """The same Sudoku with other digits, rotated by a half turn."""
    names = np.array([0, 1, 9, 8, 7, 6, 5, 4, 3, 2, 10], np.uint8)
    question, answer = (names[part][::-1] for part in puzzle[:2])
    return puzzle._replace(question=question, answer=answer)


def mirrored(puzzle):
    order = transformed_cells(9)[4]
    return puzzle._replace(question=puzzle.question[order], answer=puzzle.answer[order])


FAMILIES = {
    "sudoku": (lambda: sudoku.generate(sudoku.Grid.of_size(9), 8, 0, num_clues=40), renamed),
    "maze": (lambda: maze.generate(9, 8, 0, lengths=(1, 99), loops=0.1), mirrored),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_planted_near_duplicate_is_found_and_named(family, tmp_path, capsys):
    make, disguise = FAMILIES[family]
    puzzles = make()
    write_files(tmp_path, [*puzzles[:4], disguise(puzzles[6])], puzzles[5:], family)
    assert check(config_of(family, tmp_path)) == 1
    printed = capsys.readouterr().out
    assert "train.csv, example 5, source '' is like test.csv, example 2, source ''" in printed


@pytest.mark.parametrize("family", FAMILIES)
def test_without_near_duplicates_the_command_reports_none(family, tmp_path, capsys):
    make, _ = FAMILIES[family]
    puzzles = make()
    write_files(tmp_path, puzzles[:5], puzzles[5:], family)
    assert check(config_of(family, tmp_path)) == 0
    assert "is like" not in capsys.readouterr().out


def test_a_planted_arc_pair_is_found_and_named(tmp_path, capsys):
    colors = np.array([0, 2, 3, 4, 5, 6, 7, 8, 9, 1], np.uint8)
    asked = puzzle(9, "asked")
    disguised = tuple(colors[transform(grid, 3)] for grid in asked.tests[0])
    planted = puzzle(0, "planted")
    planted.demonstrations.append(disguised)
    write_set(tmp_path, "training", [planted])
    write_set(tmp_path, "evaluation", [asked])
    assert check(arc_config(tmp_path, "training", "evaluation")) == 1
    printed = capsys.readouterr().out
    assert "source 'training/planted/train/3' is like test" in printed
    assert "source 'evaluation/asked/test/0'" in printed


def test_arc_pairs_with_another_color_as_background_are_different():
    grid = np.array([[0, 1, 1]], np.uint8)
    source = family_of("arc")()
    pairs = [(arc.encode(each, 3), arc.encode(each, 3)) for each in (grid, 1 - grid)]
    classes = {source.split_class(pair) for pair in pairs}
    assert len(classes) == 2


def test_examples_in_the_same_split_are_not_compared_with_each_other(tmp_path):
    twice = puzzle(1, "twice")
    write_set(tmp_path, "evaluation", [twice._replace(demonstrations=twice.demonstrations * 2)])
    assert check(arc_config(tmp_path, "evaluation")) == 0
