"""The exact Sudoku solver."""

import numpy as np
import pytest

from cgar_jax.data.families.sudoku import Grid, decode, encode, solve
from cgar_jax.data.families.sudoku.solver import random_solution

# A puzzle by Arto Inkala that looking for single candidates does not solve.
HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
HARD_ANSWER = "812753649943682175675491283154237896369845721287169534521974368438526917796318452"


def test_a_hard_puzzle_is_solved():
    result = solve(Grid.of_size(9), encode(HARD))
    assert [decode(solution) for solution in result.solutions] == [HARD_ANSWER]


def test_a_hard_puzzle_takes_guesses():
    assert solve(Grid.of_size(9), encode(HARD)).num_guesses > 0


def test_a_puzzle_with_one_blank_takes_no_guess():
    assert solve(Grid.of_size(9), encode("." + HARD_ANSWER[1:])).num_guesses == 0


def test_there_are_288_grids_of_4x4():
    solutions = solve(Grid.of_size(4), encode("." * 16), limit=1000).solutions
    assert len({decode(solution) for solution in solutions}) == len(solutions) == 288


def test_the_search_stops_at_the_limit():
    assert len(solve(Grid.of_size(9), encode("." * 81), limit=7).solutions) == 7


@pytest.mark.parametrize(
    "question",
    ["11..............", "123....4........", "23....1........."],
    ids=["twice in a row", "no digit for a cell", "no place for a digit"],
)
def test_a_contradiction_has_no_solution(question):
    assert solve(Grid.of_size(4), encode(question)).solutions.shape == (0, 16)


@pytest.mark.parametrize("size", [4, 6, 9, 12, 16])
def test_random_solutions_obey_the_rules(size):
    grid, rng = Grid.of_size(size), np.random.default_rng(0)
    solutions = np.array([random_solution(grid, rng) for _ in range(20)])
    assert not grid.broken_units(solutions).any()


def test_random_solutions_include_all_grids_of_4x4():
    grid, rng = Grid.of_size(4), np.random.default_rng(0)
    assert len({random_solution(grid, rng).tobytes() for _ in range(4000)}) == 288
