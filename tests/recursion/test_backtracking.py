"""What a chain does after a pass: guess, go back, or start again."""

import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.recursion import SearchRule
from cgar_jax.recursion.backtracking import begin, go_on

RULE = SearchRule(thresholds=(0.1,), max_guesses=3, patience=10, rests=True)
EVERYTHING = np.ones((1, 4, 3), bool)
NO, YES = jnp.array([False]), jnp.array([True])


def chains(rule=RULE, seed=0):
    return begin(jnp.asarray(EVERYTHING), np.array([seed]), rule)


def after(state, left=None, dead=NO, rule=RULE):
    """Returns the chains after a pass that left some candidates, by default all of them."""
    left = state.candidates if left is None else jnp.asarray(left)
    return go_on(state, left, jnp.zeros(left.shape).at[..., 1].set(5.0), dead, rule)


def guessed_cell(state):
    (cell,) = np.flatnonzero(np.asarray(state.candidates)[0].sum(-1) == 1)
    return cell


def test_a_pass_that_eliminates_something_is_not_followed_by_a_guess():
    left = EVERYTHING.copy()
    left[0, 0, 0] = False
    state, guesses = after(chains(), left)
    assert not guesses.any()
    assert (state.candidates == left).all()


def test_a_pass_that_eliminates_nothing_is_followed_by_the_most_probable_symbol():
    state, guesses = after(chains())
    assert guesses.all()
    assert np.flatnonzero(state.candidates[0, guessed_cell(state)]) == [1]


def test_without_waiting_for_rest_every_pass_is_followed_by_a_guess():
    left = EVERYTHING.copy()
    left[0, 0, 0] = False
    _, guesses = after(chains(), left, rule=SearchRule(max_guesses=3))
    assert guesses.all()


def test_the_guess_is_made_in_a_cell_with_the_fewest_candidates():
    left = EVERYTHING.copy()
    left[0, 2, 0] = left[0, 3, 1:] = False
    state, _ = after(chains()._replace(candidates=jnp.asarray(left)))
    assert np.asarray(state.candidates)[0].sum(-1).tolist() == [3, 3, 1, 1]


def test_a_guess_that_fails_is_excluded_from_its_cell():
    state, _ = after(chains())
    cell = guessed_cell(state)
    back, guesses = after(state, dead=YES)
    expected = EVERYTHING.copy()
    expected[0, cell, 1] = False
    assert (back.candidates == expected).all()
    assert not guesses.any()
    assert back.num_guesses == 0
    assert back.dead_ends == 1
    assert back.restarts == 0


def test_a_second_failure_goes_back_to_the_first_guess():
    first, _ = after(chains())
    second, _ = after(first)
    back, _ = after(after(second, dead=YES)[0], dead=YES)
    expected = EVERYTHING.copy()
    expected[0, guessed_cell(first), 1] = False
    assert (back.candidates == expected).all()


def test_a_contradiction_without_a_guess_starts_again():
    left = EVERYTHING.copy()
    left[0, 0] = False
    state, _ = after(chains(), left, dead=YES)
    assert (state.candidates == EVERYTHING).all()
    assert state.restarts == 1


def test_a_chain_out_of_patience_starts_again():
    state = chains()._replace(passes=jnp.array([9]))
    state, guesses = after(state)
    assert not guesses.any()
    assert state.restarts == 1
    assert state.passes_at_start == 10


def test_patience_grows_when_all_thresholds_had_their_turn():
    rule = SearchRule(thresholds=(0.1, 0.05), patience=10)
    state = chains(rule)._replace(passes=jnp.array([9]), restarts=jnp.array([2]))
    assert after(state, rule=rule)[0].restarts == 2


def test_a_chain_with_threshold_0_has_no_end_to_its_patience():
    rule = SearchRule(thresholds=(0.0,), patience=10, max_guesses=3)
    state = chains(rule)._replace(passes=jnp.array([1_000]))
    assert after(state, rule=rule)[0].restarts == 0


@pytest.mark.parametrize(("thresholds", "symbols"), [((0.0,), {1}), ((0.1,), {0, 1, 2})])
def test_guesses_are_drawn_after_a_restart_unless_the_search_is_complete(thresholds, symbols):
    rule = SearchRule(thresholds=thresholds, temperature=100.0)
    found = set()
    for seed in range(20):
        state, _ = after(chains(rule, seed)._replace(restarts=jnp.array([1])), rule=rule)
        found.add(int(np.flatnonzero(state.candidates[0, guessed_cell(state)])[0]))
    assert found == symbols


def test_each_restart_takes_the_next_threshold():
    rule = SearchRule(thresholds=(0.1, 0.05))
    np.testing.assert_allclose(rule.threshold(jnp.arange(3)), [0.1, 0.05, 0.1])


def test_without_guesses_to_take_back_every_contradiction_starts_again():
    rule = SearchRule(max_guesses=0)
    state, guesses = after(chains(rule), rule=rule)
    assert guesses.all()
    state, _ = after(state, dead=YES, rule=rule)
    assert (state.candidates == EVERYTHING).all()
    assert state.restarts == 1


def test_a_guess_beyond_the_last_one_kept_starts_again_when_it_fails():
    rule = SearchRule(max_guesses=1)
    state, _ = after(after(chains(rule), rule=rule)[0], rule=rule)
    assert state.num_guesses == 2
    assert after(state, dead=YES, rule=rule)[0].restarts == 1


def test_different_seeds_guess_in_different_cells():
    cells = {guessed_cell(after(chains(seed=seed))[0]) for seed in range(20)}
    assert len(cells) > 1


@pytest.mark.parametrize("setting", [{"max_guesses": -1}, {"patience": 0}])
def test_a_setting_out_of_range_is_an_error(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        SearchRule(**setting)
