"""CSV files of Sudokus: what is read, written and refused."""

import os
import pathlib
import re

import numpy as np
import pytest

from cgar_jax.data import read_examples, rules_of, write_csv
from cgar_jax.data.csv_files import read_csv
from cgar_jax.data.families.sudoku import decode, encode

RULES = rules_of("sudoku")
HEADER = "source,question,answer,rating"
QUESTION = "1.3...456.23" + "." * 24
ANSWER = "123456456123214365365214531642642531"
GOOD = f"mine,{QUESTION},{ANSWER},7"
REAL = pathlib.Path(os.environ.get("CGAR_DATA", pathlib.Path(__file__).parents[3] / "shared/data"))


def file_of(folder, *lines):
    path = folder / "puzzles.csv"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def error_of(folder, *lines):
    path = file_of(folder, *lines)
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        read_csv(path, RULES)
    return str(caught.value)


def changed(text, cell, character):
    return text[:cell] + character + text[cell + 1 :]


def test_a_line_becomes_tokens_rating_and_source(tmp_path):
    puzzles = read_csv(file_of(tmp_path, HEADER, GOOD), RULES)
    assert (decode(puzzles["inputs"][0]), decode(puzzles["labels"][0])) == (QUESTION, ANSWER)
    assert (puzzles["difficulty"].tolist(), puzzles["source"].tolist()) == ([7.0], [b"mine"])


def test_a_zero_is_a_blank(tmp_path):
    path = file_of(tmp_path, HEADER, GOOD.replace(".", "0"))
    np.testing.assert_array_equal(read_csv(path, RULES)["inputs"][0], encode(QUESTION))


def test_written_puzzles_are_read_back(tmp_path):
    written = {
        "inputs": np.stack([encode(QUESTION)] * 2),
        "labels": np.stack([encode(ANSWER)] * 2),
        "difficulty": np.array([3, 0.5], np.float32),
        "source": np.array([b"one", "zw\u00f6lf, quoted".encode()]),
    }
    write_csv(tmp_path / "puzzles.csv", written, decode)
    read = read_csv(tmp_path / "puzzles.csv", RULES)
    assert {name: values.tolist() for name, values in read.items()} == {
        name: values.tolist() for name, values in written.items()
    }


def test_read_examples_returns_the_columns_of_a_dataset(tmp_path):
    examples = read_examples(file_of(tmp_path, HEADER, GOOD, GOOD), "sudoku")
    assert {name: (values.shape, values.dtype.name) for name, values in examples.items()} == {
        "inputs": ((2, 36), "int8"),
        "labels": ((2, 36), "int8"),
        "puzzle_identifiers": ((2,), "int32"),
        "difficulty": ((2,), "float32"),
    }


def test_a_missing_file_is_an_error_with_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*none\.csv; expected a file of puzzles"):
        read_csv(tmp_path / "none.csv", RULES)


def test_an_empty_file_is_an_error(tmp_path):
    assert "line 1: there is no header; expected 'source," in error_of(tmp_path)


def test_a_file_without_puzzles_is_an_error(tmp_path):
    assert "has a header but no puzzles" in error_of(tmp_path, HEADER)


def test_another_header_is_an_error(tmp_path):
    message = error_of(tmp_path, "board,filled", f"{QUESTION},{ANSWER}")
    assert "line 1: the header is 'board,filled'; expected 'source,question," in message


def test_a_file_that_is_no_text_is_an_error(tmp_path):
    (tmp_path / "puzzles.csv").write_bytes(HEADER.encode() + b"\n\xff\xfe")
    with pytest.raises(ValueError, match=r"puzzles\.csv, near line \d: .* expected text in UTF-8"):
        read_csv(tmp_path / "puzzles.csv", RULES)


CONTRADICTION = changed(QUESTION, 1, "5")  # a second 5 in column 2
OTHER_CLUE = changed(QUESTION, 35, "2")  # the answer has 1 there
BROKEN = changed(changed(ANSWER, 24, "3"), 25, "5")  # swaps two cells of row 5, within one box


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"mine,{QUESTION},{ANSWER}", "the line has 3 fields; expected 4"),
        (f"mine,{QUESTION}.,{ANSWER},7", "the question has 37 characters; expected 36"),
        (f"mine,{QUESTION},{ANSWER[1:]},7", "the answer has 35 characters; expected 36"),
        (
            f"mine,{changed(QUESTION, 4, 'q')},{ANSWER},7",
            "character 'q' in cell 5 of the question; expected a digit 1..6, or '.' or '0'",
        ),
        (
            f"mine,{QUESTION},{changed(ANSWER, 4, '.')},7",
            "character '.' in cell 5 of the answer; expected a digit 1..6",
        ),
        (
            f"mine,{QUESTION},{changed(ANSWER, 4, '7')},7",
            "character '7' in cell 5 of the answer; expected a digit 1..6",
        ),
        (
            f"mine,{CONTRADICTION},{ANSWER},7",
            "the question has 5 more than once in column 2",
        ),
        (
            f"mine,{OTHER_CLUE},{ANSWER},7",
            "the answer has 1 in cell 36, where the question has the clue 2",
        ),
        (
            f"mine,{QUESTION},{BROKEN},7",
            "the answer has 142336 in column 1; expected every digit 1..6 once",
        ),
        (f"mine,{QUESTION},{ANSWER},hard", "the rating is 'hard'; expected a number"),
        (f"mine,{QUESTION},{ANSWER},", "the rating is ''; expected a number"),
        (f"mine,{QUESTION},{ANSWER},nan", "the rating is 'nan'; expected a number"),
    ],
)
def test_a_bad_line_is_an_error_with_line_number_and_reason(tmp_path, line, message):
    assert f", line 3: {message}" in error_of(tmp_path, HEADER, GOOD, line, GOOD)


def test_a_first_puzzle_of_unknown_size_is_an_error(tmp_path):
    message = error_of(tmp_path, HEADER, "mine,123,123,0")
    assert "line 2: wrong length of the question: 3 cells do not form a Sudoku" in message


def test_a_bad_line_far_down_has_the_right_number(tmp_path):
    lines = [GOOD] * 10_000
    lines[8765] = f"mine,{QUESTION},{ANSWER},?"
    assert "line 8767: the rating is '?'" in error_of(tmp_path, HEADER, *lines)


@pytest.mark.skipif(not (REAL / "sudoku").is_dir(), reason=f"no real puzzles in {REAL}/sudoku")
def test_real_puzzles_are_written_exactly_as_they_were_read(tmp_path):
    source = REAL / "sudoku" / "test.csv"
    write_csv(tmp_path / "copy.csv", read_csv(source, RULES), decode)
    assert (tmp_path / "copy.csv").read_text() == source.read_text()
