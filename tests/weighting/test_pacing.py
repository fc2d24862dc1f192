import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgar_jax import weighting

curriculum = weighting.difficulty_curriculum_weighting
pacing = weighting.pacing_subset_weighting
HEURISTICS = {
    "min_max": jax.jit(weighting.min_max_ease),
    "quantile": jax.jit(weighting.quantile_ease),
    "reciprocal_rank": jax.jit(weighting.reciprocal_rank_ease),
}
SIZE = 6

unit = st.floats(0, 1, width=32, allow_subnormal=False)
eases = hnp.arrays(np.float32, SIZE, elements=unit)
# Few different values, so that some are equal.
difficulties = hnp.arrays(np.float32, SIZE, elements=st.integers(-3, 3))
losses_of_a_batch = hnp.arrays(np.float32, SIZE, elements=st.floats(0, 8, width=32))
masks = hnp.arrays(bool, SIZE)
every_heuristic = pytest.mark.parametrize("heuristic", sorted(HEURISTICS))


def weigh(transform, losses, state=None, **extras):
    state = transform.init(losses) if state is None else state
    return jax.jit(transform.update)(np.ones(losses.shape, np.float32), state, losses, **extras)


def weights_of(transform, losses, **extras):
    return np.asarray(weigh(transform, losses, **extras)[0])


@jax.jit
def paced(losses, where, progress):
    return weigh(pacing(10), losses, where=where, progress=progress)[0]


@jax.jit
def paced_at_random(losses, key, progress):
    return weigh(pacing(10, order="random"), losses, key=key, progress=progress)[0]


@given(losses_of_a_batch, masks, unit)
def test_the_kept_weigh_one_on_average_over_the_batch(losses, where, progress):
    weights = paced(losses, where, progress)
    np.testing.assert_allclose(weights.sum(), where.sum(), rtol=1e-5)


@given(losses_of_a_batch, masks, st.integers(0, 10))
def test_the_easiest_part_is_kept_rounded_up(losses, where, tenths):
    kept = np.asarray(paced(losses, where, tenths / 10)) > 0
    number = -(-where.sum() * (20 + 8 * tenths) // 100)
    assert kept.sum() == number
    easiest = np.sort(losses[where])[:number]
    np.testing.assert_array_equal(np.sort(losses[kept]), easiest)


@given(losses_of_a_batch, masks, unit, unit)
def test_what_is_kept_once_is_kept_from_then_on(losses, where, one, other):
    early, late = (np.asarray(paced(losses, where, p)) > 0 for p in sorted((one, other)))
    assert not (early & ~late).any()


@given(losses_of_a_batch, st.integers(0, 9), unit, unit)
def test_what_is_kept_at_random_is_kept_from_then_on_with_the_same_key(losses, seed, one, other):
    key = jax.random.key(seed)
    early, late = (np.asarray(paced_at_random(losses, key, p)) > 0 for p in sorted((one, other)))
    assert not (early & ~late).any()


@given(losses_of_a_batch)
def test_all_are_kept_at_the_end(losses):
    np.testing.assert_array_equal(paced(losses, np.ones(SIZE, bool), 1.0), 1)


def test_a_part_that_is_meant_to_be_whole_is_not_rounded_up():
    # In float32 0.6 of 25 is above 15.
    weights = weights_of(pacing(10, start_fraction=0.6), jnp.arange(25.0))
    assert (weights > 0).sum() == 15


def test_one_is_kept_at_least():
    weights = weights_of(pacing(10, start_fraction=0.0), jnp.array([3.0, 1.0, 2.0]))
    np.testing.assert_array_equal(weights, [0, 3, 0])


def test_of_equal_losses_the_first_are_kept():
    weights = weights_of(pacing(10, start_fraction=0.5), jnp.ones(4))
    np.testing.assert_array_equal(weights, [2, 2, 0, 0])


def test_anti_keeps_the_hardest():
    weights = weights_of(pacing(10, 0.5, order="anti"), jnp.array([1.0, 4.0, 3.0, 2.0]))
    np.testing.assert_array_equal(weights, [0, 2, 2, 0])


def test_difficulty_takes_the_place_of_the_losses():
    extras = {"difficulty": jnp.array([1.0, 4.0, 3.0, 2.0])}
    weights = weights_of(pacing(10, 0.5, by="difficulty"), jnp.array([4.0, 1, 2, 3]), **extras)
    np.testing.assert_array_equal(weights, [2, 0, 0, 2])


def test_the_losses_decide_even_if_a_difficulty_is_passed():
    extras = {"difficulty": jnp.array([1.0, 4.0])}
    weights = weights_of(pacing(10, 0.5), jnp.array([4.0, 1.0]), **extras)
    np.testing.assert_array_equal(weights, [0, 2])


def test_at_random_each_is_kept_as_often():
    keys = jax.random.split(jax.random.key(0), 1000)
    losses = jnp.arange(SIZE, dtype=jnp.float32)
    draw = jax.jit(jax.vmap(lambda key: paced_at_random(losses, key, 0.375)))
    kept = np.asarray(draw(keys)) > 0
    # Half of six are kept: the standard deviation of each share is 0.016.
    np.testing.assert_allclose(kept.mean(0), 0.5, atol=0.08)


def test_at_random_the_losses_do_not_matter():
    key, losses = jax.random.key(1), jnp.arange(SIZE, dtype=jnp.float32)
    np.testing.assert_array_equal(
        paced_at_random(losses, key, 0.3), paced_at_random(losses[::-1], key, 0.3)
    )


def test_a_random_order_needs_a_key():
    with pytest.raises(ValueError, match=r"pacing_subset_weighting.*'key' is missing"):
        weights_of(pacing(10, order="random"), jnp.ones(2))


def test_a_difficulty_that_decides_is_needed():
    with pytest.raises(ValueError, match=r"pacing_subset_weighting.*'difficulty' is missing"):
        weights_of(pacing(10, by="difficulty"), jnp.ones(2))


@pytest.mark.parametrize("order", ["curriculum", "anti"])
def test_the_part_over_a_named_axis_is_that_of_one_batch(order):
    losses = np.random.default_rng(0).uniform(size=(3, 4)).astype(np.float32)
    where = np.arange(12).reshape(3, 4) != 5
    one_batch = weights_of(pacing(10, 0.4, order=order), losses, where=where)
    sharded = pacing(10, 0.4, order=order, axis_name="shards")
    shard = jax.vmap(
        lambda losses, where: weigh(sharded, losses, where=where)[0], axis_name="shards"
    )
    np.testing.assert_allclose(shard(losses, where), one_batch)


def test_at_random_the_shards_of_a_named_axis_draw_differently():
    transform = pacing(10, 0.5, order="random", axis_name="shards")
    shard = jax.vmap(
        lambda losses: weigh(transform, losses, key=jax.random.key(0))[0], axis_name="shards"
    )
    kept = np.asarray(shard(jnp.ones((4, 8)))) > 0
    assert kept.sum() == 16
    assert (kept != kept[:1]).any()


def test_the_part_grows_by_the_power_of_the_updates():
    transform, losses = pacing(4, start_fraction=0.2, power=2.0), jnp.arange(10.0)
    state, found = None, []
    for _ in range(6):
        weights, state = weigh(transform, losses, state)
        found.append(int((weights > 0).sum()))
    # 0.2 + 0.8 (t / 4)^2 of ten, rounded up.
    assert found == [2, 3, 4, 7, 10, 10]


def test_an_infinite_loss_is_kept_once_all_are():
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
def test_settings_of_the_pacing_that_are_wrong_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        pacing(**settings)
