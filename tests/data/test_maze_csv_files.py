"""CSV files of mazes: what is read, refused and skipped."""

import re

import numpy as np
import pytest

from cgar_jax import data
from cgar_jax.data import maze
from cgar_jax.data.csv_files import read_csv

RULES = data.rules_of("maze")
HEADER = "source,question,answer,rating"
QUESTION = "#####" + "#S  #" + "#  ##" + "#  G#" + "#####"
ANSWER = "#####" + "#S  #" + "#o ##" + "#ooG#" + "#####"
GOOD = f"mine,{QUESTION},{ANSWER},4"

pytestmark = pytest.mark.usefixtures("cache")


def file_of(folder, *lines):
    path = folder / "mazes.csv"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_a_line_becomes_tokens_rating_and_source(tmp_path):
    mazes = read_csv(file_of(tmp_path, HEADER, GOOD), RULES)
    assert maze.decode(mazes["inputs"][0]) == QUESTION
    assert maze.decode(mazes["labels"][0]) == ANSWER
    assert (mazes["difficulty"].tolist(), mazes["source"].tolist()) == ([4.0], [b"mine"])


def test_written_mazes_are_read_back(tmp_path):
    puzzles = maze.generate(30, 3, seed=0, num_workers=1)
    written = {
        "inputs": np.stack([p.question for p in puzzles]),
        "labels": np.stack([p.answer for p in puzzles]),
        "difficulty": np.array([p.rating for p in puzzles], np.float32),
        "source": np.array([b"generated"] * 3),
    }
    data.write_csv(tmp_path / "mazes.csv", written, maze.decode)
    read = read_csv(tmp_path / "mazes.csv", RULES)
    for name, values in written.items():
        np.testing.assert_array_equal(read[name], values)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"mine,{QUESTION.replace('S', ' ')},{ANSWER},4", "the question has no S; expected"),
        (f"mine,{QUESTION.replace('S ', 'SS')},{ANSWER},4", "the question has 2 S; expected"),
        (f"mine,{QUESTION.replace('G', ' ')},{ANSWER},4", "the question has no G; expected"),
        (
            f"mine,{QUESTION.replace('  G', ' #G')},{ANSWER},4",
            "the question has a G that cannot be reached from S",
        ),
        (f"mine,{QUESTION[:-1]},{ANSWER},4", "the question has 24 characters; expected 25"),
        (f"mine,{QUESTION},{ANSWER}#,4", "the answer has 26 characters; expected 25"),
        (f"mine,{ANSWER},{ANSWER},4", "character 'o' in cell 12 of the question; expected one of"),
        (f"mine,{QUESTION},{ANSWER.replace('ooG', 'o G')},4", "the answer marks no connected path"),
        (f"mine,{QUESTION},{ANSWER.replace('#o ##', '#oo##')},4", "the answer marks 4 cells; a sh"),
        (f"mine,{QUESTION},{ANSWER},?", "the rating is '?'; expected a number"),
    ],
)
def test_a_bad_line_is_an_error_with_line_number_and_reason(tmp_path, line, message):
    path = file_of(tmp_path, HEADER, GOOD, line, GOOD)
    with pytest.raises(ValueError, match=re.escape(f"{path}, line 3: {message}")):
        read_csv(path, RULES)


def test_a_first_puzzle_that_is_not_square_is_an_error(tmp_path):
    message = "line 2: wrong length of the question: 3 cells do not form a maze"
    with pytest.raises(ValueError, match=message):
        read_csv(file_of(tmp_path, HEADER, "mine,S G,S G,0"), RULES)


BAD = (f"mine,{QUESTION},{ANSWER},?", "too,few")


def test_bad_lines_can_be_skipped(tmp_path):
    path = file_of(tmp_path, HEADER, BAD[1], GOOD, *BAD, GOOD, GOOD)
    mazes = read_csv(path, RULES, skip_bad=True)
    assert mazes["inputs"].shape == (3, 25)


def test_skipped_lines_are_counted_and_listed(tmp_path, caplog):
    path = file_of(tmp_path, HEADER, GOOD, *BAD, GOOD)
    read_csv(path, RULES, skip_bad=True)
    for expected in (
        f"{path}: skipped 2 bad lines",
        f"{path}, line 3: the rating",
        f"{path}, line 4: the line",
    ):
        assert expected in caplog.text


def test_a_file_with_only_bad_lines_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="has a header but no valid puzzles"):
        read_csv(file_of(tmp_path, HEADER, *BAD), RULES, skip_bad=True)


def config(**changes):
    settings = {"name": "maze", "size": 9, "num_train": 12, "num_validation": 3, "num_test": 4}
    return settings | changes


def test_a_data_set_of_mazes_has_the_sizes_that_a_model_needs():
    dataset = data.load(config(min_difficulty=8))
    assert dataset.train["inputs"].shape == (12, 81)
    assert (dataset.vocab_size, dataset.sequence_length) == (6, 81)
    assert dataset.train["difficulty"].min() >= 8


def test_no_two_splits_share_the_walls_of_a_maze():
    dataset = data.load(config(size=7))
    splits = (dataset.train, dataset.validation, dataset.test)
    classes = [
        RULES.split_class((row.astype(np.uint8), row))
        for split in splits
        for row in split["inputs"]
    ]
    assert len(set(classes)) == len(classes) == 19


def test_a_data_set_of_mazes_can_check_answers():
    dataset = data.load(config())
    train, accepts = dataset.train, dataset.accepts
    assert accepts(train["inputs"], train["labels"]).all()
    assert not accepts(train["inputs"], train["inputs"])[train["difficulty"] > 1].any()


def test_keys_of_another_family_are_an_error():
    with pytest.raises(ValueError, match="unknown key of the data config 'num_clues'"):
        data.load(config(num_clues=3))
