"""Generated mazes: one shortest path, the requested settings, reproducibility."""

import networkx
import numpy as np
import pytest

from cgar_jax.data import maze, rules_of
from cgar_jax.data.families.maze.grid import GOAL, START, WALL
from tests.data.test_maze_solver import graph_of


def mazes(num=12, size=11, **settings):
    return maze.generate(size, num, seed=0, num_workers=1, **settings)


def test_generated_mazes_and_answers_have_no_faults():
    puzzles = mazes(loops=0.2)
    questions, answers = np.stack([p[0] for p in puzzles]), np.stack([p[1] for p in puzzles])
    assert not any(rules_of("maze").question_faults(questions))
    assert not any(rules_of("maze").answer_faults(questions, answers))


def test_a_generated_maze_has_exactly_one_shortest_path():
    for puzzle in mazes(loops=0.2):
        cells = puzzle.question.reshape(1, 11, 11)
        paths = maze.on_shortest_paths(cells != WALL, cells == START, cells == GOAL)
        assert paths.sum() == puzzle.rating + 1


def test_path_lengths_are_in_the_requested_range():
    ratings = [puzzle.rating for puzzle in mazes(lengths=(14, 18))]
    assert len(ratings) == 12
    assert all(14 <= rating <= 18 for rating in ratings)


def test_hard_mazes_of_the_published_size_can_be_generated():
    (puzzle,) = mazes(1, size=30, lengths=(111, np.inf))
    assert puzzle.question.shape == (900,)
    assert puzzle.rating > 110


def test_all_open_cells_of_a_maze_are_connected():
    for puzzle in mazes():
        is_open = puzzle.question.reshape(11, 11) != WALL
        assert networkx.is_connected(graph_of(is_open))


def test_without_loops_a_maze_is_a_tree():
    for puzzle in mazes(loops=0.0):
        assert networkx.is_tree(graph_of(puzzle.question.reshape(11, 11) != WALL))


def test_loops_open_walls():
    with_loops = sum((p.question != WALL).sum() for p in mazes(loops=0.5))
    assert with_loops > sum((p.question != WALL).sum() for p in mazes(loops=0.0))


def test_a_maze_depends_only_on_its_index_and_the_seed():
    whole, part = mazes(6), mazes(range(4, 6))
    for one, other in zip(whole[4:], part, strict=True):
        np.testing.assert_array_equal(one.question, other.question)
    another = maze.generate(11, 1, seed=1, num_workers=1)[0]
    assert not np.array_equal(another.question, whole[0].question)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 4}, r"size is 4, but it must be an integer in \[5, inf\)"),
        ({"loops": 1.5}, r"loops is 1.5, but it must be in \[0, 1\]"),
        ({"lengths": (9, 8)}, "paths of 9 to 8 steps; expected low <= high"),
        ({"lengths": (500, 600)}, "no 11x11 maze .* 500 to 600 steps in 100 attempts .* longest"),
    ],
)
def test_settings_that_no_maze_can_have_are_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        mazes(1, **settings)
