"""Configs and files of small Sudokus, and what tests compare of the data sets made of them."""

import functools

import ml_collections
import numpy as np

from cgar_jax.data import rules_of, write_csv
from cgar_jax.data.families.sudoku import Grid, generate

SPLITS = ("train", "validation", "test")
RULES = rules_of("sudoku")


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


def columns_of(puzzles, ratings=None):
    """The columns of puzzles, as `write_csv` takes them."""
    ratings = [puzzle.rating for puzzle in puzzles] if ratings is None else ratings
    return {
        "inputs": np.array([puzzle.question for puzzle in puzzles]),
        "labels": np.array([puzzle.answer for puzzle in puzzles]),
        "difficulty": np.array(ratings, np.float32),
    }


def write_puzzles(path, puzzles):
    """Writes puzzles whose ratings are 0, 1, 2, ..."""
    write_csv(path, columns_of(puzzles, range(len(puzzles))), RULES.to_text)


@functools.cache
def different_puzzles():
    """Thirty essentially different 4x4 puzzles."""
    puzzles = {}
    for puzzle in generate(Grid.of_size(4), 200, seed=0, num_clues=7):
        puzzles.setdefault(RULES.split_class(puzzle[:2]), puzzle)
    return list(puzzles.values())[:30]


def disguised(puzzle):
    """An equivalent 4x4 puzzle: digits renamed, and rotated by a half turn."""
    names = np.array([0, 1, 3, 4, 5, 2], np.uint8)
    question, answer = (names[part][::-1] for part in puzzle[:2])
    return puzzle._replace(question=question, answer=answer)


def classes(examples):
    pairs = zip(examples["inputs"], examples["labels"], strict=True)
    return [RULES.split_class(tuple(part.astype(np.uint8) for part in pair)) for pair in pairs]


def equal(first, second):
    """Whether all columns of two data sets are equal."""
    return all(
        np.array_equal(values, getattr(second, split)[name])
        for split in SPLITS
        for name, values in getattr(first, split).items()
    )
