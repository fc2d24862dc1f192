"""The states in which fresh puzzles of candidate elimination begin."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax._core.relations import incidence
from cgar_jax.data import rules_of
from cgar_jax.data.families.sudoku.generation import generate
from cgar_jax.data.families.sudoku.grid import Grid
from cgar_jax.data.rules import columns_of
from cgar_jax.models import Singles
from cgar_jax.recursion.elimination import has_conflict
from cgar_jax.training.mixture import Mixture

RELATIONS = rules_of("sudoku").relations(16)
NUM = 256


@functools.cache
def puzzles():
    """Returns tokens and solutions of a few 4x4 puzzles, repeated."""
    columns = columns_of(generate(Grid.of_size(4), 8, seed=0, num_clues=4, num_workers=1))
    repeat = lambda column: np.tile(column.astype(np.int32), (NUM // 8, 1))  # noqa: E731
    return repeat(columns["inputs"]), repeat(columns["labels"]) - 2


def begin(**shares):
    model = Singles(6, 16, 4, RELATIONS)
    found = jax.jit(Mixture(**shares).begin, static_argnums=0)(model, *puzzles(), jax.random.key(0))
    return [np.asarray(array) for array in found]


def conflicts(candidates):
    return np.asarray(has_conflict(jnp.asarray(candidates), puzzles()[1]))


def test_the_share_of_thinking_slots_is_the_one_asked_for():
    assert begin(thinking=0.25)[2].mean() == pytest.approx(0.25, abs=0.08)


def test_thinking_slots_that_are_not_misled_contain_the_solution():
    assert not conflicts(begin(thinking=1, misled=0)[0]).any()


def test_every_misled_slot_excludes_the_solution():
    assert conflicts(begin(thinking=1, hinted=0, misled=1)[0]).all()


def test_a_misled_slot_has_one_wrong_symbol_that_no_other_cell_excludes():
    candidates, fixed, _ = begin(thinking=1, hinted=0, misled=1)
    symbols = np.where(fixed, candidates.argmax(-1), -1)
    assert ((symbols != puzzles()[1]) & fixed).sum(1).tolist() == [1] * NUM
    groups = incidence(RELATIONS, 16)
    counts = np.einsum("gs,bsv->bgv", groups, symbols[..., None] == np.arange(4))
    assert counts.max() == 1


@pytest.mark.parametrize("max_hints", [1, 4])
def test_hinted_slots_have_one_to_max_hints_right_symbols_more(max_hints):
    _, fixed, _ = begin(thinking=1, hinted=1, misled=0, max_hints=max_hints)
    more = fixed.sum(1) - (puzzles()[0] >= 2).sum(1)
    assert (more.min(), more.max()) == (1, max_hints)


def test_plain_slots_are_the_question():
    candidates, fixed, _ = begin(thinking=0, plain=1)
    given = puzzles()[0] >= 2
    np.testing.assert_array_equal(fixed, given)
    assert candidates[~given].all()


def test_searching_slots_without_errors_contain_the_solution():
    assert not conflicts(begin(thinking=0, plain=0, wrong=0)[0]).any()


def test_some_searching_slots_with_errors_exclude_it():
    assert conflicts(begin(thinking=0, plain=0, wrong=1, wrong_cells=1)[0]).mean() > 0.5


@pytest.mark.parametrize("share", ["thinking", "hinted", "misled", "plain", "wrong", "wrong_cells"])
def test_a_share_above_1_is_an_error(share):
    with pytest.raises(ValueError, match=share):
        Mixture(**{share: 1.5})
