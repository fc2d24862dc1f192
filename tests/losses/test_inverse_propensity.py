import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgar_jax import losses

SIZE = 6
likely = st.floats(0.05, 1)
costs = hnp.arrays(np.float32, SIZE, elements=st.floats(0, 4, width=32, allow_subnormal=False))
propensities = hnp.arrays(np.float64, SIZE, elements=st.floats(0, 1))
clicks = hnp.arrays(bool, SIZE)

estimate = jax.jit(losses.clipped_inverse_propensity_loss, static_argnames="nonnegative")


@given(costs, costs, clicks, st.floats(0, 1), st.floats(0, 2))
def test_with_propensity_one_the_estimate_is_the_ordinary_loss(
    positive, negative, observed, clip, weight
):
    expected = np.where(observed, positive, weight * negative)
    found = estimate(positive, negative, observed, np.ones(SIZE), clip=clip, negative_weight=weight)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@given(costs, costs, clicks, propensities)
def test_with_clip_one_the_estimate_is_the_ordinary_loss(positive, negative, observed, propensity):
    found = estimate(positive, negative, observed, propensity, clip=1.0)
    np.testing.assert_allclose(found, np.where(observed, positive, negative), rtol=1e-5, atol=1e-6)


def moments(propensity, relevance, clip, weight, positive=2.0, negative=0.5):
    """Computes mean and variance over clicks that have probability propensity * relevance."""
    both = estimate(
        np.full(2, positive),
        np.full(2, negative),
        np.array([True, False]),
        np.full(2, propensity),
        clip=clip,
        negative_weight=weight,
    )
    clicked, not_clicked = map(float, both)
    rate = propensity * relevance
    mean = rate * clicked + (1 - rate) * not_clicked
    return mean, rate * (1 - rate) * (clicked - not_clicked) ** 2


@given(likely, likely, st.floats(0, 2))
def test_without_clipping_the_mean_over_clicks_is_the_loss_under_full_observation(
    propensity, relevance, weight
):
    mean, _ = moments(propensity, relevance, 0.0, weight)
    expected = relevance * 2.0 + weight * (1 - relevance) * 0.5
    np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-4)


@given(likely, likely, likely, likely)
def test_a_larger_clip_never_raises_the_variance(propensity, relevance, one, other):
    small, large = sorted((one, other))
    variance = [moments(propensity, relevance, clip, 1.0)[1] for clip in (small, large)]
    assert variance[1] <= variance[0] * (1 + 1e-4) + 1e-6


@given(likely, likely, likely)
def test_a_clip_underestimates_the_positives_by_a_known_factor(propensity, relevance, clip):
    mean, _ = moments(propensity, relevance, clip, 1.0)
    counted = relevance * propensity / max(propensity, clip)
    np.testing.assert_allclose(mean, counted * 2.0 + (1 - counted) * 0.5, rtol=1e-4)


@given(costs, costs, propensities, st.floats(0, 1), st.floats(0, 2))
def test_an_unobserved_example_has_the_weighted_negative_loss(
    positive, negative, propensity, clip, weight
):
    found = estimate(
        positive, negative, np.zeros(SIZE, bool), propensity, clip=clip, negative_weight=weight
    )
    np.testing.assert_allclose(found, weight * negative, rtol=1e-5, atol=1e-6)


@given(hnp.arrays(np.float64, SIZE, elements=st.floats(-3, 3)), clicks, propensities)
def test_with_squared_errors_the_sum_is_the_released_loss(scores, observed, propensity):
    predicted = 1 / (1 + np.exp(-scores))
    kept = np.clip(propensity, 0.1, 1.0)
    terms = observed / kept * (1 - predicted) ** 2 + 0.5 * (1 - observed / kept) * predicted**2
    norm = np.sum(observed + 0.5 * (1 - observed))
    found = estimate(
        (1 - predicted) ** 2, predicted**2, observed, propensity, clip=0.1, negative_weight=0.5
    )
    np.testing.assert_allclose(found.sum() / norm, terms.sum() / norm, rtol=1e-4, atol=1e-4)


def test_an_observed_positive_can_have_a_negative_loss():
    arguments = np.ones(1), np.full(1, 9.0), np.ones(1), np.full(1, 0.5)
    np.testing.assert_allclose(estimate(*arguments, clip=0.0), -7)
    np.testing.assert_array_equal(estimate(*arguments, clip=0.0, nonnegative=True), 0)


@given(costs, costs, clicks, propensities)
def test_nonnegative_raises_only_negative_losses_to_zero(positive, negative, observed, propensity):
    arguments = positive, negative, observed, propensity
    found = estimate(*arguments, clip=0.1, nonnegative=True)
    expected = np.maximum(estimate(*arguments, clip=0.1), 0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_propensity_of_zero_gives_a_finite_loss():
    found = estimate(np.ones(1), np.zeros(1), np.ones(1), np.zeros(1), clip=0.0)
    np.testing.assert_allclose(found, 1e6, rtol=1e-5)


def test_the_propensity_has_gradient_zero():
    def total(propensity):
        ones = jnp.ones(2)
        return estimate(ones, 2 * ones, ones, propensity, clip=0.1).sum()

    np.testing.assert_array_equal(jax.jit(jax.grad(total))(jnp.array([0.5, 0.05])), 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip": 1.5}, r"clip is 1.5, but it must be in \[0, 1\]"),
        ({"negative_weight": -1.0}, "negative_weight is -1.0"),
        ({"observed": np.ones(3)}, r"observed has shape \(3,\).*\[2\]"),
        ({"propensity": np.ones((2, 1))}, r"propensity has shape \(2, 1\).*\[2\]"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    names = ("positive_losses", "negative_losses", "observed", "propensity")
    arguments = {name: np.ones(2) for name in names} | {"clip": 0.1}
    with pytest.raises(ValueError, match=message):
        losses.clipped_inverse_propensity_loss(**arguments | change)
