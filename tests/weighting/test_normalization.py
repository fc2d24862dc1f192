"""The rescaling of weights to mean 1."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import weighting

transform = weighting.unit_mean_weighting()
update = jax.jit(transform.update)


def normalized(weights, **extra_args):
    return update(weights, transform.init(weights), weights, **extra_args)[0]


@given(st.lists(st.floats(2**-7, 2**7, width=32), min_size=5, max_size=5))
def test_normalized_weights_have_mean_one(weights):
    np.testing.assert_allclose(normalized(jnp.array(weights)).mean(), 1, rtol=1e-5)


def test_proportions_are_kept():
    np.testing.assert_allclose(normalized(jnp.array([1.0, 2.0, 3.0])), [0.5, 1, 1.5], rtol=1e-6)


def test_each_loss_term_has_its_own_mean():
    found = normalized({"answer": jnp.array([1.0, 3.0]), "halt": jnp.array([4.0, 4.0])})
    np.testing.assert_allclose(found["answer"], [0.5, 1.5])
    np.testing.assert_allclose(found["halt"], [1, 1])


def test_a_coefficient_of_a_term_counts_after_it_and_is_cancelled_before_it():
    halve = optax.masked(optax.scale(0.5), {"answer": False, "halt": True})
    losses = {"answer": jnp.ones(2), "halt": jnp.ones(2)}
    weight = lambda chain: chain.update(losses, chain.init(losses), losses)[0]["halt"]  # noqa: E731
    np.testing.assert_allclose(weight(optax.chain(transform, halve)), 0.5)
    np.testing.assert_allclose(weight(optax.chain(halve, transform)), 1)


def test_masked_weights_are_zero_and_excluded_from_the_mean():
    where = jnp.array([True, True, False, False])
    found = normalized(jnp.array([1.0, 3.0, 100.0, jnp.nan]), where=where)
    np.testing.assert_allclose(found, [0.5, 1.5, 0, 0])


def test_an_all_masked_batch_gives_zeros():
    np.testing.assert_array_equal(normalized(np.ones(3), where=np.zeros(3, bool)), 0)


def test_zero_weights_remain_zero():
    np.testing.assert_array_equal(normalized(np.zeros(3)), 0)


def test_the_mean_of_bfloat16_weights_is_taken_in_float32():
    # bfloat16 cannot represent 257: a sum in bfloat16 would be 256.
    found = normalized(jnp.ones(257, jnp.bfloat16))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, 1)


def test_the_overall_scale_from_earlier_in_a_chain_is_removed():
    weights = jnp.array([1.0, 2.0, 3.0])
    chain = optax.chain(optax.scale(123.0), weighting.unit_mean_weighting())
    found, _ = jax.jit(chain.update)(weights, chain.init(weights), weights)
    np.testing.assert_allclose(found, normalized(weights), rtol=1e-6)


def test_jit_equals_eager():
    weights, where = jnp.array([1.0, 2.0, 3.0]), jnp.array([True, False, True])
    eager, _ = transform.update(weights, transform.init(weights), weights, where=where)
    np.testing.assert_allclose(normalized(weights, where=where), eager, rtol=1e-6)
