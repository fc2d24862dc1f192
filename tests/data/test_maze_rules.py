"""Text and rules of mazes, and which mazes count as near-duplicates."""

import numpy as np
import pytest

from cgar_jax.data import maze, rules_of
from cgar_jax.data.families.maze.grid import GOAL, OPEN, PATH, START, WALL
from cgar_jax.data.symmetries import transformed_cells

RULES = rules_of("maze")
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


def test_solve_marks_the_open_cells_between_start_and_goal():
    assert maze.decode(maze.solve(maze.encode(SMALL)), line_breaks=True) == SOLVED.strip()


def test_decode_undoes_encode_with_and_without_line_breaks():
    tokens = maze.encode(SOLVED)
    assert tokens.dtype == np.uint8
    assert tokens[[0, 8, 9, 15, 40]].tolist() == [WALL, START, PATH, OPEN, GOAL]
    assert maze.decode(tokens, line_breaks=True) == SOLVED.strip()
    assert maze.decode(tokens) == SOLVED.replace("\n", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#" * 24, "24 cells do not form a maze; expected a square"),
        ("###\n##\n###", "row 2 of the maze has 2 cells; expected 3"),
        ("S G#x## # ", "10 cells do not form a maze"),
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
def test_question_faults_name_what_is_wrong(change, fault):
    question = maze.encode(SMALL.replace(*change, 1))
    assert RULES.question_faults(question[None]) == [fault]


def test_a_walled_in_goal_is_a_fault():
    text = SMALL.replace("# #  G#", "# # #G#").replace("# # # #\n# # #G", "# # ###\n# # #G")
    assert RULES.question_faults(maze.encode(text)[None]) == [
        "has a G that cannot be reached from S"
    ]


def with_left_route(text):
    """Marks the route down the left side, which is a shortest path too."""
    rows = [list(row) for row in text.strip().split("\n")]
    for row, column in ((2, 1), (3, 1), (3, 2), (3, 3), (4, 3), (5, 3), (5, 4)):
        rows[row][column] = "o"
    return "\n".join("".join(row) for row in rows)


def test_every_shortest_path_is_a_solution():
    questions = np.stack([maze.encode(SMALL)] * 2)
    answers = np.stack([maze.encode(SOLVED), maze.encode(with_left_route(SMALL))])
    assert RULES.answer_faults(questions, answers) == ["", ""]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (SOLVED.replace("Soooo", "Soo o"), "marks no connected path from S to G"),
        (SOLVED.replace("# # #o#", "# #o#o#"), "marks 8 cells; a shortest path from S to G has 7"),
        (SOLVED.replace("#Soooo#", "#oSooo#"), "has 'o' in cell 9, where the question has 'S'"),
        (SOLVED.replace("# ###o#", "# o##o#"), "has 'o' in cell 17, where the question has '#'"),
        (SMALL, "marks no connected path from S to G"),
        (with_left_route(SOLVED), "marks 14 cells"),
    ],
)
def test_answer_faults_name_the_broken_rule(answer, fault):
    (found,) = RULES.answer_faults(maze.encode(SMALL)[None], maze.encode(answer)[None])
    assert found.startswith(fault)


def test_rotated_and_mirrored_mazes_share_a_class():
    (puzzle,) = maze.generate(11, 1, seed=0)
    classes = {
        RULES.split_class((puzzle.question[order], puzzle.answer[order]))
        for order in transformed_cells(11)
    }
    assert len(classes) == 1


def test_a_maze_with_another_start_shares_its_class_but_another_maze_does_not():
    first, second = maze.generate(11, 2, seed=0)
    moved = np.where(first.question == START, OPEN, first.question)
    assert RULES.split_class((moved, moved)) == RULES.split_class(first[:2])
    assert RULES.split_class(second[:2]) != RULES.split_class(first[:2])
