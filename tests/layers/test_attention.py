"""Attention next to the implementation in JAX."""

import chex
import jax
import jax.numpy as jnp
import pytest

from cgar_jax.layers import attend


def inputs(scale=1.0, dtype="float32"):
    keys = jax.random.split(jax.random.key(0), 4)
    query, *others = (jax.random.normal(key, (3, 2, 7, 4), dtype) for key in keys)
    return [scale * query, *others]


def reference(query, key, value):
    transposed = (x.swapaxes(1, 2) for x in (query, key, value))
    return jax.nn.dot_product_attention(*transposed).swapaxes(1, 2)


@pytest.mark.parametrize("scale", [1.0, 1e4])  # with the larger scale, exp of the scores overflows
def test_attention_and_its_gradient_agree_with_jax(scale):
    *heads, gradient = inputs(scale)
    found, vjp = jax.vjp(attend, *heads)
    expected, expected_vjp = jax.vjp(reference, *heads)
    chex.assert_trees_all_close(
        (found, vjp(gradient)),
        (expected, expected_vjp(gradient)),
        rtol=1e-4,
        atol=1e-6 * scale + 1e-5,
    )


def test_attention_has_a_forward_derivative():
    *heads, _ = inputs()
    ones = tuple(jnp.ones_like(x) for x in heads)
    _, found = jax.jvp(attend, tuple(heads), ones)
    _, expected = jax.jvp(reference, tuple(heads), ones)
    chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-5)


def test_attention_in_bfloat16_is_close_to_float32():
    *heads, _ = inputs(dtype="bfloat16")
    found = attend(*heads)
    assert found.dtype == jnp.bfloat16
    expected = attend(*(x.astype("float32") for x in heads))
    chex.assert_trees_all_close(found.astype("float32"), expected, atol=0.02)
