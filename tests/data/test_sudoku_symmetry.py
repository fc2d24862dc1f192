"""Equivalence of Sudokus: canonical forms, signatures, classes of splits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax.data import rules_of
from cgar_jax.data.families.sudoku import (
    Grid,
    canonical_form,
    decode,
    encode,
    generate,
    solve,
)
from cgar_jax.data.families.sudoku.solver import random_solution
from cgar_jax.data.families.sudoku.symmetry import solution_signatures

RULES = rules_of("sudoku")
PUZZLES = {
    size: generate(Grid.of_size(size), 10, seed=0, num_clues=clues)
    for size, clues in [(4, 5), (6, 14), (9, 32), (16, 130)]
}


def group_order(rng, num_groups, group_size):
    groups = np.arange(num_groups * group_size).reshape(num_groups, group_size)
    return np.concatenate([rng.permutation(group) for group in rng.permutation(groups)])


def disguise(rng, grid, *arrays, transpose=True):
    """Applies the same random symmetry of the grid to all arrays of tokens."""
    rows = group_order(rng, grid.box_columns, grid.box_rows)
    columns = group_order(rng, grid.box_rows, grid.box_columns)
    cells = np.arange(grid.num_cells).reshape(grid.size, grid.size)[rows][:, columns]
    if transpose and rng.integers(2):
        cells = cells.T
    names = np.concatenate([[0, 1], 2 + rng.permutation(grid.size)]).astype(np.uint8)
    return tuple(names[array][cells.ravel()] for array in arrays)


puzzles = st.sampled_from([(size, p) for size in (4, 6, 9) for p in PUZZLES[size]])
seeds = st.integers(0, 2**32)


@given(puzzles, seeds)
def test_equivalent_puzzles_have_the_same_canonical_form(sized_puzzle, seed):
    size, puzzle = sized_puzzle
    grid, rng = Grid.of_size(size), np.random.default_rng(seed)
    disguised = disguise(
        rng, grid, puzzle.question, puzzle.answer, transpose=grid.box_rows == grid.box_columns
    )
    np.testing.assert_array_equal(
        canonical_form(*disguised), canonical_form(puzzle.question, puzzle.answer)
    )


def test_equivalent_puzzles_with_a_very_symmetric_answer_have_the_same_canonical_form():
    # The rows are shifts of one another, so many choices tie and the clues decide.
    answer = encode("".join("123456789123456789"[s : s + 9] for s in (0, 3, 6, 1, 4, 7, 2, 5, 8)))
    grid, rng = Grid.of_size(9), np.random.default_rng(0)
    question = np.where(rng.random(81) < 0.4, answer, 1).astype(np.uint8)
    forms = {canonical_form(*disguise(rng, grid, question, answer))[0].tobytes() for _ in range(10)}
    assert len(forms) == 1


@given(puzzles)
def test_the_canonical_form_is_its_own_canonical_form(sized_puzzle):
    form = canonical_form(*sized_puzzle[1][:2])
    np.testing.assert_array_equal(canonical_form(*form), form)


@given(puzzles)
def test_the_canonical_answer_solves_the_canonical_question(sized_puzzle):
    size, puzzle = sized_puzzle
    question, answer = canonical_form(puzzle.question, puzzle.answer)
    assert solve(Grid.of_size(size), question).solutions.tolist() == [answer.tolist()]


@given(puzzles)
def test_the_canonical_question_keeps_the_number_of_clues(sized_puzzle):
    puzzle = sized_puzzle[1]
    question, _ = canonical_form(puzzle.question, puzzle.answer)
    assert (question > 1).sum() == (puzzle.question > 1).sum()


def test_the_288_grids_of_4x4_have_2_classes():
    answers = solve(Grid.of_size(4), encode("." * 16), limit=1000).solutions
    assert len({canonical_form(answer, answer)[1].tobytes() for answer in answers}) == 2


def test_the_grids_of_6x6_have_49_classes():
    # The rarest classes have so few grids that random grids may miss them.
    grid, rng = Grid.of_size(6), np.random.default_rng(0)
    answers = [random_solution(grid, rng) for _ in range(2000)]
    assert 45 <= len({canonical_form(answer, answer)[1].tobytes() for answer in answers}) <= 49


def test_transposing_a_6x6_breaks_the_rules():
    # Boxes of 2 rows and 3 columns become boxes of 3 rows; a few grids are valid by chance.
    grid = Grid.of_size(6)
    transposed = np.array([p.answer.reshape(6, 6).T.ravel() for p in PUZZLES[6]])
    assert grid.broken_units(transposed).any()


def test_random_9x9_grids_are_not_equivalent():
    assert len({canonical_form(p.question, p.answer)[1].tobytes() for p in PUZZLES[9]}) == 10


def test_an_additional_clue_makes_another_puzzle_with_the_same_solution():
    puzzle = PUZZLES[9][0]
    more = puzzle.question.copy()
    blank = np.flatnonzero(more == 1)[0]
    more[blank] = puzzle.answer[blank]
    question, answer = canonical_form(puzzle.question, puzzle.answer)
    other_question, other_answer = canonical_form(more, puzzle.answer)
    assert decode(answer) == decode(other_answer)
    assert decode(question) != decode(other_question)


@pytest.mark.parametrize(("size", "is_same"), [(4, False), (6, False), (9, True), (16, True)])
def test_split_classes_of_large_sizes_are_solutions_and_of_smaller_sizes_puzzles(size, is_same):
    puzzle = PUZZLES[size][0]
    more = puzzle.question.copy()
    blank = np.flatnonzero(more == 1)[0]
    more[blank] = puzzle.answer[blank]
    key = RULES.split_class((puzzle.question, puzzle.answer))
    assert (RULES.split_class((more, puzzle.answer)) == key) is is_same


@pytest.mark.parametrize("size", PUZZLES)
def test_equivalent_solutions_have_the_same_signature(size):
    rng, grid = np.random.default_rng(0), Grid.of_size(size)
    answers = np.array([puzzle.answer for puzzle in PUZZLES[size]])
    square = grid.box_rows == grid.box_columns
    for _ in range(8):
        pairs = [disguise(rng, grid, answer, transpose=square)[0] for answer in answers]
        disguised = np.array(pairs)
        assert solution_signatures(disguised) == solution_signatures(answers)


@pytest.mark.parametrize("size", [9, 16])
def test_different_solutions_of_large_sizes_have_different_signatures(size):
    answers = np.array([puzzle.answer for puzzle in PUZZLES[size]])
    assert len(set(solution_signatures(answers))) == len(answers)
