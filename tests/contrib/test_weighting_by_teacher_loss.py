"""The selection of examples by the loss of a teacher."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgar_jax import contrib

selection = contrib.teacher_loss_selection_weighting
SIZE = 11

teacher_losses = hnp.arrays(np.float32, SIZE, elements=st.integers(0, 12).map(float))
masks = hnp.arrays(bool, SIZE)
tenths = st.integers(0, 10)


@jax.jit
def select(low, high, teacher, where=None):
    ones, transform = jnp.ones_like(teacher), selection(low, high)
    return transform.update(ones, transform.init(ones), ones, teacher_losses=teacher, where=where)[
        0
    ]


@given(teacher_losses, masks, tenths, tenths)
def test_losses_between_the_quantiles_of_numpy_are_kept(teacher, where, one, other):
    low, high = sorted((one, other))
    weights = np.asarray(select(low / 10, high / 10, np.where(where, teacher, np.nan), where))
    expected = np.zeros(SIZE, bool)
    if where.any():
        least = np.quantile(teacher[where], low / 10, method="lower")
        most = np.quantile(teacher[where], high / 10, method="higher")
        expected = where & (teacher >= least) & (teacher <= most)
    np.testing.assert_array_equal(weights > 0, expected)


@given(teacher_losses, masks)
def test_weights_have_mean_one(teacher, where):
    weights = select(0.2, 0.9, teacher, where)
    np.testing.assert_allclose(weights.sum(), where.sum(), rtol=1e-5)


@given(teacher_losses, masks)
def test_kept_losses_have_equal_weights(teacher, where):
    weights = np.asarray(select(0.2, 0.9, teacher, where))
    assert len(set(weights[weights > 0])) <= 1


def test_hand_worked_selection():
    weights = select(0.2, 0.75, jnp.array([5.0, 1.0, 2.0, 4.0, 3.0, 9.0]))
    # The quantiles are 2 and, after rounding up, 5.
    np.testing.assert_allclose(weights, [1.5, 0, 1.5, 1.5, 1.5, 0])


def test_equal_losses_are_all_kept():
    np.testing.assert_array_equal(select(0.5, 0.5, jnp.ones(4)), 1)


def test_close_quantiles_keep_the_losses_next_to_them():
    np.testing.assert_array_equal(select(0.4, 0.45, jnp.array([1.0, 2.0, 3.0])), [1.5, 1.5, 0])


def test_rounding_errors_do_not_move_a_quantile_to_another_loss():
    # In float32, 0.6 * 25 is above 15 and would be rounded up to 16.
    weights = select(0.0, 0.6, jnp.arange(26.0))
    assert (weights > 0).sum() == 16


def test_quantiles_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match=r"high_quantile is 0.2, but it must be in \[0.5, 1\]"):
        selection(0.5, 0.2)


def test_a_quantile_above_one_is_refused():
    with pytest.raises(ValueError, match=r"low_quantile is 1\.5"):
        selection(1.5, 1.6)
