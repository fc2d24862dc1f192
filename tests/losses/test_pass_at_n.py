import hypothesis.extra.numpy as hnp
import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import losses


@jax.jit
def pass_at_n(values, num_samples):
    return losses.pass_at_n_loss(values, num_samples)


@jax.jit
def pass_at_n_slope(values, num_samples):
    return jax.grad(lambda values: losses.pass_at_n_loss(values, num_samples).sum())(values)


answers = hnp.arrays(np.float32, 8, elements=st.floats(2**-10, 60, width=32, allow_subnormal=False))
budgets = st.floats(1, 2**12, width=32, allow_subnormal=False)


@given(answers)
def test_with_one_sample_the_losses_are_unchanged(values):
    np.testing.assert_array_equal(pass_at_n(values, 1.0), values)


@given(answers, budgets)
def test_the_loss_is_the_log_probability_that_one_of_n_samples_is_right(values, n):
    chance = -np.expm1(n * np.log1p(-np.exp(-np.float64(values))))
    np.testing.assert_allclose(pass_at_n(values, n), -np.log(chance), rtol=1e-4, atol=1e-6)


def test_the_loss_of_two_samples_equals_a_value_computed_by_hand():
    found = np.exp(-pass_at_n(-np.log([0.5, 0.2]), 2.0))
    np.testing.assert_allclose(found, [0.75, 0.36], rtol=1e-5)


@given(answers, budgets)
def test_the_slope_is_the_factor_of_the_paper(values, n):
    p = np.exp(-np.float64(values))
    factor = n * p * (1 - p) ** (n - 1) / -np.expm1(n * np.log1p(-p))
    np.testing.assert_allclose(pass_at_n_slope(values, n), factor, rtol=1e-3, atol=1e-30)


@given(
    hnp.arrays(np.float32, 8, elements=st.floats(0, 1000, width=32, allow_subnormal=False)), budgets
)
def test_the_slope_lies_between_zero_and_one(values, n):
    slopes = np.asarray(pass_at_n_slope(values, n))
    assert (slopes >= 0).all()
    assert (slopes <= 1).all()


def test_rounding_does_not_raise_the_slope_above_one():
    values = np.linspace(30, 45, 4096, dtype=np.float32)
    assert (pass_at_n_slope(values, 7.0) <= 1).all()


def test_small_losses_keep_their_digits():
    values = np.array([1e-3, 1e-8, 1e-16, 1e-20], np.float32)
    # (1 - p)^n is l^n to first order, and so is -log(1 - l^n).
    np.testing.assert_allclose(pass_at_n(values, 1.5), np.float64(values) ** 1.5, rtol=2e-3)


def test_the_slope_tends_to_one_for_unsolved_and_to_zero_for_solved_examples():
    slopes = pass_at_n_slope(np.array([0.0, 1e-38, 1e-6, 60.0, 1000.0], np.float32), 8.0)
    np.testing.assert_allclose(slopes, [0, 0, 0, 1, 1], atol=1e-6)


@given(
    answers,
    st.floats(1, 64, width=32, allow_subnormal=False),
    st.floats(0, 64, width=32, allow_subnormal=False),
)
def test_more_samples_never_raise_the_loss(values, n, more):
    fewer, many = pass_at_n(values, n), pass_at_n(values, n + more)
    assert (many <= fewer * (1 + 1e-5) + 1e-6).all()


@given(answers, budgets)
def test_a_less_likely_answer_never_has_a_lower_loss(values, n):
    found = np.asarray(pass_at_n(np.sort(values), n))
    assert (np.diff(found) >= -1e-5 * (1 + found[1:])).all()


def test_where_the_probability_underflows_n_samples_are_n_times_as_likely_to_succeed():
    values = np.array([30.0, 39.9, 40.1, 88.0, 104.0, 5000.0], np.float32)
    np.testing.assert_allclose(pass_at_n(values, 16.0), values - np.log(16), rtol=1e-6)


def test_value_and_both_derivatives_are_finite_next_to_zero():
    values = np.array([0.0, 1e-45, 1e-38, 1e-30, 1e-12], np.float32)
    for n in (1.0, 1.5, 2.0, 64.0):
        second = jax.grad(lambda values, n=n: pass_at_n_slope(values, n).sum())(values)
        found = np.stack([pass_at_n(values, n), pass_at_n_slope(values, n), second])
        assert np.isfinite(found).all(), n
        np.testing.assert_allclose(found[0], 0, atol=1e-11)


def test_both_derivatives_are_finite_for_large_losses():
    values = np.array([20.0, 39.0, 40.0, 41.0, 79.0, 81.0, 300.0], np.float32)
    second = jax.grad(lambda values: pass_at_n_slope(values, 16.0).sum())(values)
    assert np.isfinite(second).all()


def test_fewer_than_one_sample_is_refused():
    with pytest.raises(ValueError, match=r"num_samples is 0.5.*\[1, inf\)"):
        losses.pass_at_n_loss(np.ones(2), 0.5)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="'where' has shape"):
        losses.pass_at_n_loss(np.ones(2), 2, where=np.ones(3, bool))


def test_the_losses_may_come_from_any_cross_entropy():
    logits, labels = np.array([[2.0, 0.0], [0.0, 1.0]], np.float32), np.array([0, 0])
    found = losses.pass_at_n_loss(
        optax.softmax_cross_entropy_with_integer_labels(logits, labels), 3
    )
    p = np.exp(logits[:, 0]) / np.exp(logits).sum(axis=1)
    np.testing.assert_allclose(found, -np.log(1 - (1 - p) ** 3), rtol=1e-5)
