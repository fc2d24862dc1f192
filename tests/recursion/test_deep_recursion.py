"""Latent and deep recursion, on networks that are small enough to follow by hand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax.recursion import (
    PLAIN,
    Depth,
    Draws,
    RecursionOptions,
    deep_recursion,
    latent_recursion,
)


def question_and_states(*shape):
    x, y, z = jax.random.normal(jax.random.key(0), (3, *shape))
    return x, (y, z)


def counting_network(calls):
    """A network that records every call when it runs, not when it is traced."""

    def f(h):
        jax.debug.callback(lambda: calls.append(1))
        return jnp.tanh(h)

    return f


def test_latent_recursion_updates_the_latent_n_times_and_then_the_answer():
    x, (y, z) = question_and_states(2, 4, 8)
    expected = z
    for _ in range(3):
        expected = jnp.tanh(x + y + expected)
    new_y, new_z = latent_recursion(jnp.tanh, x, (y, z), n=3)
    np.testing.assert_allclose(new_z, expected, rtol=1e-5)
    np.testing.assert_allclose(new_y, jnp.tanh(y + expected), rtol=1e-5)


def test_deep_recursion_is_t_latent_recursions():
    x, states = question_and_states(2, 4, 8)
    expected = states
    for _ in range(3):
        expected = latent_recursion(jnp.tanh, x, expected, n=2)
    found = deep_recursion(jnp.tanh, x, states, Depth(2, 3))
    chex.assert_trees_all_close(found, expected, rtol=1e-6)


def test_a_deep_recursion_calls_the_network_as_often_as_its_depth_says():
    calls, depth = [], Depth(4, 2)
    deep_recursion(counting_network(calls), *question_and_states(1, 2, 2), depth)
    jax.effects_barrier()
    assert len(calls) == depth.network_calls


@pytest.mark.parametrize("depth", [Depth(2, 1), Depth(2, 3)])
def test_gradient_flows_only_through_the_last_cycle(depth):
    x, states = question_and_states(2, 4, 8)
    scale = jnp.float32(0.7)

    def f(scale):
        return lambda h: jnp.tanh(scale * h)

    def through_all(scale):
        return sum(s.sum() for s in deep_recursion(f(scale), x, states, depth))

    def by_hand(scale):
        start = states
        for _ in range(depth.T - 1):
            start = latent_recursion(f(0.7), x, start, n=depth.n)
        return sum(s.sum() for s in latent_recursion(f(scale), x, start, n=depth.n))

    np.testing.assert_allclose(jax.grad(through_all)(scale), jax.grad(by_hand)(scale), rtol=1e-5)


def test_no_gradient_reaches_the_states_before_the_last_cycle():
    x, states = question_and_states(2, 4, 8)

    def total(states):
        return sum(s.sum() for s in deep_recursion(jnp.tanh, x, states, Depth(2, 2)))

    chex.assert_trees_all_equal(jax.grad(total)(states), (jnp.zeros_like(x),) * 2)


def flops(depth, differentiate, options=PLAIN, num_states=2):
    w = jnp.eye(64)
    x, states = question_and_states(4, 16, 64)
    draws = Draws(lambda call: x, jnp.array(True))

    def total(w):
        def f(h):
            return jnp.tanh(h @ w)

        found = deep_recursion(f, x, states[:num_states], depth, options, draws)
        return sum(state.sum() for state in found)

    program = jax.grad(total) if differentiate else total
    jaxpr = jax.make_jaxpr(program)(w)
    return count_matrix_products(jaxpr.jaxpr)


def count_matrix_products(jaxpr, times=1):
    """Counts the matrix products that a program executes, with loops multiplied out."""
    total = 0
    for equation in jaxpr.eqns:
        inside = times * equation.params.get("length", 1)
        total += times * (equation.primitive.name == "dot_general")
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns")
        ):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                total += count_matrix_products(inner, inside)
    return total


@pytest.mark.parametrize("depth", [Depth(2, 1), Depth(4, 2), Depth(6, 3)])
def test_cycles_without_gradient_cost_forward_calls_only(depth):
    forward = flops(depth, differentiate=False)
    assert forward == depth.network_calls
    # With gradient, the n + 1 calls of the last cycle run again when the backward pass recomputes
    # them, and cost two more products each for the gradients of input and parameters.
    assert flops(depth, differentiate=True) == forward + 3 * (depth.n + 1)


SCOPES = {
    "two cycles": RecursionOptions(gradient_cycles=2),
    "all cycles": RecursionOptions(gradient_cycles=0),
    "last calls": RecursionOptions(gradient_calls="last"),
    "transition": RecursionOptions(transition_probability=0.5),
    "plain": PLAIN,
}


@pytest.mark.parametrize("num_states", [1, 2])
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("depth", [Depth(2, 1), Depth(3, 2), Depth(2, 4)])
def test_the_options_say_how_many_calls_run_with_gradient(depth, scope, num_states):
    options = SCOPES[scope]
    if scope == "transition" and num_states == 1:
        pytest.skip("one state has no transition")
    forward = flops(depth, False, options, num_states)
    assert forward == depth.network_calls
    with_gradient = options.calls_with_gradient(depth, num_states)
    # The states before a transition need no gradient, which saves one product.
    saved = scope == "transition" and depth.T > 1
    assert flops(depth, True, options, num_states) == forward + 3 * with_gradient - saved


@pytest.mark.parametrize("scope", SCOPES)
def test_the_scope_of_the_gradient_does_not_change_the_states(scope):
    x, states = question_and_states(2, 4, 8)
    draws = Draws(lambda call: x, jnp.array(True))
    found = deep_recursion(jnp.tanh, x, states, Depth(2, 3), SCOPES[scope], draws)
    chex.assert_trees_all_close(found, deep_recursion(jnp.tanh, x, states, Depth(2, 3)), rtol=1e-6)


def scale_gradient(options, depth, states=None, draws=None):
    """Returns the derivative of the summed states by the scale of a network `tanh(scale h)`."""
    x, two_states = question_and_states(2, 4, 8)

    def total(scale):
        def f(h):
            return jnp.tanh(scale * h)

        found = deep_recursion(f, x, states or two_states, depth, options, draws)
        return sum(state.sum() for state in found)

    return jax.grad(total)(jnp.float32(0.7))


def test_gradient_of_all_cycles_is_the_ordinary_gradient():
    x, states = question_and_states(2, 4, 8)

    def ordinary(scale):
        found = states
        for _ in range(3):
            found = latent_recursion(lambda h: jnp.tanh(scale * h), x, found, n=2)
        return sum(state.sum() for state in found)

    expected = jax.grad(ordinary)(jnp.float32(0.7))
    all_cycles = scale_gradient(SCOPES["all cycles"], Depth(2, 3))
    np.testing.assert_allclose(all_cycles, expected, rtol=1e-5)
    assert not np.allclose(scale_gradient(SCOPES["two cycles"], Depth(2, 3)), expected, rtol=1e-3)


def test_last_calls_are_one_of_the_latent_and_one_of_the_answer():
    x, (y, z) = question_and_states(2, 4, 8)
    for _ in range(2):
        z = jnp.tanh(0.7 * (x + y + z))

    def by_hand(scale):
        last = jnp.tanh(scale * (x + y + z))
        return last.sum() + jnp.tanh(scale * (y + last)).sum()

    found = scale_gradient(SCOPES["last calls"], Depth(3, 1))
    np.testing.assert_allclose(found, jax.grad(by_hand)(jnp.float32(0.7)), rtol=1e-5)


def test_a_transition_adds_the_answer_update_before_the_last_cycle():
    x, states = question_and_states(2, 4, 8)
    y, z = states
    for _ in range(2):
        z = jnp.tanh(0.7 * (x + y + z))

    def by_hand(scale):
        def f(h):
            return jnp.tanh(scale * h)

        return sum(state.sum() for state in latent_recursion(f, x, (f(y + z), z), n=2))

    def found(happens):
        draws = Draws(lambda call: x, jnp.array(happens))
        return scale_gradient(SCOPES["transition"], Depth(2, 2), states, draws)

    np.testing.assert_allclose(found(True), jax.grad(by_hand)(jnp.float32(0.7)), rtol=1e-5)
    np.testing.assert_allclose(found(False), scale_gradient(PLAIN, Depth(2, 2)), rtol=1e-6)


def test_one_state_is_updated_as_often_as_two():
    x, (z, _) = question_and_states(2, 4, 8)
    expected = z
    for _ in range(3 * 2):
        expected = jnp.tanh(x + expected)
    (found,) = deep_recursion(jnp.tanh, x, (z,), Depth(2, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@given(rate=st.floats(0.05, 1.0))
def test_a_smaller_rate_keeps_the_fixed_points(rate):
    x = jnp.array([[0.3, -0.2]])
    fixed = x / 0.4  # of h -> 0.2 h with one state: z = 0.2 (x + z), y the same
    (found,) = deep_recursion(
        lambda h: 0.2 * h, 4 * x, (x,), Depth(2, 2), RecursionOptions(rate=rate)
    )
    np.testing.assert_allclose(found, 0.4 * fixed, rtol=1e-4)


def test_every_call_adds_its_own_noise():
    x, states = question_and_states(2, 4, 8)
    draws = Draws(lambda call: (call + 1.0) * jnp.ones_like(x), jnp.array(False))
    options = RecursionOptions(noise=0.5)
    (found,) = deep_recursion(jnp.zeros_like, x, states[:1], Depth(2, 2), options, draws)
    np.testing.assert_allclose(found, 0.5 * 6 * np.ones_like(x))  # of the last call only

    y, z = deep_recursion(jnp.zeros_like, x, states, Depth(2, 2), options, draws)
    np.testing.assert_allclose([y[0, 0, 0], z[0, 0, 0]], [0.5 * 6, 0.5 * 5])


def test_a_random_recursion_without_draws_is_refused():
    x, states = question_and_states(2, 4, 8)
    with pytest.raises(ValueError, match="needs `draws`"):
        deep_recursion(jnp.tanh, x, states, Depth(1, 1), RecursionOptions(noise=0.1))


def test_transitions_of_one_state_are_refused():
    x, states = question_and_states(2, 4, 8)
    draws = Draws(lambda call: x, jnp.array(True))
    with pytest.raises(ValueError, match="an answer and a latent state"):
        deep_recursion(jnp.tanh, x, states[:1], Depth(1, 2), SCOPES["transition"], draws)


def test_states_of_different_shapes_are_refused():
    x, (y, z) = question_and_states(2, 4, 8)
    with pytest.raises(AssertionError):
        deep_recursion(jnp.tanh, x, (y, z[:1]), Depth(1, 1))
