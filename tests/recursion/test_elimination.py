"""Elimination, guesses and the candidates of a question."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgar_jax.models import CandidateOutputs
from cgar_jax.recursion import EliminationRule
from cgar_jax.recursion.elimination import branch, candidates_of, eliminate, pin

SHAPE = (8, 4, 3)  # batch, cells, symbols


def random_case(seed):
    keys = jax.random.split(jax.random.key(seed), 5)
    candidates = jax.random.bernoulli(keys[0], 0.7, SHAPE)
    fixed = jax.random.bernoulli(keys[1], 0.3, SHAPE[:2])
    outputs = CandidateOutputs(
        4 * jax.random.normal(keys[2], SHAPE),
        jax.random.normal(keys[3], SHAPE),
        2 * jax.random.normal(keys[4], SHAPE[:1]),
    )
    return candidates, fixed, outputs


def test_a_given_cell_has_one_candidate_and_a_blank_one_all():
    found = candidates_of(jnp.array([1, 2, 4]), vocab_size=5, num_symbols=3)
    np.testing.assert_array_equal(found, [[1, 1, 1], [1, 0, 0], [0, 0, 1]])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_candidates_only_shrink_and_fixed_cells_stay(seed):
    candidates, fixed, outputs = random_case(seed)
    found = eliminate(candidates, fixed, outputs, EliminationRule())
    assert not (found.candidates & ~candidates).any()
    np.testing.assert_array_equal(found.candidates[fixed], candidates[fixed])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_solved_and_conflict_exclude_each_other(seed):
    found = eliminate(*random_case(seed), EliminationRule())
    assert not (found.solved & found.conflict).any()


def test_a_cell_without_candidates_is_a_conflict():
    candidates = jnp.ones((1, 2, 2), bool).at[0, 1].set(False)
    calm = CandidateOutputs(jnp.ones((1, 2, 2)), jnp.zeros((1, 2, 2)), jnp.full(1, -9.0))
    found = eliminate(candidates, jnp.zeros((1, 2), bool), calm, EliminationRule())
    assert found.conflict.all()


def test_each_row_may_have_its_own_threshold():
    outputs = CandidateOutputs(jnp.zeros((2, 1, 1)), jnp.zeros((2, 1, 1)), jnp.zeros(2))
    ones, fixed = jnp.ones((2, 1, 1), bool), jnp.zeros((2, 1), bool)
    found = eliminate(ones, fixed, outputs, EliminationRule(), jnp.array([0.4, 0.6]))
    assert found.candidates.reshape(-1).tolist() == [True, False]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_a_guess_leaves_one_of_the_candidates_of_one_open_cell(seed):
    candidates, _, outputs = random_case(seed)
    where = jnp.arange(SHAPE[0]) % 2 == 0
    found = branch(candidates, outputs, EliminationRule(), jax.random.key(seed), where)
    changed = (found != candidates).any(-1)
    opens = (candidates.sum(-1) > 1).any(-1)
    np.testing.assert_array_equal(changed.sum(-1), where & opens)
    assert not (found & ~candidates).any()
    np.testing.assert_array_equal(found.sum(-1)[changed], 1)


def test_pinning_changes_only_the_rows_asked_for():
    candidates = jnp.ones((2, 3, 2), bool)
    found = pin(candidates, jnp.array([1, 1]), jnp.array([0, 0]), jnp.array([True, False]))
    assert found[0, 1].tolist() == [True, False]
    assert (found.sum() == 11).all()


@pytest.mark.parametrize("setting", ["threshold", "conflict_threshold", "temperature"])
def test_a_setting_out_of_range_is_an_error(setting):
    with pytest.raises(ValueError, match=setting):
        EliminationRule(**{setting: -1.0})
