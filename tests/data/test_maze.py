"""Mazes: solver against a graph library, generator, rules, text, symmetries."""

import itertools

import jax
import networkx
import numpy as np
import pytest
from cgar_jax.data.families.maze.augmentation import augment
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax.data import dihedral, maze
from cgar_jax.data.families.maze.grid import GOAL, OPEN, PATH, START, WALL

SMALL = """\
#######
#S    #
# ### #
#   # #
# # # #
# #  G#
#######
"""
SOLVED = """\
#######
#Soooo#
# ###o#
#   #o#
# # #o#
# #  G#
#######
"""


def graph_of(is_open):
    """The same maze as a graph."""
    graph = networkx.grid_2d_graph(*is_open.shape)
    graph.remove_nodes_from(map(tuple, np.argwhere(~is_open)))
    return graph


def only(shape, cell):
    cells = np.zeros(shape, bool)
    cells[tuple(cell)] = True
    return cells


@st.composite
def open_cells(draw):
    rows, columns = draw(st.integers(2, 7)), draw(st.integers(2, 7))
    cells = draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns))
    is_open = np.array(cells).reshape(rows, columns)
    is_open[0, 0] = True
    return is_open


@given(open_cells())
def test_distances_are_those_of_a_graph_library(is_open):
    found = maze.distances(is_open[None], only(is_open.shape, (0, 0))[None])[0]
    expected = networkx.single_source_shortest_path_length(graph_of(is_open), (0, 0))
    for cell in np.ndindex(is_open.shape):
        assert found[cell] == expected.get(cell, -1)


@given(open_cells(), st.data())
def test_cells_on_shortest_paths_are_those_of_all_paths_of_a_graph_library(is_open, data):
    goal = tuple(data.draw(st.sampled_from(np.argwhere(is_open).tolist())))
    shape = is_open.shape
    found = maze.on_shortest_paths(
        is_open[None], only(shape, (0, 0))[None], only(shape, goal)[None]
    )[0]
    graph, expected = graph_of(is_open), set()
    if networkx.has_path(graph, (0, 0), goal):
        expected = set(itertools.chain(*networkx.all_shortest_paths(graph, (0, 0), goal)))
    assert set(map(tuple, np.argwhere(found).tolist())) == expected


@given(open_cells(), st.data())
def test_one_shortest_path_is_one(is_open, data):
    steps = maze.distances(is_open[None], only(is_open.shape, (0, 0))[None])[0]
    goal = tuple(data.draw(st.sampled_from(np.argwhere(steps >= 0).tolist())))
    path = maze.one_shortest_path(is_open, only(is_open.shape, (0, 0)), only(is_open.shape, goal))
    assert path.sum() == steps[goal] + 1
    assert networkx.has_path(graph_of(path), (0, 0), goal)


def test_a_goal_out_of_reach_has_no_path():
    is_open = np.array([[True, False, True]])
    with pytest.raises(ValueError, match="cannot be reached"):
        maze.one_shortest_path(is_open, only((1, 3), (0, 0)), only((1, 3), (0, 2)))


def test_solving_marks_the_open_cells_between_start_and_goal():
    assert maze.decode(maze.solve(maze.encode(SMALL)), line_breaks=True) == SOLVED.strip()


def mazes(num=12, size=11, **settings):
    return maze.generate(size, num, seed=0, num_workers=1, **settings)


def columns(puzzles):
    return np.stack([p.question for p in puzzles]), np.stack([p.answer for p in puzzles])


def test_generated_mazes_and_answers_have_no_faults():
    questions, answers = columns(mazes(loops=0.2))
    assert not any(maze.question_faults(questions))
    assert not any(maze.answer_faults(questions, answers))


def test_a_generated_maze_has_exactly_one_shortest_path():
    for puzzle in mazes(loops=0.2):
        cells = puzzle.question.reshape(1, 11, 11)
        paths = maze.on_shortest_paths(cells != WALL, cells == START, cells == GOAL)
        assert paths.sum() == puzzle.rating + 1


def test_generated_lengths_are_within_the_range_asked_for():
    ratings = [puzzle.rating for puzzle in mazes(lengths=(14, 18))]
    assert len(ratings) == 12
    assert all(14 <= rating <= 18 for rating in ratings)


def test_hard_mazes_of_the_published_size_can_be_generated():
    (puzzle,) = mazes(1, size=30, lengths=(111, np.inf))
    assert puzzle.question.shape == (900,)
    assert puzzle.rating > 110


def test_every_open_cell_of_a_generated_maze_is_connected():
    for puzzle in mazes():
        is_open = puzzle.question.reshape(11, 11) != WALL
        assert networkx.is_connected(graph_of(is_open))


def test_without_loops_a_maze_is_a_tree():
    for puzzle in mazes(loops=0.0):
        assert networkx.is_tree(graph_of(puzzle.question.reshape(11, 11) != WALL))


def test_loops_open_walls():
    with_loops = sum((p.question != WALL).sum() for p in mazes(loops=0.5))
    assert with_loops > sum((p.question != WALL).sum() for p in mazes(loops=0.0))


def test_a_maze_depends_on_its_number_and_seed_alone():
    whole, part = mazes(6), maze.generate(11, 2, seed=0, start=4, num_workers=1)
    for one, other in zip(whole[4:], part, strict=True):
        np.testing.assert_array_equal(one.question, other.question)
    another = maze.generate(11, 1, seed=1, num_workers=1)[0]
    assert not np.array_equal(another.question, whole[0].question)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 4}, "size=4; expected at least 5"),
        ({"loops": 1.5}, r"loops=1.5; expected a share of walls in \[0, 1\]"),
        ({"lengths": (9, 8)}, "paths of 9 to 8 steps; expected low <= high"),
        ({"lengths": (500, 600)}, "no 11x11 maze .* 500 to 600 steps in 100 attempts .* longest"),
    ],
)
def test_settings_no_maze_can_have_are_an_error(settings, message):
    with pytest.raises(ValueError, match=message):
        mazes(1, **settings)


def test_text_is_read_and_written():
    tokens = maze.encode(SOLVED)
    assert tokens.dtype == np.uint8
    assert [tokens[0], tokens[8], tokens[9], tokens[15], tokens[40]] == [
        WALL,
        START,
        PATH,
        OPEN,
        GOAL,
    ]
    assert maze.decode(tokens, line_breaks=True) == SOLVED.strip()
    assert maze.decode(tokens) == SOLVED.replace("\n", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#" * 24, "24 cells make no maze; expected a square"),
        ("###\n##\n###", "row 2 of the maze has 2 cells; expected 3"),
        ("S G#x## # ", "10 cells make no maze"),
        ("SxG######", "character 'x' in cell 2 of the maze"),
    ],
)
def test_text_that_is_no_maze_is_an_error(text, message):
    with pytest.raises(ValueError, match=message):
        maze.encode(text)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("G", " "), "has no G; expected exactly one"),
        (("S", "#"), "has no S; expected exactly one"),
        ((" ", "S"), "has 2 S; expected exactly one"),
        ((" ", "G"), "has 2 G; expected exactly one"),
        (("#    #\n", "# #  #\n"), ""),
    ],
)
def test_what_is_wrong_with_a_question_is_told(change, fault):
    question = maze.encode(SMALL.replace(*change, 1))
    assert maze.question_faults(question[None]) == [fault]


def test_a_goal_walled_in_is_told():
    text = SMALL.replace("# #  G#", "# # #G#").replace("# # # #\n# # #G", "# # ###\n# # #G")
    assert maze.question_faults(maze.encode(text)[None]) == [
        "has a G that cannot be reached from S"
    ]


def other_way(text):
    """The way down the left side, which is longer by no step of this maze's."""
    rows = [list(row) for row in text.strip().split("\n")]
    for row, column in ((2, 1), (3, 1), (3, 2), (3, 3), (4, 3), (5, 3), (5, 4)):
        rows[row][column] = "o"
    return "\n".join("".join(row) for row in rows)


def test_another_shortest_path_is_accepted():
    answers = np.stack([maze.encode(SOLVED), maze.encode(other_way(SMALL))])
    assert maze.answer_faults(np.stack([maze.encode(SMALL)] * 2), answers) == ["", ""]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (SOLVED.replace("Soooo", "Soo o"), "marks no connected path from S to G"),
        (SOLVED.replace("# # #o#", "# #o#o#"), "marks 8 cells; a shortest path from S to G has 7"),
        (SOLVED.replace("#Soooo#", "#oSooo#"), "has 'o' in cell 9, where the question has 'S'"),
        (SOLVED.replace("# ###o#", "# o##o#"), "has 'o' in cell 17, where the question has '#'"),
        (SMALL, "marks no connected path from S to G"),
        (other_way(SOLVED), "marks 14 cells"),
    ],
)
def test_why_an_answer_does_not_solve_a_maze_is_told(answer, fault):
    (found,) = maze.answer_faults(maze.encode(SMALL)[None], maze.encode(answer)[None])
    assert found.startswith(fault)


@given(st.integers(0, 7), st.integers(2, 6))
def test_a_transform_and_its_inverse_are_the_identity(index, size):
    grid = np.arange(size * size).reshape(size, size)
    back = dihedral.transform(dihedral.transform(grid, index), dihedral.INVERSES[index])
    np.testing.assert_array_equal(back, grid)


def test_the_eight_transforms_are_all_different():
    assert len({order.tobytes() for order in dihedral.transformed_cells(3)}) == 8


def test_the_second_diagonal_is_number_seven():
    np.testing.assert_array_equal(
        dihedral.transform(np.array([[1, 2], [3, 4]]), 7), [[4, 2], [3, 1]]
    )


def test_turned_and_mirrored_mazes_are_of_one_class():
    puzzle = mazes(1)[0]
    classes = {
        maze.split_class((puzzle.question[order], puzzle.answer[order]))
        for order in dihedral.transformed_cells(11)
    }
    assert len(classes) == 1


def test_a_maze_with_another_start_is_of_the_same_class_and_another_maze_is_not():
    first, second = mazes(2)
    moved = np.where(first.question == START, OPEN, first.question)
    assert maze.split_class((moved, moved)) == maze.split_class(first[:2])
    assert maze.split_class(second[:2]) != maze.split_class(first[:2])


def test_augmentation_turns_question_and_answer_alike():
    questions, answers = columns(mazes(6, loops=0.2))
    batch = {
        "inputs": np.tile(questions, (8, 1)).astype(np.int32),
        "labels": np.tile(answers, (8, 1)).astype(np.int32),
        "difficulty": np.arange(48.0),
    }
    turned = jax.jit(augment)(jax.random.key(0), batch)
    assert not any(maze.answer_faults(turned["inputs"], turned["labels"]))
    assert len({np.asarray(row).tobytes() for row in turned["inputs"]}) > 30
    np.testing.assert_array_equal(turned["difficulty"], batch["difficulty"])


def test_augmentation_draws_each_symmetry_about_as_often():
    question = mazes(1)[0].question.astype(np.int32)
    batch = {"inputs": np.tile(question, (4000, 1)), "labels": np.tile(question, (4000, 1))}
    turned = np.asarray(augment(jax.random.key(1), batch)["inputs"])
    counts = [
        (turned == question[order]).all(axis=1).sum() for order in dihedral.transformed_cells(11)
    ]
    assert sum(counts) == 4000
    assert min(counts) > 400
