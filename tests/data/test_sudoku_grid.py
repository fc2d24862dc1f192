"""Geometry, tokens and text of Sudoku grids."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax.data import sudoku
from cgar_jax.data.families.sudoku import Grid

VALID_6X6 = "123456456123214365365214531642642531"


@given(
    st.sampled_from([4, 6, 9, 12, 16]).flatmap(
        lambda n: st.lists(st.integers(1, n + 1), min_size=n * n, max_size=n * n)
    )
)
def test_encode_undoes_decode(tokens):
    np.testing.assert_array_equal(sudoku.encode(sudoku.decode(np.array(tokens))), tokens)


def test_tokens_are_the_published_ones():
    assert sudoku.encode("1.30" + "." * 11 + "4").tolist() == [2, 1, 4, 1] + [1] * 11 + [5]


def test_padding_is_decoded_to_a_question_mark():
    assert sudoku.decode(np.array([0, 1, 2, 10])) == "?.19"


@pytest.mark.parametrize(("size", "vocab_size"), [(4, 6), (6, 8), (9, 11), (16, 18)])
def test_the_vocabulary_has_padding_blank_and_digits(size, vocab_size):
    assert Grid.of_size(size).vocab_size == vocab_size


def test_digits_after_nine_are_letters_of_either_case():
    question = "AbG" + "." * 253
    assert sudoku.encode(question)[:3].tolist() == [11, 12, 17]
    assert sudoku.decode(sudoku.encode(question))[:3] == "ABG"


def test_a_letter_in_a_small_grid_is_an_error():
    with pytest.raises(ValueError, match=r"'A' in cell 1; expected a digit 1\.\.9, or"):
        sudoku.encode("A" + "." * 80)


def test_a_letter_that_a_large_grid_does_not_have_is_an_error():
    with pytest.raises(ValueError, match=r"'D' in cell 1; expected a digit 1\.\.9, A\.\.C, or"):
        sudoku.encode("D" + "." * 143)


def test_a_length_that_no_grid_has_is_an_error():
    with pytest.raises(ValueError, match=r"25 cells do not form a Sudoku; expected 16 .* 36 .* 81"):
        sudoku.encode("." * 25)


def test_a_size_that_no_grid_has_is_an_error():
    with pytest.raises(ValueError, match=re.escape("size 5; use one of [4, 6, 9, 12, 16]")):
        Grid.of_size(5)


@pytest.mark.parametrize("character", ["7", "q", "é", "?"])
def test_a_character_that_is_no_digit_of_the_grid_is_an_error(character):
    with pytest.raises(
        ValueError, match=rf"'{re.escape(character)}' in cell 3; expected a digit 1..6"
    ):
        sudoku.encode(".." + character + "." * 33)


def test_boxes_of_6x6_have_two_rows_of_three_cells():
    assert Grid.of_size(6).units[12].tolist() == [0, 1, 2, 6, 7, 8]


@pytest.mark.parametrize("size", [4, 6, 9, 12, 16])
def test_every_cell_is_in_one_row_one_column_and_one_box(size):
    units = Grid.of_size(size).units.reshape(3, -1)
    for kind in units:
        assert sorted(kind.tolist()) == list(range(size * size))


def test_a_valid_answer_breaks_no_unit():
    assert not Grid.of_size(6).broken_units(sudoku.encode(VALID_6X6)[None]).any()


def test_a_swap_within_a_row_breaks_the_columns_and_boxes_it_reaches():
    answer = sudoku.encode(VALID_6X6)
    answer[[0, 5]] = answer[[5, 0]]
    grid = Grid.of_size(6)
    broken = np.flatnonzero(grid.broken_units(answer[None])[0])
    assert [grid.unit_name(unit) for unit in broken] == ["column 1", "column 6", "box 1", "box 2"]
