"""Adam-atan2 next to a float64 reference."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import optimizers


def reference(params, gradients, learning_rate, b1, b2, weight_decay):
    """Returns the parameters after Adam-atan2 in float64, as in the docstring."""
    m, v = np.zeros_like(params), np.zeros_like(params)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        update = np.arctan2(m / (1 - b1**t), np.sqrt(v / (1 - b2**t)))
        params = params - learning_rate * (update + weight_decay * params)
    return params


def run(optimizer, params, gradients):
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    for gradient in gradients:
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


@jax.jit
def directions(gradients):
    transform = optimizers.scale_by_adam_atan2()
    _, updates = jax.lax.scan(
        lambda state, gradient: transform.update(gradient, state)[::-1],
        transform.init(gradients[0]),
        gradients,
    )
    return updates


def some_gradients(steps=10):
    return np.random.default_rng(0).normal(size=(steps, 4, 3))


@pytest.mark.parametrize("weight_decay", [0.0, 1.0])
def test_the_optimizer_agrees_with_a_float64_reference(weight_decay):
    params, gradients = some_gradients(11)[0], some_gradients(11)[1:]
    found = run(
        optimizers.adam_atan2(0.1, 0.9, 0.95, weight_decay),
        jnp.asarray(params, jnp.float32),
        jnp.asarray(gradients, jnp.float32),
    )
    expected = reference(params, gradients, 0.1, 0.9, 0.95, weight_decay)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@given(st.floats(-6, 6))
def test_the_scale_of_the_gradients_does_not_matter(exponent):
    gradients = jnp.asarray(some_gradients(3), jnp.float32)
    scaled = gradients * np.float32(10**exponent)
    np.testing.assert_allclose(directions(scaled), directions(gradients), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("exponent", [-40, 40])
def test_scaling_the_gradients_by_a_power_of_two_changes_no_bit(exponent):
    gradients = jnp.asarray(some_gradients(), jnp.float32)
    np.testing.assert_array_equal(directions(gradients * 2.0**exponent), directions(gradients))


def test_the_first_update_is_a_quarter_of_pi():
    np.testing.assert_allclose(directions(jnp.array([[3.0, -1e-9]]))[0], [np.pi / 4, -np.pi / 4])


def test_a_zero_gradient_gives_a_zero_update():
    np.testing.assert_array_equal(directions(jnp.zeros((3, 2))), 0)


def test_a_gradient_too_small_for_its_square_still_gives_a_bounded_update():
    np.testing.assert_allclose(directions(jnp.array([[1e-30]]))[0], [np.pi / 2])


def test_moments_of_bfloat16_gradients_are_float32():
    gradients = jnp.ones(3, jnp.bfloat16)
    transform = optimizers.scale_by_adam_atan2()
    updates, state = transform.update(gradients, transform.init(gradients))
    assert {x.dtype for x in (updates, state.mu, state.nu)} == {jnp.dtype(jnp.float32)}


def test_bfloat16_gradients_are_squared_in_float32():
    gradients = jnp.asarray(some_gradients(3), jnp.bfloat16)
    exact = directions(gradients.astype(jnp.float32))
    np.testing.assert_allclose(directions(gradients), exact, rtol=1e-5)


def test_weight_decay_skips_masked_parameters():
    params = {"kernel": jnp.ones(2), "bias": jnp.ones(2)}
    optimizer = optimizers.adam_atan2(0.1, weight_decay=1.0, mask={"kernel": True, "bias": False})
    found = run(optimizer, params, [jax.tree.map(jnp.zeros_like, params)])
    np.testing.assert_allclose(found["kernel"], 0.9, rtol=1e-6)
    np.testing.assert_array_equal(found["bias"], 1)


def test_the_learning_rate_may_be_a_schedule():
    optimizer = optimizers.adam_atan2(optax.piecewise_constant_schedule(1.0, {1: 0.0}))
    found = run(optimizer, jnp.zeros(1), [jnp.ones(1)] * 3)
    np.testing.assert_allclose(found, -np.pi / 4, rtol=1e-6)


def test_jit_agrees_with_eager_evaluation():
    gradient = jnp.asarray(some_gradients(1), jnp.float32)
    transform = optimizers.scale_by_adam_atan2()
    eager, _ = transform.update(gradient[0], transform.init(gradient[0]))
    np.testing.assert_allclose(directions(gradient)[0], eager, rtol=1e-5)
