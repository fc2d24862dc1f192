"""The weighting by the standardized loss."""

import functools

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import contrib
from tests.weighting.updating import mean_over_valid, weights_of, weights_over_updates

# Multiples of 1/16 make the tests' arithmetic exact in float32, so that ties remain ties.
some_losses = hnp.arrays(np.float32, 8, elements=st.integers(0, 160).map(lambda n: n / 16))
some_mask = hnp.arrays(bool, 8)
progressive = contrib.progressive_hardness_weighting
every_stat = pytest.mark.parametrize("statistics", ["batch", "ema"])


@functools.partial(jax.jit, static_argnums=0)
def progressive_weights(statistics, losses, hardness, where=True, clip=3.0):
    return weights_of(progressive(hardness, statistics, clip), losses, where=where)


def test_progressive_weights_worked_by_hand():
    # Two losses lie one standard deviation above and below their mean.
    found = progressive_weights("batch", np.array([5.0, 1.0]), 0.7)
    np.testing.assert_allclose(found, 2 / (1 + np.exp([-1.4, 1.4])), rtol=1e-6)


@every_stat
@given(some_losses, some_mask, st.floats(-2, 2))
def test_weights_have_mean_one_over_valid_losses(statistics, losses, where, hardness):
    weights = np.asarray(progressive_weights(statistics, losses, hardness, where))
    np.testing.assert_allclose(mean_over_valid(weights, where), 1, rtol=1e-5)


@given(some_losses, st.floats(-2, 2))
def test_weights_rise_with_the_loss_if_hardness_is_positive_and_fall_if_negative(losses, c):
    weights = np.asarray(progressive_weights("batch", losses, c))
    rises = np.diff(weights[np.argsort(losses)])
    assert (np.sign(c) * rises >= -1e-6).all()


def test_nonzero_hardness_separates_different_losses():
    losses = np.array([1.0, 2.0, 4.0])
    assert (np.diff(progressive_weights("batch", losses, 0.5)) > 0.1).all()
    assert (np.diff(progressive_weights("batch", losses, -0.5)) < -0.1).all()


@given(some_losses, st.sampled_from([0.5, 3, 16]), st.integers(-9, 9))
def test_weights_are_invariant_to_scale_and_shift_of_the_losses(losses, a, b):
    found = progressive_weights("batch", np.float32(a) * losses + np.float32(b), 0.8)
    np.testing.assert_allclose(found, progressive_weights("batch", losses, 0.8), rtol=1e-3)


@given(some_losses, st.floats(-2, 2), st.floats(-0.1, 0.1))
def test_hardness_and_clip_bound_the_change_of_weights(losses, hardness, change):
    before = progressive_weights("batch", losses, hardness, clip=2.0)
    after = progressive_weights("batch", losses, hardness + change, clip=2.0)
    assert (np.abs(np.log(after / before)) <= 2 * 2.0 * abs(change) + 1e-4).all()


@every_stat
@given(st.floats(-1e6, 1e6, width=32, allow_subnormal=False))
def test_equal_losses_leave_the_weights_unchanged(statistics, loss):
    found = progressive_weights(statistics, np.full(7, loss, np.float32), 1.5)
    np.testing.assert_array_equal(found, 1)


def test_the_clip_bounds_the_weight_of_an_outlier():
    losses = np.append(np.linspace(0, 1, 63), 1e6).astype(np.float32)
    weights = np.asarray(progressive_weights("batch", losses, 1.0, clip=2.0))
    # Relative to the outlier, all other losses coincide, 1 / sqrt(63) deviations below the mean.
    np.testing.assert_allclose(weights[-1] / weights[0], np.exp(2 + 63**-0.5), rtol=1e-4)


def test_the_hardness_follows_a_schedule_of_the_updates():
    losses = np.array([1.0, 2.0, 5.0])
    schedule = optax.linear_schedule(-1.0, 1.0, 4)
    found = weights_over_updates(progressive(schedule), [losses] * 6)
    expected = [progressive_weights("batch", losses, c) for c in (-1.0, -0.5, 0.0, 0.5, 1.0, 1.0)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_moving_average_begins_with_the_first_batch():
    losses = np.array([1.0, 2.0, 5.0])
    found = progressive_weights("ema", losses, 0.8)
    np.testing.assert_allclose(found, progressive_weights("batch", losses, 0.8), rtol=1e-5)


def test_with_decay_zero_the_moving_average_is_that_of_the_batch():
    batches = np.random.default_rng(0).uniform(0, 3, (4, 6)).astype(np.float32)
    found = weights_over_updates(progressive(0.8, "ema", decay=0.0), batches)
    expected = [progressive_weights("batch", losses, 0.8) for losses in batches]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_moving_average_includes_all_batches_with_decaying_weights():
    batches = np.random.default_rng(0).uniform(0, 3, (4, 6)) * [[1], [2], [5], [0.1]]
    found = weights_over_updates(progressive(0.8, "ema", np.inf, decay=0.7), np.float32(batches))[
        -1
    ]
    shares = 0.7 ** np.arange(4)[::-1]
    shares = np.repeat(shares / shares.sum() / 6, 6)
    mean = (shares * batches.ravel()).sum()
    deviation = np.sqrt((shares * (batches.ravel() - mean) ** 2).sum())
    powers = np.exp(0.8 * (batches[-1] - mean) / deviation)
    np.testing.assert_allclose(found, powers / powers.mean(), rtol=1e-4)


def test_losses_are_clipped_around_the_remembered_mean():
    easy, hard = np.array([0.0, 1.0, 2.0]), np.array([100.0, 101.0, 102.0])
    _, last = weights_over_updates(progressive(0.8, "ema", 0.5, decay=0.9), [easy, hard])
    np.testing.assert_allclose(last, 1, rtol=1e-6)  # All are clipped to 0.5 deviations above.


def test_an_all_masked_batch_is_not_remembered():
    losses, other = np.array([1.0, 2.0, 5.0]), np.array([7.0, 7.0, 9.0])
    transform = progressive(0.8, "ema", 0.5, decay=0.9)

    @jax.jit
    def update(state, losses, where):
        return transform.update(jnp.ones(3), state, losses, where=where)[1]

    first = update(transform.init(losses), losses, np.ones(3, bool))
    second = update(first, other, np.zeros(3, bool))
    np.testing.assert_array_equal(second.terms, first.terms)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"hardness": float("nan")}, "hardness is nan"),
        ({"hardness": 1.0, "statistics": "emma"}, "did you mean 'ema'"),
        ({"hardness": 1.0, "clip": 0}, r"clip is 0, but it must be in \(0, inf\]"),
        ({"hardness": 1.0, "decay": 1}, r"decay is 1, but it must be in \[0, 1\)"),
    ],
)
def test_wrong_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        progressive(**setting)
