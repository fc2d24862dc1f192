"""The weighting by the place of a loss among the losses of the batch."""

import functools

import hypothesis.extra.numpy as hnp
import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import weighting
from tests.weighting.updating import mean_over_valid, weights_of, weights_over_updates

STRATEGIES = ["linupper", "quadratic", "extremes", "upper", "uniform"]
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)

# Multiples of 1/16 make the tests' arithmetic exact in float32, so that ties remain ties.
some_losses = hnp.arrays(np.float32, 8, elements=st.integers(0, 160).map(lambda n: n / 16))
some_mask = hnp.arrays(bool, 8)


def loss_based(strategy="linupper", **settings):
    return weighting.loss_based_weighting(strategy, burn_in_steps=0, **settings)


@functools.partial(jax.jit, static_argnums=0)
def loss_based_weights(strategy, losses, where=True, temperature=0.5, delta=1.0):
    return weights_of(
        loss_based(strategy, temperature=temperature, delta=delta), losses, where=where
    )


def test_linupper_weights_worked_by_hand():
    # The scores at the places -1, 0 and 1 are 0, 1 and 1.
    expected = 3 * np.exp([0, 1, 1]) / np.exp([0, 1, 1]).sum()
    found = loss_based_weights("linupper", np.array([1.0, 2.0, 3.0]), temperature=1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_quadratic_weights_worked_by_hand():
    # The scores at the places -1/2 and 1/2 are 3/4 for any delta.
    scores = np.array([0, 0.75, 0.75, 0])
    found = loss_based_weights("quadratic", np.array([0.0, 1.0, 3.0, 4.0]), delta=3.0)
    np.testing.assert_allclose(found, 4 * np.exp(2 * scores) / np.exp(2 * scores).sum(), rtol=1e-6)


@every_strategy
@given(some_losses, some_mask)
def test_weights_have_mean_one_over_valid_losses(strategy, losses, where):
    weights = np.asarray(loss_based_weights(strategy, losses, where))
    np.testing.assert_allclose(mean_over_valid(weights, where), 1, rtol=1e-5)


@every_strategy
@given(some_losses, st.sampled_from([0.5, 3, 16]), st.integers(-9, 9))
def test_weights_are_invariant_to_scale_and_shift_of_the_losses(strategy, losses, a, b):
    found = loss_based_weights(strategy, np.float32(a) * losses + np.float32(b))
    np.testing.assert_allclose(found, loss_based_weights(strategy, losses), rtol=1e-4)


@every_strategy
def test_an_infinite_temperature_leaves_the_weights_unchanged(strategy):
    found = loss_based_weights(strategy, np.arange(5.0), temperature=np.inf)
    np.testing.assert_array_equal(found, 1)


@every_strategy
@given(st.floats(-1e6, 1e6, width=32, allow_subnormal=False))
def test_equal_losses_leave_the_weights_unchanged(strategy, loss):
    found = loss_based_weights(strategy, np.full(7, loss, np.float32))
    np.testing.assert_array_equal(found, 1)


@given(some_losses)
def test_the_uniform_strategy_gives_equal_weights(losses):
    np.testing.assert_array_equal(loss_based_weights("uniform", losses), 1)


@pytest.mark.parametrize("strategy", ["linupper", "upper"])
@given(some_losses)
def test_a_larger_loss_never_weighs_less(strategy, losses):
    weights = np.asarray(loss_based_weights(strategy, losses))
    assert (np.diff(weights[np.argsort(losses)]) >= -1e-6).all()


@given(some_losses)
def test_linupper_gives_equal_weights_above_the_middle(losses):
    weights = np.asarray(loss_based_weights("linupper", losses))
    upper = weights[losses >= (losses.max() + losses.min()) / 2]
    np.testing.assert_allclose(upper, weights.max(), rtol=1e-5)


@pytest.mark.parametrize(("strategy", "peak"), [("quadratic", 1), ("extremes", -1)])
@given(some_losses)
def test_quadratic_and_extremes_are_symmetric_around_the_middle(strategy, peak, losses):
    weights = np.asarray(loss_based_weights(strategy, losses))
    from_middle = np.abs(losses - (losses.max() + losses.min()) / 2)
    order = np.argsort(from_middle)
    assert (peak * np.diff(weights[order]) <= 1e-5).all()
    alike = np.diff(from_middle[order]) == 0
    np.testing.assert_allclose(weights[order][1:][alike], weights[order][:-1][alike], rtol=1e-4)


def test_burn_in_leaves_the_weights_unchanged_for_its_number_of_updates():
    losses = np.arange(4, dtype=np.float32)
    transform = weighting.loss_based_weighting(burn_in_steps=2)
    found = weights_over_updates(transform, [losses] * 4)
    np.testing.assert_array_equal(found[:2], 1)
    np.testing.assert_array_equal(found[2:], [weights_of(loss_based(), losses)] * 2)
    assert not np.allclose(found[2], 1)


def test_by_default_the_losses_of_all_examples_and_steps_are_compared():
    losses = np.random.default_rng(0).uniform(size=(4, 3)).astype(np.float32)
    expected = weights_of(loss_based(), losses.ravel()).reshape(4, 3)
    np.testing.assert_allclose(weights_of(loss_based(), losses), expected, rtol=1e-6)


@pytest.mark.parametrize(("over", "axis"), [("steps", 0), ("batch", 1)])
def test_losses_can_be_compared_within_an_example_or_within_a_step(over, axis):
    losses = np.random.default_rng(0).uniform(size=(4, 3)).astype(np.float32)
    where = np.array([[True, True, True], [True, False, False], [True, True, False], [False] * 3])
    one_by_one = jax.vmap(
        lambda losses, where: weights_of(loss_based(), losses, where=where), axis, axis
    )
    found = weights_of(loss_based(over=over), losses, where=where)
    np.testing.assert_allclose(found, one_by_one(losses, where), rtol=1e-6)


def test_an_outlier_beyond_the_quantile_does_not_change_the_weights():
    losses = np.arange(11, dtype=np.float32)  # The 0.9 quantile is 9.
    outlier = np.where(losses == 10, 1e6, losses)
    clipped = loss_based(clip_quantile=0.9)
    np.testing.assert_array_equal(weights_of(clipped, outlier), weights_of(clipped, losses))
    assert not np.allclose(weights_of(loss_based(), outlier), weights_of(loss_based(), losses))


def test_losses_beyond_the_quantiles_are_clipped_to_them():
    losses = np.array([-50.0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 60])
    clipped = weights_of(loss_based("upper", clip_quantile=0.9), losses)
    np.testing.assert_allclose(
        clipped, weights_of(loss_based("upper"), losses.clip(1, 9)), rtol=1e-6
    )


def test_masked_losses_are_excluded_from_the_quantiles():
    losses = np.append(np.arange(11, dtype=np.float32), [500, 600])
    where = losses < 100
    transform = loss_based(clip_quantile=0.9)
    found = weights_of(transform, losses, where=where)
    np.testing.assert_allclose(found[:11], weights_of(transform, losses[:11]), rtol=1e-6)
    assert np.isfinite(weights_of(transform, losses, where=losses < 0)).all()


def test_the_quantile_may_be_traced():
    losses = np.append(np.arange(10, dtype=np.float32), 1e6)
    scheduled = optax.inject_hyperparams(weighting.loss_based_weighting)(
        burn_in_steps=0, clip_quantile=0.9
    )
    found = jax.jit(lambda losses: weights_of(scheduled, losses))(losses)
    np.testing.assert_allclose(found, weights_of(loss_based(clip_quantile=0.9), losses), rtol=1e-5)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"strategy": "linuper"}, "did you mean 'linupper'"),
        ({"over": "step"}, "did you mean 'steps'"),
        ({"temperature": 0.0}, r"temperature is 0.0, but it must be in \(0, inf\]"),
        ({"delta": 0.0}, r"delta is 0.0, but it must be in \(0, inf\)"),
        ({"burn_in_steps": -1}, "burn_in_steps is -1"),
        ({"clip_quantile": 0.5}, r"clip_quantile is 0.5, but it must be in \(0.5, 1\]"),
        (
            {"clip_quantile": 0.9, "axis_name": "data"},
            "quantiles over a named axis",
        ),
    ],
)
def test_wrong_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        weighting.loss_based_weighting(**setting)


def test_comparing_steps_requires_an_axis_of_steps():
    with pytest.raises(ValueError, match=r"over='steps'.*shape \(4,\).*\[batch, steps\]"):
        weights_of(loss_based(over="steps"), np.ones(4))
