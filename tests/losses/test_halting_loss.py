import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import losses


def test_the_halting_loss_equals_values_computed_by_hand():
    # sigmoid(log 3) = 3/4.
    logits = jnp.log(jnp.array([3.0, 3.0, 1.0]))
    found = losses.halting_loss(logits, jnp.array([True, False, True]))
    np.testing.assert_allclose(found, np.log([4 / 3, 4, 2]), rtol=1e-6)


def test_halting_loss_of_bfloat16_logits_is_float32():
    found = losses.halting_loss(jnp.ones(2, jnp.bfloat16), jnp.array([True, False]))
    assert found.dtype == jnp.float32


def test_masked_examples_have_no_halting_loss_and_no_gradient():
    logits = jnp.array([jnp.nan, 2.0])
    solved, where = jnp.array([True, False]), jnp.array([False, True])
    found = losses.halting_loss(logits, solved, where=where)
    gradient = jax.grad(lambda x: losses.halting_loss(x, solved, where=where).sum())(logits)
    np.testing.assert_allclose(found, [0, np.log1p(np.exp(2))], rtol=1e-6)
    np.testing.assert_allclose(gradient, [0, 1 / (1 + np.exp(-2))], rtol=1e-6)


def test_halting_loss_refuses_targets_of_another_shape():
    with pytest.raises(ValueError, match="has shape"):
        losses.halting_loss(jnp.zeros(3), jnp.zeros(2, bool))
