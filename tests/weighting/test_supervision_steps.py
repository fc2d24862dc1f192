"""Weightings of the steps of deep supervision."""

import functools

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rax
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import weighting
from tests.weighting import updating

BATCH, STEPS = 3, 5

sorted_exits = weighting.sorted_exit_weighting
nested = weighting.nested_depth_weighting
position_importance = weighting.position_importance_weighting
hsw = weighting.hierarchical_supervision_weighting

losses_of_steps = hnp.arrays(
    np.float32, (BATCH, STEPS), elements=st.floats(0, 8, width=32, allow_subnormal=False)
)
some_mask = hnp.arrays(bool, (BATCH, STEPS))
some_losses = np.random.default_rng(0).uniform(0, 3, (BATCH, STEPS)).astype(np.float32)


def weights_of(transform, losses=some_losses, **extras):
    return updating.weights_of(transform, losses, **extras)


def mean_of(transform, losses=some_losses, **extra_args):
    @jax.jit
    def reduce(losses, extra_args):
        return weighting.weighted_mean(transform, losses, transform.init(losses), **extra_args)[0]

    return reduce(losses, extra_args)


# sorted_exit_weighting


def test_an_exit_has_weight_steps_over_exits_and_other_steps_have_weight_zero():
    np.testing.assert_allclose(weights_of(sorted_exits([2, 5]))[0], [0, 2.5, 0, 0, 2.5])


@pytest.mark.parametrize("exits", [(1,), (2, 4), (5, 3, 1)])
def test_the_weighted_mean_is_the_mean_over_the_exits(exits):
    expected = some_losses[:, np.array(exits) - 1].mean()
    np.testing.assert_allclose(mean_of(sorted_exits(exits)), expected, rtol=1e-5)


def test_the_last_step_as_the_only_exit_is_standard_training():
    np.testing.assert_allclose(mean_of(sorted_exits([STEPS])), some_losses[:, -1].mean(), rtol=1e-6)


def test_all_exits_equal_a_hierarchical_weighting_without_decay():
    ones = weights_of(hsw(decay=1.0, num_steps=STEPS, normalize="mean"))
    np.testing.assert_array_equal(weights_of(sorted_exits()), ones)
    np.testing.assert_array_equal(weights_of(sorted_exits(range(1, STEPS + 1))), ones)


def test_it_commutes_with_the_hierarchical_weighting():
    exits, decay = sorted_exits([2, 5]), hsw(decay=0.7, num_steps=STEPS)
    found, expected = (weights_of(optax.chain(*two)) for two in ((exits, decay), (decay, exits)))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(found, weights_of(exits) * weights_of(decay), rtol=1e-6)


def test_the_gradient_of_a_shared_head_is_the_mean_of_the_gradients_of_the_exits():
    states = np.random.default_rng(1).normal(size=(BATCH, STEPS, 4)).astype(np.float32)
    step_losses = lambda head: jnp.square(states @ head - 1)  # noqa: E731
    head = jnp.array([0.3, -1.0, 0.5, 2.0])
    found = jax.grad(lambda head: mean_of(sorted_exits([2, 5]), step_losses(head)))(head)
    each = [jax.grad(lambda head, s=s: step_losses(head)[:, s].mean())(head) for s in (1, 4)]
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-5, atol=1e-6)


@given(losses_of_steps, some_mask)
def test_normalized_weights_give_the_mean_over_valid_exits(losses, where):
    found = normalized_exit_mean(losses, where)
    counted = losses[:, [1, 4]][where[:, [1, 4]]]
    expected = counted.mean() if counted.size else 0
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@jax.jit
def normalized_exit_mean(losses, where):
    chain = optax.chain(sorted_exits([2, 5]), weighting.unit_mean_weighting())
    return mean_of(chain, losses, where=where)


@pytest.mark.parametrize("exits", [[], [0, 1], [2, 2], [1.5]])
def test_exits_that_are_not_a_set_of_steps_are_refused(exits):
    with pytest.raises(ValueError, match=r"exits is .* counted from 1"):
        sorted_exits(exits)


def test_an_exit_beyond_the_last_step_raises_an_error():
    with pytest.raises(ValueError, match=r"shape \(3, 5\) have only 5 steps"):
        weights_of(sorted_exits([2, 6]))


@pytest.mark.parametrize("transform", [sorted_exits(), nested()])
def test_losses_without_an_axis_of_steps_are_refused(transform):
    with pytest.raises(ValueError, match=r"shape \(4,\).*pass the losses as \[batch, steps\]"):
        weights_of(transform, np.ones(4), key=jax.random.key(0))


# nested_depth_weighting


def counts_of(key, steps=STEPS, **settings):
    """Returns the number of draws of each step of one example."""
    draws = settings.get("draws", 1) + settings.get("always_last", False)
    weights = weights_of(nested(**settings), np.zeros((1, steps), np.float32), key=key)
    return weights[0] * draws / steps


def counts_of_many_keys(number=4096, **settings):
    keys = jax.random.split(jax.random.key(0), number)
    return np.asarray(jax.jit(jax.vmap(lambda key: counts_of(key, **settings)))(keys))


def assert_mean_close(counts, expected):
    """Asserts that the mean is within five standard errors of independent draws."""
    error = np.sqrt(np.maximum(counts.var(axis=0), 1e-12) / len(counts))
    assert (np.abs(counts.mean(axis=0) - expected) <= 5 * error + 1e-5).all()


PROBABILITIES = (0.1, 0.0, 0.2, 0.05, 0.65)


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("probabilities", [None, PROBABILITIES])
def test_each_step_is_drawn_in_proportion_to_its_probability(probabilities, draws):
    counts = counts_of_many_keys(probabilities=probabilities, draws=draws)
    expected = np.full(STEPS, 1 / STEPS) if probabilities is None else np.array(probabilities)
    np.testing.assert_allclose(counts.sum(axis=1), draws, rtol=1e-5)
    assert_mean_close(counts, draws * expected)


@pytest.mark.parametrize("draws", [1, 4])
def test_the_number_of_draws_is_the_expected_number_rounded_up_or_down(draws):
    counts = counts_of_many_keys(probabilities=PROBABILITIES, draws=draws, number=256)
    assert (np.abs(counts - draws * np.array(PROBABILITIES)) < 1 + 1e-5).all()
    np.testing.assert_allclose(counts, counts.round(), atol=1e-5)


def test_the_expected_weighted_mean_is_the_expected_loss_of_a_drawn_step():
    @jax.jit
    @jax.vmap
    def value(key):
        return mean_of(nested(PROBABILITIES, draws=2, per_example=True), key=key)

    values = value(jax.random.split(jax.random.key(0), 4096))
    assert_mean_close(values[:, None], (some_losses @ np.array(PROBABILITIES)).mean())


def test_with_equal_probabilities_the_masked_mean_is_unbiased():
    where = np.array([[True] * 5, [True, True, False, False, False], [False] * 5])
    mean = jax.jit(jax.vmap(lambda key: mean_of(nested(), where=where, key=key)))
    values = mean(jax.random.split(jax.random.key(0), 4096))
    assert_mean_close(values[:, None], some_losses[where].mean())


def test_drawing_only_the_last_step_is_standard_training():
    found = mean_of(nested((0, 0, 0, 0, 1)), key=jax.random.key(1))
    np.testing.assert_allclose(found, some_losses[:, -1].mean(), rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 49])
def test_as_many_draws_as_steps_draw_every_step_once(steps):
    counts = counts_of_many_keys(steps=steps, draws=steps, number=256)
    np.testing.assert_allclose(counts, 1, rtol=1e-6)


def test_as_many_draws_as_likely_steps_draw_each_of_them_once():
    counts = counts_of_many_keys(probabilities=(0, 1, 0, 0, 1), draws=2, number=256)
    exits = weights_of(sorted_exits([2, 5]))[:1] * 2 / STEPS
    np.testing.assert_allclose(counts, exits * np.ones((256, 1)), rtol=1e-6)


def test_draws_are_equal_for_equal_keys_and_vary_between_keys():
    draw = jax.jit(lambda seed: weights_of(nested(), key=jax.random.key(seed)))
    np.testing.assert_array_equal(draw(3), draw(3))
    assert len({tuple(np.asarray(draw(seed)[0])) for seed in range(32)}) == STEPS


def test_steps_with_probability_zero_change_nothing():
    deeper = np.concatenate([some_losses, np.full((BATCH, 2), 7, np.float32)], axis=1)
    keys = jax.random.split(jax.random.key(0), 64)
    found = jax.vmap(lambda key: mean_of(nested((*PROBABILITIES, 0, 0)), deeper, key=key))(keys)
    expected = jax.vmap(lambda key: mean_of(nested(PROBABILITIES), key=key))(keys)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("per_example", [False, True])
def test_examples_share_their_draw_unless_per_example_is_set(per_example):
    losses = np.zeros((64, STEPS), np.float32)
    weights = weights_of(nested(per_example=per_example), losses, key=jax.random.key(0))
    rows = {tuple(row) for row in np.asarray(weights)}
    assert len(rows) == (STEPS if per_example else 1)


def test_all_loss_terms_share_their_draw():
    transform = nested(per_example=True)
    ones = {"answer": jnp.ones((64, STEPS)), "halt": jnp.ones((64, STEPS))}
    update = jax.jit(lambda key: transform.update(ones, transform.init(ones), ones, key=key)[0])
    weights = update(jax.random.key(0))
    np.testing.assert_array_equal(weights["answer"], weights["halt"])


def test_always_last_adds_a_draw_of_the_last_step():
    counts = counts_of_many_keys(draws=2, always_last=True)
    assert (counts[:, -1] >= 1 - 1e-5).all()
    np.testing.assert_allclose(counts.sum(axis=1), 3, rtol=1e-5)
    assert_mean_close(counts, 2 / STEPS + np.array([0, 0, 0, 0, 1]))


def test_losses_of_steps_that_are_not_drawn_may_be_nan():
    losses = some_losses.copy()
    losses[:, :-1] = np.nan
    weights = weights_of(nested((0, 0, 0, 0, 1)), losses, key=jax.random.key(0))
    np.testing.assert_array_equal(weights[0], [0, 0, 0, 0, STEPS])


def test_probabilities_may_be_traced():
    found = jax.jit(lambda p: weights_of(nested(p), key=jax.random.key(5)))(jnp.array([1.0] * 5))
    np.testing.assert_allclose(found, weights_of(nested(), key=jax.random.key(5)), rtol=1e-6)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"draws": 0}, r"draws is 0, but it must be in \[1, inf\)"),
        ({"probabilities": (0.5, -0.1)}, "0 or more for each step"),
        ({"probabilities": (0.0, 0.0)}, "not all 0"),
        ({"probabilities": (0.5, float("nan"))}, "0 or more for each step"),
    ],
)
def test_wrong_settings_of_the_draws_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        nested(**setting)


def test_probabilities_for_another_number_of_steps_raise_an_error():
    with pytest.raises(ValueError, match=r"shape \(2,\), but the losses have 5 steps"):
        weights_of(nested((0.5, 0.5)), key=jax.random.key(0))


# position_importance_weighting


@functools.partial(jax.jit, static_argnums=1)
def position_weights(positions, discount="log2", offset=1.0):
    return weights_of(
        position_importance(offset, discount), jnp.zeros(positions.shape), position=positions
    )


def test_position_weights_worked_by_hand():
    found = position_weights(np.array([1, 3, 7, 2**20 - 1]))
    np.testing.assert_allclose(found, [2, 1.5, 1 + 1 / 3, 1.05], rtol=1e-6)


def test_reciprocal_weights_worked_by_hand():
    found = position_weights(np.array([1, 2, 4]), "reciprocal", 0.5)
    np.testing.assert_allclose(found, [1.5, 1, 0.75], rtol=1e-6)


@pytest.mark.parametrize("discount", ["log2", "reciprocal"])
def test_position_weights_fall_strictly_towards_the_offset(discount):
    weights = np.asarray(position_weights(np.arange(1, 200), discount))
    assert (np.diff(weights) < 0).all()
    assert (weights > 1).all()


def test_a_discount_of_zero_leaves_the_weights_unchanged():
    found = position_weights(np.array([1, 4, 9]), lambda position: 0 * position)
    np.testing.assert_array_equal(found, 1)


def test_the_discount_is_that_of_the_dcg():
    positions = np.arange(1, 8)

    def gain(position):
        """Returns the DCG of a list whose only relevant item is at this position."""
        scores = -np.arange(7, dtype=np.float32)
        return rax.dcg_metric(scores, (positions == position).astype(np.float32))

    expected = [gain(position) for position in positions]
    np.testing.assert_allclose(position_weights(positions) - 1, expected, rtol=1e-5)


@jax.jit
def position_mean(losses):
    return mean_of(position_importance(), losses)


@given(losses_of_steps)
def test_the_weighted_mean_is_linear_in_the_losses(losses):
    expected = 2 * position_mean(losses) + position_mean(1 + 0 * losses)
    np.testing.assert_allclose(position_mean(2 * losses + 1), expected, rtol=1e-5)


def test_the_default_position_is_the_index_along_the_axis_of_steps():
    expected = position_weights(np.tile(np.arange(1, STEPS + 1), (BATCH, 1)))
    np.testing.assert_array_equal(weights_of(position_importance()), expected)


@pytest.mark.parametrize("shape", [(BATCH,), (BATCH, STEPS)])
def test_the_supervision_step_replaces_a_missing_position(shape):
    step = np.array([4, 1, 2])
    found = weights_of(position_importance(), np.zeros(shape), supervision_step=step)
    expected = weights_of(position_importance(), np.zeros(shape), position=step)
    np.testing.assert_array_equal(found, expected)
    assert not np.allclose(found, found[::-1])


def test_a_position_takes_precedence_over_a_supervision_step():
    position, step = np.array([1, 2, 3]), np.array([9, 9, 9])
    found = weights_of(position_importance(), np.zeros(3), position=position, supervision_step=step)
    np.testing.assert_array_equal(found, position_weights(position))


def test_structural_tokens_have_weight_one_at_any_position():
    found = weights_of(
        position_importance(offset=0.5),
        np.zeros((1, 3)),
        position=np.array([[1, 0, 3]]),
        is_structural=np.array([[False, True, False]]),
    )
    np.testing.assert_allclose(found, [[1.5, 1, 1]], rtol=1e-6)


def test_masked_positions_may_have_any_value():
    found = weights_of(
        position_importance(),
        np.zeros(3),
        position=np.array([-1, 1, 0]),
        where=np.array([False, True, False]),
    )
    np.testing.assert_array_equal(found, [0, 2, 0])


@pytest.mark.parametrize("position", [0, -1, -7])
def test_a_position_below_one_has_weight_zero(position):
    found = position_weights(np.array([position, 1]))
    np.testing.assert_array_equal(found, [0, 2])


def test_a_discount_function_works_with_a_schedule_of_the_offset():
    scheduled = optax.inject_hyperparams(position_importance, static_args="discount")(
        offset=lambda count: 0.5, discount=lambda position: 1 / position
    )
    expected = weights_of(position_importance(0.5, "reciprocal"))
    np.testing.assert_allclose(weights_of(scheduled), expected, rtol=1e-6)


def test_a_missing_position_raises_an_error_that_describes_it():
    with pytest.raises(ValueError, match=r"'position' is missing.*'supervision_step'.*\(4,\)"):
        weights_of(position_importance(), np.zeros(4))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"offset": -1}, r"offset is -1, but it must be in \[0, inf\)"),
        ({"discount": "log"}, "did you mean 'log2'"),
    ],
)
def test_position_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        position_importance(**setting)
