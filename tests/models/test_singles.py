"""Naked and hidden singles: sound, complete within a loop, and nothing more."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax.data import rules_of
from cgar_jax.models import CandidateModel, Singles
from cgar_jax.recursion.elimination import run_pass

RULES = rules_of("sudoku")
SOLUTION = np.array([int(digit) - 1 for digit in "1234341221434321"])


@functools.cache
def singles():
    return Singles(vocab_size=6, sequence_length=16, num_symbols=4, relations=RULES.relations(16))


def left_after(candidates, loops):
    """Returns the candidates of one puzzle that are left after some loops."""
    model, batch = singles(), jnp.asarray(candidates)[None]
    states = jnp.zeros((1, *model.state_shape))
    outputs = run_pass(model, {}, batch, states, loops, lambda outputs: ())[2]
    return np.asarray((outputs.keep_logits[0] > 0) & candidates)


def all_but(**cells):
    """Returns all candidates, but only the given symbols in cells such as `c5=[0]`."""
    candidates = np.ones((16, 4), bool)
    for name, symbols in cells.items():
        candidates[int(name[1:])] = np.isin(np.arange(4), symbols)
    return candidates


def test_it_fulfills_the_contract():
    assert isinstance(singles(), CandidateModel)


def test_it_has_no_parameters():
    variables = singles().init(jax.random.key(0), jnp.zeros((1, 16), int), jnp.zeros(1, int))
    assert not jax.tree.leaves(variables)


def test_a_naked_single_is_removed_from_its_row_column_and_box():
    left = left_after(all_but(c0=[2]), loops=1)
    peers = [1, 2, 3, 4, 5, 8, 12]
    assert np.flatnonzero(~left[:, 2]).tolist() == peers
    assert left[:, [0, 1, 3]].sum() == 3 * 15


def test_a_symbol_with_one_place_in_a_row_loses_its_rivals():
    candidates = all_but(c1=[0, 1, 2], c2=[0, 1, 2], c3=[0, 1, 2])
    left = left_after(candidates, loops=1)
    assert left[0].tolist() == [False, False, False, True]


def test_two_equal_singles_of_a_row_leave_each_other_empty():
    assert not left_after(all_but(c0=[2], c3=[2]), loops=1)[[0, 3]].any()


@given(st.lists(st.booleans(), min_size=16, max_size=16))
def test_a_right_candidate_is_never_removed(known):
    candidates = np.where(np.array(known)[:, None], SOLUTION[:, None] == np.arange(4), True)
    assert left_after(candidates, loops=8)[np.arange(16), SOLUTION].all()


@given(st.lists(st.booleans(), min_size=64, max_size=64))
def test_more_loops_never_bring_a_candidate_back(possible):
    candidates = np.array(possible).reshape(16, 4)
    assert not (left_after(candidates, loops=3) & ~left_after(candidates, loops=2)).any()


def test_logits_of_candidates_that_are_left_are_equal():
    model = singles()
    states = jnp.zeros((1, *model.state_shape))
    outputs = run_pass(model, {}, all_but(c0=[2])[None], states, 2, lambda outputs: ())[2]
    assert len(np.unique(outputs.digit_logits)) == 2
