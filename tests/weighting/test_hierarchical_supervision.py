"""The geometric weighting of supervision steps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import weighting
from tests.weighting.updating import weights_of

hsw = weighting.hierarchical_supervision_weighting
decays = st.floats(0.05, 1.0)
several = st.sampled_from([2, 3, 16])


@functools.partial(jax.jit, static_argnums=(1, 2))
def weights_of_all_steps(decay, num_steps, normalize="sum"):
    return weights_of(hsw(decay, num_steps, normalize), np.zeros(num_steps)[None])[0]


@given(decays, several)
def test_weights_of_all_steps_sum_to_one(decay, num_steps):
    np.testing.assert_allclose(weights_of_all_steps(decay, num_steps).sum(), 1, rtol=1e-5)


@given(decays, several)
def test_each_weight_is_decay_times_the_previous_weight(decay, num_steps):
    weights = np.asarray(weights_of_all_steps(decay, num_steps))
    np.testing.assert_allclose(weights[1:] / weights[:-1], decay, rtol=1e-5)


@given(decays, several)
def test_mean_normalized_weights_of_all_steps_have_mean_one(decay, num_steps):
    np.testing.assert_allclose(weights_of_all_steps(decay, num_steps, "mean").mean(), 1, rtol=1e-5)


def test_unnormalized_weights_are_the_powers_of_the_decay():
    weights = weights_of(hsw(0.7, 16, "none"), np.zeros((1, 4)))
    np.testing.assert_allclose(weights, [[1, 0.7, 0.49, 0.343]], rtol=1e-6)


def test_hand_worked_weights():
    # Z = 1 + 1/2 + 1/4 = 7/4.
    weights = weights_of(hsw(0.5, 3), np.zeros(4), supervision_step=jnp.array([1, 2, 3, 1]))
    np.testing.assert_allclose(weights, [4 / 7, 2 / 7, 1 / 7, 4 / 7], rtol=1e-6)


@pytest.mark.parametrize("per", ["example", "batch"])
@pytest.mark.parametrize("normalize", ["mean", "none"])
def test_decay_one_leaves_the_weights_bitwise_unchanged(per, normalize):
    weights = np.random.default_rng(0).uniform(size=(3, 5)).astype(np.float32)
    transform = hsw(1.0, 16, normalize, per)
    found, _ = jax.jit(transform.update)(weights, transform.init(weights), weights)
    np.testing.assert_array_equal(found, weights)


def test_a_decay_near_zero_keeps_only_the_first_step():
    weights = weights_of(hsw(1e-12, 4), np.zeros((1, 4)))
    np.testing.assert_allclose(weights, [[1, 0, 0, 0]], atol=1e-9)


def test_incoming_weights_are_multiplied():
    weights, losses = jnp.array([2.0, 3.0]), np.zeros(2)
    transform = hsw(0.5, 2, "none")
    found, _ = transform.update(
        weights, transform.init(losses), losses, supervision_step=jnp.array([1, 2])
    )
    np.testing.assert_allclose(found, [2, 1.5], rtol=1e-6)


def test_separate_steps_have_the_weights_of_an_axis_of_steps():
    transform, losses = hsw(0.7, 5), np.zeros((3, 5))
    one_by_one = [
        weights_of(transform, losses[:, t], supervision_step=np.full(3, t + 1)) for t in range(5)
    ]
    np.testing.assert_allclose(weights_of(transform, losses), jnp.stack(one_by_one, 1), rtol=1e-6)


def test_the_step_of_an_example_applies_to_all_its_tokens():
    weights = weights_of(hsw(0.5, 2, "none"), np.zeros((2, 7)), supervision_step=jnp.array([1, 2]))
    np.testing.assert_allclose(weights, jnp.array([[1.0], [0.5]]) * np.ones((2, 7)), rtol=1e-6)


def test_permuting_the_batch_permutes_the_weights():
    steps, order = jnp.array([1, 5, 2, 2, 16, 9]), jnp.array([3, 0, 5, 1, 4, 2])
    weights = weights_of(hsw(), np.zeros(6), supervision_step=steps)
    permuted = weights_of(hsw(), np.zeros(6), supervision_step=steps[order])
    np.testing.assert_array_equal(permuted, weights[order])


def test_per_batch_uses_the_mean_step_rounded_down():
    # The mean of 1, 2, 5, 3 is 2.75: step 2.
    transform = hsw(0.7, 16, "none", "batch")
    weights = weights_of(transform, np.zeros(4), supervision_step=jnp.array([1, 2, 5, 3]))
    np.testing.assert_allclose(weights, 0.7, rtol=1e-6)


def test_per_batch_ignores_masked_examples():
    where = jnp.array([True, True, False])
    steps = jnp.array([3, 3, 1000])
    transform = hsw(0.7, 16, "none", "batch")
    weights = weights_of(transform, np.zeros(3), supervision_step=steps, where=where)
    np.testing.assert_allclose(weights, [0.49, 0.49, 0], rtol=1e-6)


def test_per_batch_with_incoming_steps_agrees_with_the_published_formula():
    incoming, refilled = np.array([4, 2, 0, 5]), np.array([5, 3, 1, 1])
    weights = weights_of(
        hsw(0.7, 16, "none", "batch"),
        {"answer": np.zeros(4), "halt": np.zeros(4)},
        supervision_step=jnp.asarray(refilled),
        incoming_steps=jnp.asarray(incoming),
    )
    for term in ("answer", "halt"):
        np.testing.assert_allclose(weights[term], 0.7 ** int(np.mean(incoming)), rtol=1e-6)


def test_incoming_steps_of_slots_with_a_masked_example_count():
    weights = weights_of(
        hsw(0.5, 16, "none", "batch"),
        np.zeros(3),
        incoming_steps=jnp.array([1, 1, 7]),
        where=jnp.array([True, True, False]),
    )
    np.testing.assert_allclose(weights, [0.5**3, 0.5**3, 0])


def test_incoming_steps_do_not_change_the_weights_of_single_examples():
    step = jnp.array([1, 2])
    weights = weights_of(
        hsw(0.5, 2, "none"), np.zeros(2), supervision_step=step, incoming_steps=step
    )
    np.testing.assert_allclose(weights, [1, 0.5])


@pytest.mark.parametrize("incoming", [np.zeros(3, int), np.zeros(2)], ids=["shape", "dtype"])
def test_incoming_steps_of_another_shape_or_dtype_raise_an_error(incoming):
    with pytest.raises(ValueError, match=r"incoming_steps has (shape|dtype)"):
        weights_of(hsw(per="batch"), np.zeros(2), incoming_steps=incoming)


def test_masked_examples_have_weight_zero_at_any_step():
    steps = jnp.array([1, -(2**31) + 1])
    where = jnp.array([True, False])
    weights = weights_of(hsw(0.7, 1), np.zeros(2), supervision_step=steps, where=where)
    np.testing.assert_array_equal(weights, [1, 0])


def test_weights_keep_their_dtype_and_are_computed_in_float32():
    losses = np.zeros((1, 16), jnp.bfloat16)
    exact = weights_of(hsw(0.9), losses.astype(jnp.float32))
    weights = weights_of(hsw(0.9), losses)
    assert weights.dtype == jnp.bfloat16
    np.testing.assert_array_equal(weights, exact.astype(jnp.bfloat16))


def test_jit_equals_eager():
    transform, losses, steps = hsw(), jnp.ones(3), jnp.array([1, 4, 16])
    eager, _ = transform.update(losses, transform.init(losses), losses, supervision_step=steps)
    weights = weights_of(transform, losses, supervision_step=steps)
    np.testing.assert_allclose(weights, eager, rtol=1e-6)


def test_vmap_equals_a_loop():
    steps = jnp.array([[1, 2], [3, 4], [16, 1]])
    weights = lambda step: weights_of(hsw(), np.ones(2), supervision_step=step)  # noqa: E731
    expected = jnp.stack([weights(step) for step in steps])
    np.testing.assert_allclose(jax.vmap(weights)(steps), expected, rtol=1e-6)


def test_the_decay_follows_a_schedule_under_inject_hyperparams():
    schedule = optax.piecewise_constant_schedule(1.0, {1: 0.5})
    transform = optax.inject_hyperparams(hsw)(decay=schedule, num_steps=2)
    losses = np.zeros((1, 2))
    update = jax.jit(lambda state: transform.update(jnp.ones((1, 2)), state, losses))
    first, state = update(transform.init(losses))
    second, _ = update(state)
    np.testing.assert_allclose(first, [[1 / 2, 1 / 2]], rtol=1e-6)
    np.testing.assert_allclose(second, [[2 / 3, 1 / 3]], rtol=1e-6)


def test_optax_masked_restricts_it_to_the_named_terms():
    losses = {"answer": np.zeros(2), "halt": np.zeros(2)}
    transform = optax.masked(hsw(0.5, 2, "none"), {"answer": True, "halt": False})
    weights = weights_of(transform, losses, supervision_step=jnp.array([1, 2]))
    np.testing.assert_allclose(weights["answer"], [1, 0.5])
    np.testing.assert_array_equal(weights["halt"], [1, 1])


def test_optax_partition_gives_each_term_its_own_weighting():
    losses = {"answer": np.zeros(2), "halt": np.zeros(2)}
    transform = optax.partition(
        {"steep": hsw(0.5, 2, "none"), "flat": hsw(1.0, 2, "none")},
        {"answer": "steep", "halt": "flat"},
    )
    weights = weights_of(transform, losses, supervision_step=jnp.array([1, 2]))
    np.testing.assert_allclose(weights["answer"], [1, 0.5])
    np.testing.assert_array_equal(weights["halt"], [1, 1])


def test_a_missing_step_raises_an_error_that_describes_it():
    message = r"hierarchical_supervision_weighting.*'supervision_step' is missing.*\(4,\)"
    with pytest.raises(ValueError, match=message):
        weights_of(hsw(), np.zeros(4))


def test_more_steps_than_num_steps_raise_an_error():
    with pytest.raises(ValueError, match="81 steps, but num_steps is 16"):
        weights_of(hsw(), np.zeros((2, 81)))


def test_steps_of_another_batch_size_raise_an_error():
    with pytest.raises(ValueError, match=r"'supervision_step' has shape \(3,\).*\(4,\)"):
        weights_of(hsw(), np.zeros(4), supervision_step=np.ones(3, jnp.int32))


@pytest.mark.parametrize("decay", [0, 0.0, -0.1, 1.1, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"must be in \(0, 1\]"):
        hsw(decay=decay)


def test_num_steps_zero_is_refused():
    with pytest.raises(ValueError, match="num_steps is 0, but it must be in"):
        hsw(num_steps=0)


@pytest.mark.parametrize("setting", [{"normalize": "summ"}, {"per": "exampel"}])
def test_an_unknown_choice_raises_an_error_that_suggests_the_nearest(setting):
    with pytest.raises(ValueError, match=r"did you mean '(sum|example)'"):
        hsw(**setting)
