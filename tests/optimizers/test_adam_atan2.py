"""Adam-atan2 next to a float64 reference."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import optimizers


def published_direction(gradients, b1, b2):
    """Returns the last update for a sequence of gradients, in float64, without weight decay."""
    m, v_hat, correction = moments(gradients, b1, b2)
    return np.arctan2(m, np.sqrt(v_hat)) / correction


def inside_direction(gradients, b1, b2):
    """The same with the first moment corrected inside the arctangent."""
    m, v_hat, correction = moments(gradients, b1, b2)
    return np.arctan2(m / correction, np.sqrt(v_hat))


def moments(gradients, b1, b2):
    t = len(gradients)
    age = np.arange(t)[::-1].reshape(t, *(1,) * (np.ndim(gradients) - 1))
    m = np.sum((1 - b1) * b1**age * gradients, axis=0)
    v = np.sum((1 - b2) * b2**age * np.square(gradients), axis=0)
    return m, v / (1 - b2**t), 1 - b1**t


DIRECTIONS = {"outside": published_direction, "inside": inside_direction}


def run(optimizer, params, gradients):
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    for gradient in gradients:
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


@functools.partial(jax.jit, static_argnums=1)
def directions(gradients, bias_correction="outside"):
    transform = optimizers.scale_by_adam_atan2(bias_correction=bias_correction)
    _, updates = jax.lax.scan(
        lambda state, gradient: transform.update(gradient, state)[::-1],
        transform.init(gradients[0]),
        gradients,
    )
    return updates


def some_gradients(steps=10):
    return np.random.default_rng(0).normal(size=(steps, 4, 3))


@pytest.mark.parametrize("bias_correction", DIRECTIONS)
def test_each_update_agrees_with_the_formula_in_float64(bias_correction):
    gradients = some_gradients()
    direction = DIRECTIONS[bias_correction]
    expected = [direction(gradients[:t], 0.9, 0.95) for t in range(1, len(gradients) + 1)]
    found = directions(jnp.asarray(gradients, jnp.float32), bias_correction)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bias_correction", DIRECTIONS)
def test_the_optimizer_adds_the_decayed_parameters_to_the_update(bias_correction):
    params, gradients = np.array([0.5, -2.0]), np.array([[3.0, 1.0], [-1.0, 2.0]])
    optimizer = optimizers.adam_atan2(0.1, 0.8, 0.9, 0.3, bias_correction=bias_correction)
    found = run(optimizer, jnp.asarray(params, jnp.float32), jnp.asarray(gradients, jnp.float32))
    for t in (1, 2):
        params = params - 0.1 * (
            DIRECTIONS[bias_correction](gradients[:t], 0.8, 0.9) + 0.3 * params
        )
    np.testing.assert_allclose(found, params, rtol=1e-5)


def test_the_published_form_is_the_default():
    gradients = jnp.asarray(some_gradients(2), jnp.float32)
    optimizer, params = optimizers.adam_atan2(1.0), jnp.zeros(gradients.shape[1:])
    updates, state = optimizer.update(gradients[0], optimizer.init(params), params)
    updates, _ = optimizer.update(gradients[1], state, params)
    np.testing.assert_allclose(updates, -published_direction(some_gradients(2), 0.9, 0.95), 1e-5)


@given(st.floats(-6, 6))
def test_the_scale_of_the_gradients_does_not_matter(exponent):
    gradients = jnp.asarray(some_gradients(3), jnp.float32)
    scaled = gradients * np.float32(10**exponent)
    np.testing.assert_allclose(directions(scaled), directions(gradients), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("exponent", [-40, 40])
def test_scaling_the_gradients_by_a_power_of_two_changes_no_bit(exponent):
    gradients = jnp.asarray(some_gradients(), jnp.float32)
    np.testing.assert_array_equal(directions(gradients * 2.0**exponent), directions(gradients))


def test_steps_under_a_constant_gradient_shrink_from_the_learning_rate_to_a_quarter_of_pi():
    found = directions(jnp.full((200, 2), jnp.array([3.0, -1e-9])))
    np.testing.assert_allclose(found[0], [0.997, -0.997], atol=5e-4)
    np.testing.assert_allclose(found[-1], [np.pi / 4, -np.pi / 4], rtol=1e-5)


def test_with_the_correction_inside_the_first_update_is_a_quarter_of_pi():
    found = directions(jnp.array([[3.0, -1e-9]]), "inside")
    np.testing.assert_allclose(found[0], [np.pi / 4, -np.pi / 4])


def test_a_zero_gradient_gives_a_zero_update():
    np.testing.assert_array_equal(directions(jnp.zeros((3, 2))), 0)


def test_a_gradient_too_small_for_its_square_still_gives_a_bounded_update():
    np.testing.assert_allclose(directions(jnp.array([[1e-30]]), "inside")[0], [np.pi / 2])
    np.testing.assert_allclose(directions(jnp.array([[1e-30]]))[0], [np.pi / 2 / 0.1], rtol=1e-6)


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
    np.testing.assert_allclose(found, -np.arctan(0.1) / 0.1, rtol=1e-6)


def test_jit_agrees_with_eager_evaluation():
    gradient = jnp.asarray(some_gradients(1), jnp.float32)
    transform = optimizers.scale_by_adam_atan2()
    eager, _ = transform.update(gradient[0], transform.init(gradient[0]))
    np.testing.assert_allclose(directions(gradient)[0], eager, rtol=1e-5)


@pytest.mark.parametrize("setting", [{"b1": 1.0}, {"b1": -0.1}, {"b2": 1.0}, {"weight_decay": -1}])
def test_a_number_out_of_range_raises_an_error_that_names_it(setting):
    (name,) = setting
    with pytest.raises(ValueError, match=rf"{name} is .*, but it must be in \[0"):
        optimizers.adam_atan2(0.1, **setting)


def test_an_unknown_bias_correction_raises_an_error():
    with pytest.raises(ValueError, match="did you mean 'inside'"):
        optimizers.adam_atan2(0.1, bias_correction="insides")
