"""The formats in which people have Sudokus, each read to the same puzzle."""

import json
import re

import numpy as np
import pytest

from cgar_jax.data import read_questions, rules_of, sudoku

RULES = rules_of("sudoku")
PUZZLE = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
ANSWER = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
ROWS = [PUZZLE[start : start + 9] for start in range(0, 81, 9)]
DOTS = [row.replace("0", ".") for row in ROWS]
NUMBERS = [[int(cell) for cell in row] for row in ROWS]
GRID = "\n".join(ROWS)


def boxed(rows, side, top, middle):
    """Draws rows with a side between boxes, and rulers."""
    lines = [f"{side}{row[:3]}{side}{row[3:6]}{side}{row[6:]}{side}" for row in rows]
    return "\n".join([top, *lines[:3], middle, *lines[3:6], middle, *lines[6:], top])


FORMATS = {
    "one line": PUZZLE,
    "dots": PUZZLE.replace("0", "."),
    "underscores": PUZZLE.replace("0", "_"),
    "asterisks": PUZZLE.replace("0", "*"),
    "x": PUZZLE.replace("0", "x"),
    "hyphens": PUZZLE.replace("0", "-"),
    "spaces": " ".join(PUZZLE),
    "Windows lines": f"{PUZZLE}\r\n",
    "a byte-order mark": f"\ufeff{PUZZLE}",
    "a rating": f"{PUZZLE} 7.2",
    "a name": f"{PUZZLE};11.3;Arto Inkala",
    "a name in front": f"0000183b305c {PUZZLE} 1.2",
    "its answer": f"{PUZZLE},{ANSWER}",
    "comments": f"# mine\n{PUZZLE} # hard\n# end",
    "SadMan .sdk": "#AMe\n#DFirst #1\n" + "\n".join(DOTS),
    "SadMan sections": "[Puzzle]\n" + "\n".join(DOTS) + "\n[State]\n" + "\n".join(["1" * 9] * 9),
    "SadMan .sdm": f"#BSet of one\n{PUZZLE}",
    "SadMan .ss": boxed(DOTS, "|", "*-----------*", "|---+---+---|"),
    "HoDoKu": boxed(DOTS, " | ", ".-----.-----.-----.", ":------+------+------:"),
    "box drawing": boxed(DOTS, "│", "┌───┬───┬───┐", "├───┼───┼───┤"),
    "heading": f"Grid 01\n{GRID}",
    "bands": "\n\n".join("\n".join(ROWS[start : start + 3]) for start in (0, 3, 6)),
    "every second line": "\n\n".join(ROWS),
    "rows of CSV": "\n".join(",".join(row) for row in ROWS),
    "empty cells of CSV": "\n".join(",".join(row).replace("0", "") for row in ROWS),
    "list": str(NUMBERS),
    "list on several lines": json.dumps(NUMBERS, indent=2),
    "assigned list": f"grid = {NUMBERS}",
    "flat list": str([int(cell) for cell in PUZZLE]),
    "list with None": str(NUMBERS).replace("0", "None"),
    "list of texts": json.dumps(DOTS),
    "list of lists of texts": json.dumps([list(row) for row in DOTS]),
    "printed array": str(np.array(NUMBERS)),
    "written array": repr(np.array(NUMBERS, np.uint8)),
    "Kaggle puzzle": f"puzzle,solution\n{PUZZLE},{ANSWER}\n\n",
    "Kaggle quizzes": f"quizzes,solutions\n{PUZZLE},{ANSWER}\n",
    "quoted header": f'"question","rating"\n"{PUZZLE}","3"\n',
    "capitals": f"ID, Puzzle\n7, {PUZZLE}\n",
    "semicolons": f"question;answer\n{PUZZLE};{ANSWER}\n",
    "tabs": f"id\tpuzzle\n1\t{PUZZLE}\n",
    "comments before CSV": f"# mine\nsource,question\na,{PUZZLE}\n# end\n",
    "a drawing in CSV": f'question\n"{GRID}"\n',
    "a list in CSV": f'question\n"{NUMBERS}"\n',
    "JSON Lines": json.dumps({"puzzle": PUZZLE, "solution": ANSWER}),
    "lists in JSON Lines": json.dumps({"question": NUMBERS}),
}


def read(text, **options):
    return read_questions(text, RULES, 81, "it", **options)


def error_of(text):
    with pytest.raises(ValueError, match=r"^it") as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize("name", FORMATS)
def test_a_puzzle_is_read_from(name):
    (tokens,) = read(FORMATS[name]).tokens
    assert sudoku.decode(tokens) == PUZZLE.replace("0", ".")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("".join(f"Grid {number:02}\n{GRID}\n" for number in (1, 2, 3)), [2, 12, 22]),
        (str([NUMBERS, NUMBERS]), [1, 1]),
        (f"{NUMBERS}\n{NUMBERS}", [1, 2]),
        (f"quizzes,solutions\r\n{PUZZLE},{ANSWER}\r\n\r\n{PUZZLE},{ANSWER}", [2, 4]),
        (f'question\n"{GRID}"\n{PUZZLE}\n', [2, 11]),
        (f"{GRID}\n{PUZZLE}\n{GRID}", [1, 10, 11]),
    ],
)
def test_each_of_several_puzzles_has_the_line_on_which_it_begins(text, lines):
    assert read(text).lines == lines


SHORT_ROW = "\n".join([*ROWS[:4], ROWS[4][:-1], *ROWS[5:]])
DEEP = "[" * 5_000 + "]" * 5_000


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        (f"{GRID}\n{SHORT_ROW}\n{GRID}", 14, "8 cells; expected 81, or 9 in each of 9 rows"),
        ("\n\n".join([GRID, "\n".join(ROWS[1:]), GRID]), 11, "the grid that begins here has 8 of"),
        (f"{GRID}\n{ROWS[0]}\n\n{GRID}", 1, "the grid that begins here has 10 rows; expected 9"),
        (f"{PUZZLE}\n{DEEP}\n", 2, "lists are nested more than 6 deep; expected rows"),
        ('{"question": ' + DEEP + "}", 1, "maximum recursion depth exceeded"),
        ("[[5,3", 1, "the list that begins here has no end"),
        ("Easy\n", 1, "the line 'Easy' is not a puzzle: 4 cells"),
        (f"{PUZZLE} {PUZZLE}", 1, "two puzzles on one line; expected one"),
        (f"{PUZZLE[:5]}q{PUZZLE[6:]}", 1, "character 'q' in cell 6"),
        (f'[{{"puzzle": "{PUZZLE}"}}]', 1, "a JSON array of objects; expected one object per line"),
        ('{"board": 1}', 1, "the object has no question"),
        (f'puzzle\n"{PUZZLE}\n' + f"{PUZZLE}\n" * 2_000, 2, "field larger than field limit"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_line(text, line, fault):
    assert error_of(text).startswith(f"it, line {line}: {fault}")


def test_an_empty_text_is_an_error():
    assert error_of("\n\n") == "it has no puzzle"


BAD = f"{PUZZLE}\n55{PUZZLE[2:]}\n{PUZZLE[:-1]}\n{PUZZLE}\n"


def test_all_bad_puzzles_are_reported_at_once():
    first, *others = error_of(BAD).splitlines()
    assert first == "it has 2 bad puzzles; skip_bad leaves them out"
    assert [re.match(r"it, line (\d)", line)[1] for line in others] == ["2", "3"]


def test_bad_puzzles_can_be_skipped_and_are_listed(caplog):
    assert read(BAD, skip_bad=True).lines == [1, 4]
    assert "it: skipped 2 bad puzzles" in caplog.text
    assert "it, line 2: the puzzle has 5 more than once in row 1" in caplog.text


def test_a_text_with_bad_puzzles_only_is_an_error_although_they_are_skipped():
    with pytest.raises(ValueError, match="it has no valid puzzle"):
        read(PUZZLE[1:], skip_bad=True)
