"""Latent and deep recursion, on networks that are small enough to follow by hand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.recursion import Depth, deep_recursion, latent_recursion


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


def flops(depth, differentiate):
    w = jnp.eye(64)
    x, states = question_and_states(4, 16, 64)

    def total(w):
        return sum(s.sum() for s in deep_recursion(lambda h: jnp.tanh(h @ w), x, states, depth))

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


def test_states_of_different_shapes_are_refused():
    x, (y, z) = question_and_states(2, 4, 8)
    with pytest.raises(AssertionError):
        deep_recursion(jnp.tanh, x, (y, z[:1]), Depth(1, 1))
