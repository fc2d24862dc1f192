"""Generated Sudokus: unique solutions, the requested clues, reproducibility."""

import numpy as np
import pytest

from cgar_jax.data.families.sudoku import Grid, decode, generate

BOX_SHAPES = {4: (2, 2), 6: (2, 3), 9: (3, 3), 12: (3, 4)}


def solutions_by_trial(text):
    """Returns all solutions of a puzzle by backtracking on the cell with the fewest digits left."""
    size = int(len(text) ** 0.5)
    box_rows, box_columns = BOX_SHAPES[size]

    def digits_left(cells, cell):
        row, column = divmod(cell, size)
        seen = {
            cells[other]
            for other in range(size * size)
            if row == other // size
            or column == other % size
            or (row // box_rows, column // box_columns)
            == (other // size // box_rows, other % size // box_columns)
        }
        return [digit for digit in "123456789ABC"[:size] if digit not in seen]

    def search(cells):
        blanks = [cell for cell, value in enumerate(cells) if value == "."]
        if not blanks:
            return ["".join(cells)]
        options = {cell: digits_left(cells, cell) for cell in blanks}
        cell = min(blanks, key=lambda blank: len(options[blank]))
        return [
            solution
            for digit in options[cell]
            for solution in search([*cells[:cell], digit, *cells[cell + 1 :]])
        ]

    return search(list(text))


def texts(puzzles):
    return [(decode(puzzle.question), decode(puzzle.answer)) for puzzle in puzzles]


def num_clues(puzzle):
    return int((puzzle.question > 1).sum())


@pytest.mark.parametrize(
    ("size", "clues", "num"),
    [(4, 4, 10), (4, 0, 20), (6, 18, 20), (6, 0, 20), (9, 30, 4), (12, 80, 2)],
)
def test_the_answer_of_a_generated_puzzle_is_its_only_solution(size, clues, num):
    for question, answer in texts(generate(Grid.of_size(size), num, seed=1, num_clues=clues)):
        assert solutions_by_trial(question) == [answer]


def test_puzzles_have_the_requested_number_of_clues():
    puzzles = generate(Grid.of_size(6), 20, seed=0, num_clues=14)
    assert {num_clues(puzzle) for puzzle in puzzles} == {14}


def test_all_numbers_in_a_range_of_clues_occur():
    puzzles = generate(Grid.of_size(6), 60, seed=0, num_clues=(16, 18))
    assert {num_clues(puzzle) for puzzle in puzzles} == {16, 17, 18}


def test_no_clue_of_a_minimal_puzzle_can_be_spared():
    (puzzle,) = generate(Grid.of_size(6), 1, seed=0, num_clues=0)
    question = decode(puzzle.question)
    for cell in np.flatnonzero(puzzle.question > 1):
        assert len(solutions_by_trial(question[:cell] + "." + question[cell + 1 :])) > 1


def test_puzzles_have_at_least_the_requested_difficulty():
    puzzles = generate(Grid.of_size(9), 3, seed=0, min_difficulty=20)
    assert all(puzzle.rating >= 20 for puzzle in puzzles)


def test_a_puzzle_that_was_made_harder_still_has_only_one_solution():
    # Of the random puzzles of this size, one in a hundred is so difficult.
    for question, answer in texts(generate(Grid.of_size(6), 3, seed=1, min_difficulty=3)):
        assert solutions_by_trial(question) == [answer]


def test_the_same_seed_gives_the_same_puzzles():
    first, second = (generate(Grid.of_size(6), 5, seed=3, num_clues=18) for _ in range(2))
    assert texts(first) == texts(second)


def test_another_seed_gives_other_puzzles():
    first, second = (generate(Grid.of_size(6), 5, seed=s, num_clues=18) for s in (3, 4))
    assert not set(texts(first)) & set(texts(second))


def test_puzzles_do_not_depend_on_the_number_of_workers():
    one, three = (
        generate(Grid.of_size(6), 10, seed=0, num_clues=18, num_workers=n) for n in (1, 3)
    )
    assert texts(one) == texts(three)


def test_a_puzzle_does_not_depend_on_the_puzzles_before_it():
    grid = Grid.of_size(6)
    assert texts(generate(grid, range(4, 6), seed=0, num_clues=18)) == texts(
        generate(grid, 6, seed=0, num_clues=18)[4:]
    )


@pytest.mark.parametrize(("size", "clues"), [(9, 3), (9, 82), (6, (20, 10)), (4, -1)])
def test_a_number_of_clues_that_no_puzzle_has_is_an_error(size, clues):
    expected = r"num_clues(=.*expected .* within \d+..\d+| is -1, but it must be an integer)"
    with pytest.raises(ValueError, match=expected):
        generate(Grid.of_size(size), 1, seed=0, num_clues=clues)


def test_a_difficulty_that_is_never_reached_is_an_error():
    with pytest.raises(ValueError, match=r"min_difficulty=99 in 1000 attempts"):
        generate(Grid.of_size(4), 1, seed=0, min_difficulty=99)
