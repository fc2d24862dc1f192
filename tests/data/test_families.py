"""Conformance: what holds for every puzzle family with rules.

A new family needs one entry in `SMALL`: settings that generate small puzzles quickly.
"""

import dataclasses
import re

import jax
import numpy as np
import pytest

from cgar_jax import data
from cgar_jax.data import FAMILIES, read_questions, write_csv
from cgar_jax.data.augmentation import augmentation_for
from cgar_jax.data.csv_files import COLUMNS, read_csv
from tests.data.small_sudokus import columns_of

SMALL = {
    "maze": ("maze", {"size": 9, "loops": 0.2, "min_difficulty": 2}),
    "sudoku": ("sudoku", {"size": 6, "num_clues": 20}),
    "sudoku, 16x16": ("sudoku", {"size": 16, "num_clues": 120}),
}


@pytest.fixture(params=SMALL)
def source(request):
    family, settings = SMALL[request.param]
    return FAMILIES[family](**settings)


@pytest.fixture
def puzzles(source):
    return source.generate(range(6))


@pytest.fixture
def columns(puzzles):
    return columns_of(puzzles)


def test_every_family_with_rules_is_tested_here():
    tested = {family for family, _ in SMALL.values()}
    assert {name for name, family in FAMILIES.items() if family.rules is not None} == tested


def test_families_are_registered_under_their_names():
    assert all(family.name == name for name, family in FAMILIES.items())


# Generation


def test_generated_puzzles_obey_the_rules(source, columns):
    rules, questions, answers = source.rules, columns["inputs"], columns["labels"]
    assert rules.question_faults(questions) == [""] * 6
    assert rules.answer_faults(questions, answers) == [""] * 6
    assert rules.accepts(questions, answers).tolist() == [True] * 6
    assert not rules.wrong_cells(questions, answers).any()


def test_generated_puzzles_have_one_solution_if_the_family_counts_them(source, puzzles):
    assert {source.rules.num_solutions(puzzle.question) for puzzle in puzzles} <= {None, 1}


def test_generated_puzzles_have_the_expected_size_and_vocabulary(source, columns):
    expected = source.expected()
    assert columns["inputs"].shape[1] == source.num_cells == expected.sequence_length
    assert max(columns["inputs"].max(), columns["labels"].max()) < expected.vocab_size


def test_the_answer_differs_from_the_question_only_in_blank_cells(source, columns):
    changed = columns["inputs"] != columns["labels"]
    assert changed.any()
    assert (columns["inputs"][changed] == source.rules.blank).all()


def test_a_puzzle_depends_only_on_seed_and_index(source, puzzles):
    for one, other in zip(source.generate(range(2, 4)), puzzles[2:4], strict=True):
        np.testing.assert_array_equal(one.question, other.question)
        np.testing.assert_array_equal(one.answer, other.answer)
        assert one.rating == other.rating


def test_another_seed_gives_other_puzzles(source, puzzles):
    others = dataclasses.replace(source, seed=1).generate(range(6))
    assert not {p.question.tobytes() for p in puzzles} & {p.question.tobytes() for p in others}


def test_the_same_seed_gives_the_same_splits(source):
    small = {"num_train": 5, "num_validation": 2, "num_test": 2}
    first, second = (dataclasses.replace(source, **small).make_splits() for _ in range(2))
    for split, examples in first.items():
        for name, values in examples.items():
            np.testing.assert_array_equal(values, second[split][name])


def test_no_two_splits_share_a_class(source):
    small = {"num_train": 20, "num_validation": 5, "num_test": 5}
    splits = dataclasses.replace(source, **small).make_splits()
    keys = [
        source.rules.split_class(pair)
        for examples in splits.values()
        for pair in zip(examples["inputs"], examples["labels"], strict=True)
    ]
    assert len(set(keys)) == len(keys) == 30


# Rules


def test_an_unsolved_question_is_not_accepted_and_has_a_fault(source, columns):
    rules, questions = source.rules, columns["inputs"]
    faults, accepted = (
        rules.answer_faults(questions, questions),
        rules.accepts(questions, questions),
    )
    assert all(faults)
    assert not accepted.any()
    assert rules.wrong_cells(questions, questions).any(axis=1).all()


def test_an_answer_to_another_question_is_not_accepted(source, columns):
    rules, questions = source.rules, columns["inputs"]
    assert not rules.accepts(questions, np.roll(columns["labels"], 1, axis=0)).any()


def test_any_tokens_can_be_judged_and_written(source, columns):
    rules, questions = source.rules, columns["inputs"]
    vocab_size = rules.vocab_size(source.num_cells)
    answers = np.random.default_rng(0).integers(0, vocab_size, questions.shape)
    assert all(rules.answer_faults(questions, answers))
    assert not rules.accepts(questions, answers).any()
    assert {len(rules.to_text(answer)) for answer in answers} == {source.num_cells}


def test_no_puzzles_have_no_faults(source, columns):
    rules, none = source.rules, columns["inputs"][:0]
    assert rules.question_faults(none) == rules.answer_faults(none, none) == []
    assert rules.accepts(none, none).shape == (0,)
    assert rules.accepts(none, none).dtype == bool
    assert rules.wrong_cells(none, none).shape == none.shape


def test_a_size_that_no_grid_has_is_an_error(source):
    with pytest.raises(ValueError, match=r"7 cells"):
        source.rules.vocab_size(7)


# Text and files


def test_text_is_parsed_back(source, columns):
    rules, to_text = source.rules, source.rules.to_text
    for name, parse in {"inputs": rules.parse_questions, "labels": rules.parse_answers}.items():
        np.testing.assert_array_equal(parse([to_text(row) for row in columns[name]]), columns[name])


def test_drawn_questions_are_read_back(source, columns):
    drawn = "\n\n".join(map(source.rules.draw, columns["inputs"]))
    questions = read_questions(drawn, source.rules, source.num_cells)
    np.testing.assert_array_equal(questions.tokens, columns["inputs"])


def test_a_file_is_read_back(source, columns, tmp_path):
    columns["source"] = np.array([f"puzzle {index}".encode() for index in range(6)])
    write_csv(tmp_path / "puzzles.csv", columns, source.rules.to_text)
    read = read_csv(tmp_path / "puzzles.csv", source.rules)
    assert read.keys() == columns.keys()
    for name, values in columns.items():
        np.testing.assert_array_equal(read[name], values)


def test_generated_puzzles_are_written_as_they_are(source, tmp_path):
    puzzles = source.generate(range(2))
    write_csv(tmp_path / "puzzles.csv", puzzles, source.rules.to_text)
    read = read_csv(tmp_path / "puzzles.csv", source.rules)
    np.testing.assert_array_equal(read["inputs"], [puzzle.question for puzzle in puzzles])
    np.testing.assert_array_equal(read["labels"], [puzzle.answer for puzzle in puzzles])
    np.testing.assert_array_equal(read["difficulty"], [puzzle.rating for puzzle in puzzles])


def too_short(question, answer, rating):
    return [question[:-1], answer, rating], "the question has .* characters; expected"


def answer_too_long(question, answer, rating):
    return [question, answer + answer[0], rating], "the answer has .* characters; expected"


def stray_character(question, answer, rating):
    return ["@" + question[1:], answer, rating], "character '@' in cell 1 of the question"


def stray_character_in_answer(question, answer, rating):
    return [question, answer[:-1] + "@", rating], "character '@' in cell .* of the answer"


def wrong_answer(question, answer, rating):
    return [question, answer[::-1], rating], "the answer "


def bad_rating(question, answer, rating):
    return [question, answer, "hard"], "the rating is 'hard'; expected a number"


def missing_field(question, answer, rating):
    return [question, answer], "the line has 3 fields; expected 4"


DAMAGES = (
    too_short,
    answer_too_long,
    stray_character,
    stray_character_in_answer,
    wrong_answer,
    bad_rating,
    missing_field,
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_malformed_line_is_an_error_with_file_and_line_number(source, puzzles, damage, tmp_path):
    path = tmp_path / "puzzles.csv"
    lines = [
        [source.rules.to_text(puzzle.question), source.rules.to_text(puzzle.answer), "1"]
        for puzzle in puzzles
    ]
    lines[3], message = damage(*lines[3])
    text = "".join(",".join(["here", *line]) + "\n" for line in lines)
    path.write_text(",".join(COLUMNS) + "\n" + text)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}, line 5: {message}"):
        read_csv(path, source.rules)
    assert len(read_csv(path, source.rules, skip_bad=True)["inputs"]) == 5


# Augmentation and data sets


def test_augmentation_keeps_answers_right_and_classes_equal(source, columns):
    rules = source.rules
    augment = augmentation_for(rules.symmetries(source.num_cells))
    batch = {name: columns[name].astype(np.int32) for name in ("inputs", "labels")}
    drawn = {name: np.asarray(v) for name, v in augment(jax.random.key(0), batch).items()}
    assert (drawn["inputs"] != batch["inputs"]).any()
    assert rules.accepts(drawn["inputs"], drawn["labels"]).all()

    def classes(examples):
        pairs = zip(examples["inputs"], examples["labels"], strict=True)
        return [rules.split_class(tuple(part.astype(np.uint8) for part in pair)) for pair in pairs]

    assert classes(drawn) == classes(batch)


def test_near_duplicates_have_equal_signatures(source, columns):
    rules = source.rules
    augment = augmentation_for(rules.symmetries(source.num_cells))
    drawn = augment(jax.random.key(1), {name: columns[name] for name in ("inputs", "labels")})
    signatures = rules.split_signatures(*(np.asarray(drawn[n]) for n in ("inputs", "labels")))
    assert signatures == rules.split_signatures(columns["inputs"], columns["labels"])


def test_a_data_set_loads_with_its_rules_and_its_augmentation(source, tmp_path):
    config = dataclasses.asdict(source) | {"name": source.name, "num_train": 4, "num_validation": 2}
    dataset = data.load(config | {"cache_dir": str(tmp_path)})
    assert dataset.accepts(dataset.train["inputs"], dataset.train["labels"]).all()
    assert dataset.augment == augmentation_for(source.rules.symmetries(source.num_cells))
