import functools

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rax
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import losses

BATCH, STEPS = 3, 5
step_losses = hnp.arrays(
    np.float32, (BATCH, STEPS), elements=st.floats(0, 8, width=32, allow_subnormal=False)
)
some_mask = hnp.arrays(bool, (BATCH, STEPS))


@functools.partial(jax.jit, static_argnames=("detach_shallow", "pairs"))
def over(values, strength=1.0, margin=0.0, detach_shallow=True, pairs="all", where=None):
    return losses.loss_over_loss(values, strength, margin, detach_shallow, pairs, where=where)


@functools.partial(jax.jit, static_argnames=("detach_shallow", "pairs"))
def over_gradient(values, margin=0.0, detach_shallow=True, pairs="all"):
    def total(values):
        return losses.loss_over_loss(values, 1.0, margin, detach_shallow, pairs).sum()

    return jax.grad(total)(values)


def mean_rise(example, margin, pairs="all", where=None):
    """Computes the mean rise over the pairs of one example with loops."""
    where = np.ones(len(example), bool) if where is None else where
    steps = np.flatnonzero(where)
    chosen = [(i, j) for i in steps for j in steps if i < j and (pairs == "all" or i + 1 == j)]
    rises = [max(0.0, float(example[j]) - float(example[i]) + margin) for i, j in chosen]
    return np.mean(rises) if rises else 0.0


def test_the_loss_over_all_pairs_equals_a_value_computed_by_hand():
    # The rises are 2 from step 1 to 2 and 1 from 1 to 3; there are three pairs and three steps.
    np.testing.assert_allclose(over(np.array([[1.0, 3.0, 2.0]])), [[1, 5, 3]])


def test_the_loss_over_adjacent_pairs_equals_a_value_computed_by_hand():
    # The only rise is 2, from step 1 to 2; there are two pairs and three steps.
    np.testing.assert_allclose(over(np.array([[1.0, 3.0, 2.0]]), pairs="adjacent"), [[1, 6, 2]])


@pytest.mark.parametrize("pairs", ["all", "adjacent"])
@given(step_losses, st.floats(0, 2), st.floats(-1, 1))
def test_the_mean_is_the_mean_loss_plus_the_mean_rise(pairs, values, strength, margin):
    found = over(values, strength, margin, pairs=pairs).mean(axis=1)
    rises = [mean_rise(example, margin, pairs) for example in values]
    expected = values.mean(axis=1) + strength * np.array(rises)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pairs", ["all", "adjacent"])
@given(step_losses, some_mask)
def test_masked_steps_form_no_pairs(pairs, values, where):
    found = np.asarray(over(np.where(where, values, np.nan), pairs=pairs, where=where))
    for example, valid, row in zip(values, where, found, strict=True):
        expected = example[valid].sum() + valid.sum() * mean_rise(example, 0.0, pairs, valid)
        np.testing.assert_allclose(row.sum(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pairs", ["all", "adjacent"])
@pytest.mark.parametrize("detach_shallow", [True, False])
@given(step_losses)
def test_losses_that_never_rise_are_left(pairs, detach_shallow, values):
    values = -np.sort(-values, axis=1)
    found = over(values, pairs=pairs, detach_shallow=detach_shallow)
    gradient = over_gradient(values, pairs=pairs, detach_shallow=detach_shallow)
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(gradient, 1)


def test_one_step_is_left():
    values = np.array([[1.0], [2.0]])
    np.testing.assert_array_equal(over(values, margin=1.0), values)


@given(step_losses)
def test_without_strength_losses_are_left(values):
    np.testing.assert_array_equal(over(values, strength=0.0, margin=1.0), values)


@given(step_losses)
def test_the_pairs_at_margin_one_are_the_hinge_loss_of_rax(values):
    depth = np.broadcast_to(np.arange(STEPS, dtype=np.float32), values.shape)
    hinge = rax.pairwise_hinge_loss(-values, depth, reduce_fn=jnp.sum)
    rise = (over(values, margin=1.0) - values).sum() * (STEPS - 1) / 2  # P / S = (S - 1) / 2.
    np.testing.assert_allclose(rise, hinge, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pairs", ["all", "adjacent"])
@given(step_losses, st.floats(0, 1))
def test_with_detached_steps_no_step_profits_from_a_higher_loss(pairs, values, margin):
    assert (over_gradient(values, margin, pairs=pairs) >= 1).all()


def test_without_detached_steps_an_early_step_profits_from_a_higher_loss():
    # The pair pulls the later step down and pushes the earlier step up, by S / P = 2.
    values = np.array([[1.0, 2.0]], np.float32)
    np.testing.assert_array_equal(over_gradient(values, detach_shallow=False), [[-1, 3]])
    np.testing.assert_array_equal(over_gradient(values, detach_shallow=True), [[1, 3]])


@given(step_losses, st.integers(-8, 8))
def test_adding_a_constant_to_all_steps_does_not_change_the_rises(values, level):
    values = np.round(values * 16) / 16  # Adding the level must not round.
    found = over(values + np.float32(level)) - level
    np.testing.assert_allclose(found, over(values), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"losses": np.ones(3)}, r"shape \(3,\), but it must be \[batch, steps\]"),
        ({"losses": np.ones((1, 2)), "strength": -1}, "strength is -1"),
        ({"losses": np.ones((1, 2)), "margin": float("inf")}, "margin is inf"),
        ({"losses": np.ones((1, 2)), "pairs": "adjacnt"}, "did you mean 'adjacent'"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        losses.loss_over_loss(**arguments)
