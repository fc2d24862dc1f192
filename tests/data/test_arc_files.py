"""Bad files and settings of ARC raise errors that name the problem, or bad puzzles are skipped."""

import logging

import pytest

from cgar_jax import data
from cgar_jax.data.families.arc import read_set
from tests.data.arc_puzzles import config, write_json

GOOD = {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}]}


def with_grid(grid):
    return GOOD | {"train": [{"input": grid, "output": [[2]]}]}


BAD = {
    "color out of range": (with_grid([[1, 10]]), r"color 10 in row 1, column 2.*0 to 9"),
    "color that is no number": (with_grid([["red"]]), r"color 'red' in row 1, column 1"),
    "ragged grid": (with_grid([[1, 2], [3]]), "ragged: rows of 1 and of 2 cells"),
    "grid too wide": (with_grid([[0] * 31]), "is 1x31; expected 1x1 to 30x30"),
    "empty row": (with_grid([[]]), "is 1x0; expected 1x1 to 30x30"),
    "grid that is no list": (with_grid(7), "is not a list of rows"),
    "no demonstrations": (GOOD | {"train": []}, "no demonstration or no test"),
    "no test": ({"train": GOOD["train"]}, "'test'"),
    "too many tests": (GOOD | {"test": [{"input": [[3]]}] * 2}, "1 solutions in .*expected 2"),
}


@pytest.mark.parametrize("problem", BAD)
def test_a_bad_puzzle_is_an_error_with_file_puzzle_and_reason(tmp_path, problem):
    challenge, reason = BAD[problem]
    write_json(tmp_path, "x", {"good": GOOD, "bad": challenge}, {"good": [[[4]]], "bad": [[[4]]]})
    with pytest.raises(ValueError, match=f"arc-agi_x_challenges.json, puzzle 'bad': .*{reason}"):
        read_set(tmp_path, "x")


def test_a_puzzle_without_solution_is_an_error_with_its_name(tmp_path):
    write_json(tmp_path, "x", {"good": GOOD, "bad": GOOD}, {"good": [[[4]]]})
    with pytest.raises(ValueError, match=r"puzzle 'bad': no solution in .*solutions.json"):
        read_set(tmp_path, "x")


def test_a_bad_solution_is_an_error_with_its_place(tmp_path):
    write_json(tmp_path, "x", {"bad": GOOD}, {"bad": [[[4, -1]]]})
    with pytest.raises(ValueError, match="the output of test 1 has color -1"):
        read_set(tmp_path, "x")


def test_all_bad_puzzles_are_reported_at_once(tmp_path):
    write_json(tmp_path, "x", {"one": GOOD, "two": GOOD}, {})
    with pytest.raises(ValueError, match=r"(?s)2 bad puzzles.*puzzle 'one'.*puzzle 'two'"):
        read_set(tmp_path, "x")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_with_a_byte_order_mark_is_read(tmp_path, encoding):
    write_json(tmp_path, "x", {"good": GOOD}, {"good": [[[4]]]})
    path = tmp_path / "arc-agi_x_challenges.json"
    path.write_text(path.read_text(), encoding=encoding)
    assert [puzzle.name for puzzle in read_set(tmp_path, "x")] == ["good"]


@pytest.mark.parametrize(
    ("depth", "message"), [(100_000, "lists are nested too deeply"), (400, "has color \\[\\[\\[")]
)
def test_deeply_nested_lists_are_a_short_error(tmp_path, depth, message):
    write_json(tmp_path, "x", {"bad": with_grid(["GRID"])}, {"bad": [[[4]]]})
    path = tmp_path / "arc-agi_x_challenges.json"
    deep = "[" * depth + "]" * depth
    path.write_text(path.read_text().replace('"GRID"', deep))
    with pytest.raises(ValueError, match=message) as caught:
        read_set(tmp_path, "x")
    assert len(str(caught.value)) < 500


def test_skip_bad_skips_bad_puzzles_and_lists_them(tmp_path, caplog):
    write_json(tmp_path, "x", {"good": GOOD, "bad": with_grid([[10]])}, {"good": [[[4]]]})
    with caplog.at_level(logging.WARNING):
        assert [p.name for p in read_set(tmp_path, "x", skip_bad=True)] == ["good"]
    assert "skipped 1 bad puzzles" in caplog.text
    assert "puzzle 'bad': no solution" in caplog.text


def test_a_missing_set_is_an_error_that_lists_the_sets_in_the_folder(folder):
    with pytest.raises(
        FileNotFoundError, match=r"arc-agi_tr_challenges.json; sets in .*: evaluation, train"
    ):
        data.load(config(folder, sets=("tr", "evaluation")))


def test_a_file_that_is_not_json_is_an_error(folder):
    (folder / "arc-agi_training_solutions.json").write_text("{")
    with pytest.raises(ValueError, match=r"training_solutions.json: .*expected JSON"):
        data.load(config(folder))


def test_a_name_that_occurs_twice_in_a_file_is_an_error(folder):
    path = folder / "arc-agi_training_challenges.json"
    path.write_text(path.read_text().replace('"train1"', '"train0"'))
    with pytest.raises(
        ValueError, match=r"training_challenges.json: the key 'train0' occurs twice"
    ):
        data.load(config(folder))


def test_a_puzzle_with_two_answers_to_one_question_is_an_error(tmp_path):
    pairs = [{"input": [[1]], "output": [[2]]}, {"input": [[1]], "output": [[4]]}]
    write_json(tmp_path, "x", {"bad": GOOD | {"train": pairs}}, {"bad": [[[4]]]})
    with pytest.raises(
        ValueError, match=r"puzzle 'bad': demonstration 1 and demonstration 2 have the same"
    ):
        read_set(tmp_path, "x")


def test_a_test_that_contradicts_a_demonstration_is_an_error(tmp_path):
    write_json(tmp_path, "x", {"bad": GOOD | {"test": [{"input": [[1]]}]}}, {"bad": [[[4]]]})
    with pytest.raises(ValueError, match="demonstration 1 and test 1 have the same input"):
        read_set(tmp_path, "x")


def test_a_name_that_is_no_text_is_an_error(tmp_path):
    write_json(tmp_path, "x", {"\ud800": GOOD}, {"\ud800": [[[4]]]})
    with pytest.raises(ValueError, match=r"puzzle '\\ud800': its name is not valid Unicode"):
        read_set(tmp_path, "x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": ""}, "data.source is not set"),
        ({"sets": ("training", "evaluation", "training")}, "sets=.* names 'training' twice"),
        ({"sets": ("a/b", "evaluation")}, "sets=.* has 'a/b'; expected names without '/'"),
        ({"test_set": "test"}, "test_set='test' is not one of sets"),
        ({"size": 31}, r"size is 31, but it must be an integer in \[1, 30\]"),
        ({"size": 1}, "no puzzle of 'evaluation' .* fits size=1"),
        ({"num_validation": 9}, "num_validation=9, but .* only 4 puzzles"),
        ({"num_variants": -1}, "num_variants is -1, but it must be an integer of at least 0"),
    ],
)
def test_settings_out_of_range_are_errors(folder, changes, message):
    with pytest.raises(ValueError, match=message):
        data.load(config(folder, **changes))


def test_arc_has_no_csv_files():
    with pytest.raises(ValueError, match="no CSV files of 'arc'"):
        data.read_examples("puzzles.csv", "arc")


def test_arc_has_no_rules():
    with pytest.raises(ValueError, match="'arc' can only answer the puzzles"):
        data.rules_of("arc")
