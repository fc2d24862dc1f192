"""`personal_loss_sampling`: frequencies, masks and several draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from cgar_jax import sampling

USERS, POOL = 6, 5
KEY = jax.random.key(0)

pools = hnp.arrays(np.float32, (USERS, POOL), elements=st.integers(0, 8))
masks = hnp.arrays(bool, (USERS, POOL))
seeds = st.integers(0, 999)

sample = jax.jit(sampling.personal_loss_sampling, static_argnames="num_draws")


def draw(key, losses, temperature=0.1, where=True, num_draws=None):
    """Draws with a function that is compiled once for each number of users and draws."""
    where = np.broadcast_to(where, np.shape(losses))
    temperature = np.float32(temperature)
    settings = {"temperature": temperature, "where": where, "num_draws": num_draws}
    return np.asarray(sample(key, np.float32(losses), **settings))


def draw_often(losses, where=True, **settings):
    """Draws many times for one pool, as many users that share the pool."""
    losses, where = (np.tile(np.broadcast_to(x, POOL), (20_000, 1)) for x in (losses, where))
    return draw(KEY, losses, where=where, **settings)


def assert_frequencies(counts, probabilities):
    assert stats.chisquare(counts, np.sum(counts) * probabilities).pvalue > 1e-3


def test_candidates_are_drawn_with_the_probabilities_of_the_softmax():
    losses = np.array([0.1, 0.3, 0.2, 0.5, 0.15])
    counts = np.bincount(draw_often(losses, temperature=0.2), minlength=5)
    assert_frequencies(counts, special.softmax(-losses / 0.2))


def test_an_infinite_temperature_draws_valid_candidates_uniformly():
    where = np.array([True, False, True, True, False])
    drawn = draw_often([0.0, 1.0, 2.0, 3.0, 4.0], temperature=np.inf, where=where)
    counts = np.bincount(drawn, minlength=5)
    assert not counts[~where].any()
    assert_frequencies(counts[where], np.full(3, 1 / 3))


@given(pools, masks, seeds)
def test_a_tiny_temperature_takes_the_lowest_valid_loss(losses, where, seed):
    losses = 100 + losses + np.arange(POOL, dtype=np.float32) / 8
    drawn = draw(jax.random.key(seed), losses, temperature=1e-37, where=where)
    lowest = np.argmin(np.where(where, losses, np.inf), axis=1)
    np.testing.assert_array_equal(drawn, np.where(where.any(1), lowest, -1))


@given(pools, hnp.arrays(np.float32, (USERS, 1), elements=st.integers(-9, 9)), seeds)
def test_a_constant_added_to_the_losses_of_a_user_changes_nothing(losses, constants, seed):
    drawn = [draw(jax.random.key(seed), shifted) for shifted in (losses, losses + constants)]
    np.testing.assert_array_equal(*drawn)


@given(pools, masks, seeds)
def test_masked_candidates_are_never_drawn(losses, where, seed):
    drawn = draw(jax.random.key(seed), losses, temperature=5.0, where=where)
    assert np.all(where[np.arange(USERS), drawn] | (drawn < 0))
    np.testing.assert_array_equal(drawn >= 0, where.any(1))


@given(pools, masks, seeds)
def test_losses_of_masked_candidates_do_not_change_the_draw(losses, where, seed):
    hidden = [np.where(where, losses, garbage) for garbage in (np.nan, -50.0)]
    drawn = [draw(jax.random.key(seed), h, num_draws=POOL, where=where) for h in hidden]
    np.testing.assert_array_equal(*drawn)


@given(hnp.arrays(np.float32, (USERS, 1), elements=st.floats(-9, 9, width=32)), seeds)
def test_the_only_candidate_of_a_pool_is_always_drawn(losses, seed):
    np.testing.assert_array_equal(draw(jax.random.key(seed), losses), np.zeros(USERS))


@given(pools, masks, seeds)
def test_several_draws_are_distinct_and_end_with_minus_one(losses, where, seed):
    drawn = draw(jax.random.key(seed), losses, temperature=2.0, num_draws=POOL, where=where)
    for row, valid in zip(drawn, where, strict=True):
        some = valid.sum()
        np.testing.assert_array_equal(np.sort(row[:some]), np.flatnonzero(valid))
        np.testing.assert_array_equal(row[some:], -1)


@given(pools, seeds)
def test_the_first_of_several_draws_is_the_single_draw(losses, seed):
    key = jax.random.key(seed)
    np.testing.assert_array_equal(draw(key, losses, num_draws=POOL)[:, 0], draw(key, losses))


def test_the_second_draw_is_without_replacement():
    losses = np.array([0.0, 0.5, 1.0, 9.0, 9.0])
    p = special.softmax(-losses[:3])
    drawn = draw_often(losses, temperature=1.0, where=np.arange(POOL) < 3, num_draws=2)
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    counts = [np.sum((drawn == pair).all(1)) for pair in pairs]
    assert_frequencies(counts, np.array([p[i] * p[j] / (1 - p[i]) for i, j in pairs]))


def test_users_draw_independently():
    first, second = draw_often(np.linspace(0, 1, POOL), temperature=1.0).reshape(2, -1)
    table = np.histogram2d(first, second, bins=POOL)[0]
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_a_mask_may_have_one_entry_per_user():
    where = np.arange(USERS) != 2
    drawn = sampling.personal_loss_sampling(KEY, np.zeros((USERS, POOL)), where=where)
    np.testing.assert_array_equal(np.asarray(drawn) >= 0, where)


def test_the_temperature_may_follow_a_warm_up():
    losses = np.array([0.0, 9.0, 9.0, 9.0, 9.0])
    early, late = (
        draw_often(losses, temperature=jnp.where(jnp.int32(epoch) < 5, jnp.inf, 0.1))
        for epoch in (4, 5)
    )
    assert_frequencies(np.bincount(early, minlength=POOL), np.full(POOL, 1 / POOL))
    assert not late.any()


def test_a_candidate_of_infinite_loss_ranks_last_among_the_valid_ones():
    losses, where = np.array([np.inf, 1.0, 2.0, 3.0, 4.0]), np.arange(POOL) < 3
    drawn = draw_often(losses, where=where, num_draws=POOL)
    np.testing.assert_array_equal(np.unique(drawn[:, 2:], axis=0), [[0, -1, -1]])


def test_a_batch_without_users_has_no_draws():
    assert draw(KEY, np.zeros((0, POOL))).shape == (0,)
    assert draw(KEY, np.zeros((0, POOL)), num_draws=2).shape == (0, 2)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"num_draws": 0}, "num_draws is 0"),
        ({"num_draws": 6}, "num_draws is 6"),
        ({"where": np.ones(5, bool)}, r"'where' has shape \(5,\)"),
    ],
)
def test_an_invalid_setting_raises_an_error(settings, match):
    with pytest.raises(ValueError, match=match):
        sampling.personal_loss_sampling(KEY, np.zeros((USERS, POOL)), **settings)


def test_losses_that_are_not_a_matrix_raise_an_error():
    with pytest.raises(ValueError, match=r"pool_losses has shape \(5,\)"):
        sampling.personal_loss_sampling(KEY, np.zeros(5))
