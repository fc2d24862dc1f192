"""The weighting by inverse propensity, and its estimate from popularity."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgar_jax import weighting

probabilities = hnp.arrays(np.float32, 5, elements=st.floats(0, 1, width=32, allow_subnormal=False))
popularity = jax.jit(weighting.popularity_propensity)


@functools.partial(jax.jit, static_argnums=0)
def weigh(transform, propensity):
    ones = jnp.ones_like(propensity)
    return transform.update(ones, transform.init(ones), ones, propensity=propensity)[0]


TENTH = weighting.inverse_propensity_weighting(clip=0.1)
UNCLIPPED = weighting.inverse_propensity_weighting(clip=0.0)
SELF_NORMALIZED = optax.chain(TENTH, weighting.unit_mean_weighting())


def test_the_weight_is_one_over_the_propensity():
    np.testing.assert_allclose(weigh(TENTH, jnp.array([0.5, 0.2, 1.0])), [2, 5, 1], rtol=1e-6)


@given(probabilities)
def test_weights_are_between_one_and_one_over_the_clip(propensity):
    weights = weigh(TENTH, propensity)
    assert ((weights >= 1) & (weights <= 10 * (1 + 1e-6))).all()


@given(probabilities)
def test_weights_fall_with_the_propensity(propensity):
    assert (np.diff(weigh(TENTH, np.sort(propensity))) <= 0).all()


def test_a_propensity_of_zero_has_a_finite_weight_without_a_clip():
    np.testing.assert_allclose(weigh(UNCLIPPED, jnp.zeros(1)), 1e6, rtol=1e-5)


@given(probabilities.map(lambda x: np.maximum(x, np.float32(0.01))), probabilities)
def test_unclipped_weights_make_the_observed_sum_unbiased(propensity, losses):
    seen_on_average = np.sum(propensity * weigh(UNCLIPPED, propensity) * losses)
    np.testing.assert_allclose(seen_on_average, losses.sum(), rtol=1e-4, atol=1e-6)


@given(probabilities)
def test_self_normalized_weights_have_mean_one(propensity):
    np.testing.assert_allclose(weigh(SELF_NORMALIZED, propensity).mean(), 1, rtol=1e-5)


@pytest.mark.parametrize("clip", [-0.1, 1.1, float("nan")])
def test_a_clip_out_of_range_is_refused(clip):
    with pytest.raises(ValueError, match=r"clip is .*, but it must be in \[0, 1\]"):
        weighting.inverse_propensity_weighting(clip=clip)


def test_popularity_is_the_square_root_of_the_count_relative_to_the_largest():
    np.testing.assert_allclose(popularity(jnp.array([4, 16, 0, 1])), [0.5, 1, 0, 0.25])


def test_the_power_of_popularity_can_be_set():
    np.testing.assert_allclose(popularity(jnp.array([4, 16]), 1.0), [0.25, 1])


@given(hnp.arrays(np.int32, 4, elements=st.integers(0, 1000)))
def test_popularity_is_a_probability_that_grows_with_the_count(counts):
    found = popularity(np.sort(counts))
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) >= 0).all()


def test_masked_items_do_not_count():
    found = popularity(jnp.array([4.0, jnp.nan, 16.0]), 0.5, jnp.array([True, False, True]))
    np.testing.assert_allclose(found, [0.5, 0, 1])


@pytest.mark.parametrize("counts", [np.zeros(3, int), np.zeros(0, int)])
def test_items_without_selections_have_propensity_zero(counts):
    np.testing.assert_array_equal(popularity(counts), np.zeros(len(counts)))


def test_a_power_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"power is 0, but it must be in \(0, inf\)"):
        weighting.popularity_propensity(jnp.ones(2), power=0)
