"""The curriculum that trains on a growing part of each batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgar_jax import weighting
from tests.weighting.updating import update, weights_of

pacing = weighting.pacing_subset_weighting
SIZE = 6

unit = st.floats(0, 1, width=32, allow_subnormal=False)
losses_of_a_batch = hnp.arrays(np.float32, SIZE, elements=st.floats(0, 8, width=32))
masks = hnp.arrays(bool, SIZE)


@jax.jit
def paced(losses, where, progress):
    return update(pacing(10), losses, where=where, progress=progress)[0]


@jax.jit
def paced_at_random(losses, key, progress):
    return update(pacing(10, order="random"), losses, key=key, progress=progress)[0]


@given(losses_of_a_batch, masks, unit)
def test_weights_have_mean_one_over_the_batch(losses, where, progress):
    weights = paced(losses, where, progress)
    np.testing.assert_allclose(weights.sum(), where.sum(), rtol=1e-5)


@given(losses_of_a_batch, masks, st.integers(0, 10))
def test_the_easiest_part_is_kept_and_its_size_is_rounded_up(losses, where, tenths):
    kept = np.asarray(paced(losses, where, tenths / 10)) > 0
    number = -(-where.sum() * (20 + 8 * tenths) // 100)
    assert kept.sum() == number
    easiest = np.sort(losses[where])[:number]
    np.testing.assert_array_equal(np.sort(losses[kept]), easiest)


@given(losses_of_a_batch, masks, unit, unit)
def test_kept_losses_remain_kept(losses, where, one, other):
    early, late = (np.asarray(paced(losses, where, p)) > 0 for p in sorted((one, other)))
    assert not (early & ~late).any()


@given(losses_of_a_batch, st.integers(0, 9), unit, unit)
def test_randomly_kept_losses_remain_kept_with_the_same_key(losses, seed, one, other):
    key = jax.random.key(seed)
    early, late = (np.asarray(paced_at_random(losses, key, p)) > 0 for p in sorted((one, other)))
    assert not (early & ~late).any()


@given(losses_of_a_batch)
def test_all_are_kept_at_the_end(losses):
    np.testing.assert_array_equal(paced(losses, np.ones(SIZE, bool), 1.0), 1)


def test_rounding_errors_do_not_enlarge_the_part():
    # In float32, 0.6 * 25 is above 15.
    weights = weights_of(pacing(10, start_fraction=0.6), jnp.arange(25.0))
    assert (weights > 0).sum() == 15


def test_at_least_one_loss_is_kept():
    weights = weights_of(pacing(10, start_fraction=0.0), jnp.array([3.0, 1.0, 2.0]))
    np.testing.assert_array_equal(weights, [0, 3, 0])


def test_among_equal_losses_the_first_are_kept():
    weights = weights_of(pacing(10, start_fraction=0.5), jnp.ones(4))
    np.testing.assert_array_equal(weights, [2, 2, 0, 0])


def test_anti_keeps_the_hardest():
    weights = weights_of(pacing(10, 0.5, order="anti"), jnp.array([1.0, 4.0, 3.0, 2.0]))
    np.testing.assert_array_equal(weights, [0, 2, 2, 0])


def test_difficulty_can_replace_the_losses():
    extras = {"difficulty": jnp.array([1.0, 4.0, 3.0, 2.0])}
    weights = weights_of(pacing(10, 0.5, by="difficulty"), jnp.array([4.0, 1, 2, 3]), **extras)
    np.testing.assert_array_equal(weights, [2, 0, 0, 2])


def test_difficulty_is_unused_by_default():
    extras = {"difficulty": jnp.array([1.0, 4.0])}
    weights = weights_of(pacing(10, 0.5), jnp.array([4.0, 1.0]), **extras)
    np.testing.assert_array_equal(weights, [0, 2])


def test_random_order_keeps_all_examples_equally_often():
    keys = jax.random.split(jax.random.key(0), 1000)
    losses = jnp.arange(SIZE, dtype=jnp.float32)
    draw = jax.jit(jax.vmap(lambda key: paced_at_random(losses, key, 0.375)))
    kept = np.asarray(draw(keys)) > 0
    # Half of the six losses are kept; the standard deviation of each share is 0.016.
    np.testing.assert_allclose(kept.mean(0), 0.5, atol=0.08)


def test_random_order_does_not_depend_on_the_losses():
    key, losses = jax.random.key(1), jnp.arange(SIZE, dtype=jnp.float32)
    np.testing.assert_array_equal(
        paced_at_random(losses, key, 0.3), paced_at_random(losses[::-1], key, 0.3)
    )


def test_random_order_requires_a_key():
    with pytest.raises(ValueError, match=r"pacing_subset_weighting.*'key' is missing"):
        weights_of(pacing(10, order="random"), jnp.ones(2))


def test_ordering_by_difficulty_requires_a_difficulty():
    with pytest.raises(ValueError, match=r"pacing_subset_weighting.*'difficulty' is missing"):
        weights_of(pacing(10, by="difficulty"), jnp.ones(2))


@pytest.mark.parametrize("order", ["curriculum", "anti"])
def test_shards_of_a_named_axis_keep_the_part_of_one_batch(order):
    losses = np.random.default_rng(0).uniform(size=(3, 4)).astype(np.float32)
    where = np.arange(12).reshape(3, 4) != 5
    one_batch = weights_of(pacing(10, 0.4, order=order), losses, where=where)
    sharded = pacing(10, 0.4, order=order, axis_name="shards")
    shard = jax.vmap(
        lambda losses, where: update(sharded, losses, where=where)[0], axis_name="shards"
    )
    np.testing.assert_allclose(shard(losses, where), one_batch)


def test_random_order_differs_between_the_shards_of_a_named_axis():
    transform = pacing(10, 0.5, order="random", axis_name="shards")
    shard = jax.vmap(
        lambda losses: update(transform, losses, key=jax.random.key(0))[0], axis_name="shards"
    )
    kept = np.asarray(shard(jnp.ones((4, 8)))) > 0
    assert kept.sum() == 16
    assert (kept != kept[:1]).any()


def test_the_part_grows_with_a_power_of_the_updates():
    transform, losses = pacing(4, start_fraction=0.2, power=2.0), jnp.arange(10.0)
    state, found = None, []
    for _ in range(6):
        weights, state = update(transform, losses, state)
        found.append(int((weights > 0).sum()))
    # The kept part of ten losses is 0.2 + 0.8 (t / 4)^2, rounded up.
    assert found == [2, 3, 4, 7, 10, 10]


def test_an_infinite_loss_is_kept_at_the_end():
    losses = jnp.array([jnp.nan, 1.0, jnp.inf])
    weights = weights_of(pacing(1), losses, where=jnp.array([False, True, True]), progress=1.0)
    np.testing.assert_array_equal(weights, [0, 1, 1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"end_step": 0}, r"end_step is 0, but it must be in \(0, inf\)"),
        ({"end_step": 1, "start_fraction": 1.5}, "start_fraction is 1.5"),
        ({"end_step": 1, "power": 0.0}, "power is 0.0"),
        ({"end_step": 1, "order": "anty"}, "did you mean 'anti'"),
        ({"end_step": 1, "by": "loss"}, "did you mean 'losses'"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        pacing(**settings)
