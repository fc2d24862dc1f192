import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import losses

CROSS_ENTROPIES = [losses.stablemax_cross_entropy_loss, losses.softmax_cross_entropy_loss]
both = pytest.mark.parametrize("cross_entropy", CROSS_ENTROPIES)


def reference_stablemax(logits, labels):
    """Returns the loss and its gradient in float64, computed from the definition."""
    x = np.asarray(logits, np.float64)
    s = np.where(x < 0, 1 / (1 - np.minimum(x, 0)), x + 1)
    probabilities = s / s.sum(-1, keepdims=True)
    one_hot = np.eye(x.shape[-1])[labels]
    derivative_of_log_s = np.where(x < 0, s, 1 / s)
    return -np.log((probabilities * one_hot).sum(-1)), (
        probabilities - one_hot
    ) * derivative_of_log_s


@functools.partial(jax.jit, static_argnames="cross_entropy")
def value_and_gradient(cross_entropy, logits, labels, where=None):
    def summed(logits):
        losses_of_tokens = cross_entropy(logits, labels, where=where)
        return losses_of_tokens.sum(), losses_of_tokens

    (_, value), gradient = jax.value_and_grad(summed, has_aux=True)(logits)
    return value, gradient


def logits_and_labels(batch=4, length=3, vocabulary=5):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(batch, length, vocabulary)).astype(np.float32)
    return logits, rng.integers(0, vocabulary, size=(batch, length))


def test_stablemax_equals_probabilities_computed_by_hand():
    # s(1) = 2, s(0) = 1, s(-1) = 1/2: probabilities 4/7, 2/7, 1/7.
    probabilities = jnp.exp(losses.log_stablemax(jnp.array([1.0, 0.0, -1.0])))
    np.testing.assert_allclose(probabilities, [4 / 7, 2 / 7, 1 / 7], rtol=1e-6)


def test_log_stablemax_normalizes_over_the_given_axis():
    logits = jnp.arange(12.0).reshape(3, 4) - 5
    totals = jnp.exp(losses.log_stablemax(logits, axis=0)).sum(0)
    np.testing.assert_allclose(totals, 1, rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_stablemax_agrees_with_float64_in_value_and_gradient(scale, dtype):
    rng = np.random.default_rng(0)
    special = rng.choice([0.0, -0.0, 1.0, -1.0, 1e4, -1e4], size=(500, 11))
    ordinary = rng.normal(scale=scale, size=(500, 11))
    logits = jnp.asarray(np.where(rng.random((500, 11)) < 0.3, special, ordinary), dtype)
    labels = rng.integers(0, 11, 500)
    expected, expected_gradient = reference_stablemax(logits.astype(jnp.float32), labels)
    found, gradient = value_and_gradient(losses.stablemax_cross_entropy_loss, logits, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    # The gradient comes back in the dtype of the logits.
    rounding = 2 * jnp.finfo(dtype).eps
    np.testing.assert_allclose(
        gradient.astype(jnp.float32), expected_gradient, rtol=rounding, atol=1e-6
    )


@pytest.mark.parametrize("logit", [0.0, 1.0, -1.0, 1e4, -1e4, 3e38, -3e38])
def test_stablemax_has_a_finite_gradient_where_every_logit_is(logit):
    logits = np.full((1, 5), logit, np.float32)
    value, gradient = value_and_gradient(losses.stablemax_cross_entropy_loss, logits, np.array([2]))
    np.testing.assert_allclose(value, np.log(5), rtol=1e-6)
    assert np.isfinite(gradient).all()


def test_stablemax_has_the_full_gradient_at_the_branch_point():
    logits = np.zeros((1, 2), np.float32)
    _, gradient = value_and_gradient(losses.stablemax_cross_entropy_loss, logits, np.array([0]))
    np.testing.assert_allclose(gradient, [[-0.5, 0.5]], rtol=1e-6)


@given(st.integers(0, 2**31), st.floats(0.1, 100))
def test_softmax_agrees_with_optax(seed, scale):
    rng = np.random.default_rng(seed)
    logits = jnp.asarray(rng.normal(scale=scale, size=(4, 6)), jnp.float32)
    labels = rng.integers(0, 6, 4)
    found, _ = value_and_gradient(losses.softmax_cross_entropy_loss, logits, labels)
    expected = optax.softmax_cross_entropy(logits, jnp.asarray(np.eye(6)[labels]))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@both
def test_losses_are_unreduced_float32(cross_entropy):
    logits, labels = logits_and_labels()
    found, _ = value_and_gradient(cross_entropy, jnp.asarray(logits, jnp.bfloat16), labels)
    assert found.shape == labels.shape
    assert found.dtype == jnp.float32


@both
@pytest.mark.parametrize("garbage", [np.nan, np.inf, -np.inf])
def test_masked_tokens_have_no_value_and_no_gradient_whatever_their_logits(cross_entropy, garbage):
    logits = np.ones((3, 5), np.float32)
    logits[:2] = garbage
    labels = np.array([losses.IGNORE_LABEL, 4, 2])
    where = np.array([True, False, True])
    value, gradient = value_and_gradient(cross_entropy, logits, labels, where)
    np.testing.assert_allclose(value, [0, 0, np.log(5)], rtol=1e-6)
    np.testing.assert_array_equal(gradient[:2], 0)
    assert np.abs(gradient[2]).sum() > 0


@both
def test_a_masked_label_may_lie_outside_the_vocabulary(cross_entropy):
    labels = np.array([10**6, -7, losses.IGNORE_LABEL])
    where = np.array([False, False, True])
    found, _ = value_and_gradient(cross_entropy, np.ones((3, 5), np.float32), labels, where)
    np.testing.assert_array_equal(found, 0)


@both
def test_a_mask_of_examples_masks_all_their_tokens_and_no_others(cross_entropy):
    logits, labels = logits_and_labels()
    rows = np.array([True, False, True, False])
    found, _ = value_and_gradient(cross_entropy, logits, labels, rows)
    unmasked, _ = value_and_gradient(cross_entropy, logits, labels)
    np.testing.assert_array_equal(found, np.where(rows[:, None], unmasked, 0))


@both
def test_jit_and_vmap_equal_eager(cross_entropy):
    logits, labels = logits_and_labels()
    labels[1, 1:] = losses.IGNORE_LABEL
    eager = cross_entropy(jnp.asarray(logits), jnp.asarray(labels))
    jitted, _ = value_and_gradient(cross_entropy, logits, labels)
    mapped = jax.jit(jax.vmap(cross_entropy))(logits, labels)
    np.testing.assert_allclose(jitted, eager, rtol=1e-6)
    np.testing.assert_allclose(mapped, eager, rtol=1e-6)


@both
def test_labels_of_another_shape_are_refused(cross_entropy):
    with pytest.raises(ValueError, match="has shape"):
        cross_entropy(jnp.ones((2, 3, 5)), jnp.zeros((2, 4), jnp.int32))


@both
def test_the_error_for_a_mask_of_another_shape_names_the_accepted_shapes(cross_entropy):
    with pytest.raises(ValueError, match=r"'where' has shape \(3,\).*\(2,\) or \(2, 3\)"):
        cross_entropy(jnp.ones((2, 3, 5)), jnp.zeros((2, 3), jnp.int32), where=jnp.ones(3, bool))


def test_labels_are_valid_if_they_are_neither_ignored_nor_masked():
    labels = jnp.array([[1, losses.IGNORE_LABEL], [2, 3]])
    found = losses.valid_labels(labels, where=jnp.array([True, False]))
    np.testing.assert_array_equal(found, [[True, False], [False, False]])
