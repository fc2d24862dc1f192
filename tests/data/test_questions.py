"""Questions as people write them, and the errors for those that have no solution."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax.data import check_questions, read_questions, rules_of, sudoku

SUDOKU, MAZES = rules_of("sudoku"), rules_of("maze")
ONE = "1.3.3.1.2.4.4.2."
OTHER = "..3.3.1.2.4.4.2."
MAZE = "####\n#SG#\n#  #\n####"


def read(text, rules=SUDOKU, num_cells=16):
    return read_questions(text, rules, num_cells, "it")


def texts(questions):
    return [sudoku.decode(tokens) for tokens in questions.tokens]


def test_puzzles_on_one_line_each_are_read_in_order():
    assert texts(read(f"{ONE}\n{OTHER}\n")) == [ONE, OTHER]


@pytest.mark.parametrize(
    "drawn",
    [
        "1.3.\n3.1.\n2.4.\n4.2.",
        "1 0 3 0\n3 0 1 0\n2 0 4 0\n4 0 2 0\n",
        "1 . | 3 .\n3 . | 1 .\n----+----\n2 . | 4 .\n4 . | 2 .",
        "1.3.\n3.1.\n\n2.4.\n4.2.\n\n",
    ],
)
def test_a_sudoku_can_be_drawn_in_several_lines(drawn):
    assert texts(read(drawn)) == [ONE]


def test_drawn_puzzles_may_follow_each_other_and_puzzles_on_one_line():
    rows = "1.3.\n3.1.\n2.4.\n4.2.\n"
    questions = read(f"{rows}{rows}{OTHER}\n{rows}")
    assert texts(questions) == [ONE, ONE, OTHER, ONE]
    assert questions.places == [f"it, line {line}" for line in (1, 5, 9, 10)]


@given(st.sampled_from([4, 6, 9]), st.randoms(use_true_random=False))
def test_clean_line_undoes_the_drawing_of_a_sudoku(size, random):
    grid = sudoku.Grid.of_size(size)
    tokens = np.array([random.randrange(1, size + 2) for _ in range(grid.num_cells)], np.uint8)
    lines = map(SUDOKU.clean_line, SUDOKU.draw(tokens).splitlines())
    assert "".join(lines) == sudoku.decode(tokens)


def test_csv_needs_only_the_column_question():
    assert texts(read(f"name,question\na,{ONE}\nb,{OTHER}\n")) == [ONE, OTHER]


def test_a_maze_can_be_drawn_in_several_lines():
    line = MAZE.replace("\n", "")
    drawn = read(f"{MAZE}\n\n{MAZE}", MAZES)
    on_lines = read(f"{line}\n{line}", MAZES)
    assert len(drawn.tokens) == 2
    np.testing.assert_array_equal(drawn.tokens, on_lines.tokens)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has no puzzle"),
        ("1.3", "it, line 1: 3 cells; expected 16, or 4 in each of 4 rows"),
        (f"{ONE}\n1.3.\n3.1.\n2.4", "it, line 4: 3 cells; expected 16, or 4"),
        ("1.3.\n3.1.\n2.4.", "it, line 1: the grid that begins here has 3 of 4 rows"),
        (
            "." * 36,
            "it, line 1: 36 cells; expected 16, or 4 in each of 4 rows, because the model was "
            "trained on 4x4",
        ),
        (f"{ONE}\n1.3.3.1.2.4.4.2q", "it, line 2: character 'q' in cell 16"),
        ("11..............", "it, line 1: the puzzle has 1 more than once in row 1"),
        ("12.....3........", "it, line 1: the puzzle has no solution"),
        ("question\n1.3.", "it, line 2: 4 cells; expected 16"),
        ("a,question\n1", "it, line 2: the line has 1 field; expected 2: a,question"),
    ],
)
def test_a_bad_sudoku_is_an_error_with_its_line(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("####\n#SG#\n###", "it, line 3: 3 cells; expected 16, or 4"),
        (MAZE.replace("G", " "), "it, line 1: the puzzle has no G; expected exactly one"),
        (MAZE.replace("G", "x"), "it, line 1: character 'x' in cell 7"),
        ("####\n#S##\n##G#\n####", "has a G that cannot be reached from S"),
    ],
)
def test_a_bad_maze_is_an_error_with_its_line(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read(text, MAZES)


def test_a_puzzle_with_several_solutions_gets_a_remark():
    assert read(f".234341221434321\n{'.' * 16}").remarks == [
        "",
        "the puzzle has several solutions; any of them counts",
    ]


def test_puzzles_given_as_arrays_are_numbered_in_errors():
    tokens = np.stack([sudoku.encode(ONE), sudoku.encode("11..............")])
    with pytest.raises(ValueError, match="puzzle 2: the puzzle has 1 more than once in row 1"):
        check_questions(tokens, SUDOKU)
