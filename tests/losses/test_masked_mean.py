import jax
import jax.numpy as jnp
import numpy as np

from cgar_jax import losses


def test_the_mean_per_example_is_over_valid_tokens_only():
    values = jnp.array([[1.0, 3.0, jnp.nan], [5.0, jnp.inf, jnp.nan]])
    where = jnp.array([[True, True, False], [True, False, False]])
    np.testing.assert_array_equal(losses.masked_mean(values, where, axis=-1), [2, 5])


def test_the_mean_over_no_entries_is_zero_with_gradient_zero():
    values, where = jnp.full((2, 3), jnp.nan), jnp.zeros((2, 3), bool)
    assert losses.masked_mean(values, where) == 0
    gradient = jax.grad(lambda v: losses.masked_mean(v, where))(values)
    np.testing.assert_array_equal(gradient, 0)


def test_the_mean_of_an_empty_batch_is_zero():
    assert losses.masked_mean(jnp.zeros((0,))) == 0


def test_the_mean_of_bfloat16_is_computed_in_float32():
    # bfloat16 has no 257: a sum in it is 256.
    mean = losses.masked_mean(jnp.ones(257, jnp.bfloat16))
    assert mean.dtype == jnp.float32
    assert mean == 1


def test_a_mask_of_examples_masks_all_their_tokens():
    values = jnp.array([[1.0, 3.0], [100.0, 100.0]])
    assert losses.masked_mean(values, jnp.array([True, False])) == 2
