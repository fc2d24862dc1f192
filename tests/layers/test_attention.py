"""Attention next to the implementation in JAX."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.layers import Attention, attend


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


def test_a_bias_is_added_to_the_scores():
    heads = inputs()[:3]
    bias = jax.random.normal(jax.random.key(1), (2, 7, 7))
    transposed = (x.swapaxes(1, 2) for x in heads)
    expected = jax.nn.dot_product_attention(*transposed, bias=bias[None]).swapaxes(1, 2)
    chex.assert_trees_all_close(attend(*heads, bias), expected, atol=1e-5)


def attention_with_relations(**options):
    """Returns attention, its input, and two relations of which the second is empty."""
    attention, x = (
        Attention(num_heads=2, **options),
        jax.random.normal(jax.random.key(0), (3, 5, 8)),
    )
    relations = np.stack([np.eye(5, k=1) > 0, np.zeros((5, 5), bool)])
    variables = attention.init(jax.random.key(1), x, None, relations)
    return attention, variables["params"], x, relations


def test_relations_change_nothing_at_first():
    attention, params, x, relations = attention_with_relations()
    plain = attention.apply({"params": params}, x)
    chex.assert_trees_all_close(attention.apply({"params": params}, x, None, relations), plain)


def test_a_large_number_makes_a_head_look_at_related_positions_only():
    attention, params, x, relations = attention_with_relations()
    params = params | {"relations": jnp.full((2, 2), 1e4)}
    found = attention.apply({"params": params}, x, None, relations)
    values = jnp.split(x @ params["qkv"], 3, axis=-1)[2]
    # Each position but the last one looks at the next one.
    chex.assert_trees_all_close(found[:, :-1], values[:, 1:] @ params["output"], atol=1e-5)


def test_heads_that_do_not_divide_the_width_need_a_size():
    with pytest.raises(ValueError, match="3 heads do not divide 8 features; set head_size"):
        Attention(num_heads=3).init(jax.random.key(0), jnp.zeros((1, 5, 8)))


def test_heads_need_not_divide_the_width():
    attention, params, x, relations = attention_with_relations(head_size=3)
    assert params["qkv"].shape == (8, 3 * 2 * 3)
    assert attention.apply({"params": params}, x, None, relations).shape == x.shape
