import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
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
def weights_at(ease, progress):
    transform = curriculum(10, min_ease=0.0)
    return weights_of_jitted(transform, ease, progress)


@jax.jit
def anti_weights_at(ease, progress):
    return weights_of_jitted(curriculum(10, anti=True, min_ease=0.0), ease, progress)


def weights_of_jitted(transform, ease, progress):
    return weigh(transform, jnp.ones(SIZE), ease=ease, progress=progress)[0]


@given(eases)
def test_the_weight_is_the_ease_at_the_start(ease):
    np.testing.assert_array_equal(weights_at(ease, 0.0), ease)


@given(eases)
def test_at_the_end_all_weigh_the_same(ease):
    np.testing.assert_array_equal(weights_at(ease, 1.0), 1)


@given(unit)
def test_the_easiest_weighs_one_all_the_time(progress):
    np.testing.assert_array_equal(weights_at(np.ones(SIZE, np.float32), progress), 1)


@given(eases, unit)
def test_the_weight_lies_between_the_ease_and_one(ease, progress):
    weights = weights_at(ease, progress)
    assert (weights >= ease * (1 - 1e-6)).all()
    assert (weights <= 1 + 1e-6).all()


@given(eases, unit, unit)
def test_the_weight_never_falls_over_training(ease, one, other):
    early, late = sorted((one, other))
    assert (weights_at(ease, late) >= weights_at(ease, early) - 1e-6).all()


@given(eases, unit)
def test_the_easier_never_weighs_less(ease, progress):
    assert (np.diff(weights_at(np.sort(ease), progress)) >= -1e-6).all()


@given(eases, unit)
def test_anti_weighs_as_one_minus_the_ease(ease, progress):
    np.testing.assert_allclose(
        anti_weights_at(ease, progress), weights_at(1 - ease, progress), rtol=1e-6
    )


def test_updates_count_as_progress_up_to_the_end_step():
    transform, losses = curriculum(4), jnp.ones(1)
    state, found = None, []
    for _ in range(6):
        weights, state = weigh(transform, losses, state, ease=jnp.array([0.2]))
        found.append(float(weights[0]))
    np.testing.assert_allclose(found, [0.2, 0.4, 0.6, 0.8, 1, 1], rtol=1e-6)


def test_progress_takes_the_place_of_the_updates():
    transform, ease = curriculum(2), jnp.array([0.5])
    _, state = weigh(transform, jnp.ones(1), ease=ease)
    weights, _ = weigh(transform, jnp.ones(1), state, ease=ease, progress=0.0)
    np.testing.assert_allclose(weights, 0.5)


@pytest.mark.parametrize(("progress", "expected"), [(-1.0, 0.25), (2.0, 1.0)])
def test_progress_beyond_its_range_counts_as_its_end(progress, expected):
    weights = weights_of(curriculum(2), jnp.ones(1), ease=jnp.array([0.25]), progress=progress)
    np.testing.assert_allclose(weights, expected)


def test_a_fade_of_its_own_takes_the_place_of_the_linear_one():
    transform = curriculum(10, fade=jnp.square)
    weights = weights_of(transform, jnp.ones(1), ease=jnp.array([0.2]), progress=0.5)
    np.testing.assert_allclose(weights, 0.2 * 0.75 + 0.25, rtol=1e-6)


def test_no_weight_is_below_the_least_ease():
    weights = weights_of(curriculum(10, min_ease=0.3), jnp.ones(2), ease=jnp.array([0.0, 0.5]))
    np.testing.assert_allclose(weights, [0.3, 0.5], rtol=1e-6)


def test_the_hardest_of_all_still_weighs_something():
    assert weights_of(curriculum(10), jnp.ones(1), ease=jnp.zeros(1)) > 0


@every_heuristic
def test_the_heuristic_makes_an_ease_of_the_difficulty(heuristic):
    difficulty = jnp.array([5.0, 2.0, 9.0, 2.0])
    weights = weights_of(curriculum(10, heuristic), jnp.ones(4), difficulty=difficulty)
    np.testing.assert_allclose(weights, HEURISTICS[heuristic](difficulty), atol=1e-6)


def test_an_ease_that_is_passed_is_used_in_place_of_the_difficulty():
    extras = {"difficulty": jnp.array([1.0, 2.0]), "ease": jnp.array([0.1, 0.7])}
    weights = weights_of(curriculum(10), jnp.ones(2), **extras)
    np.testing.assert_allclose(weights, extras["ease"], rtol=1e-6)


@every_heuristic
@given(difficulty=difficulties, where=masks)
def test_the_harder_is_never_the_easier(heuristic, difficulty, where):
    ease = np.asarray(HEURISTICS[heuristic](difficulty, where))
    order = np.argsort(difficulty[where])
    assert (np.diff(ease[where][order]) <= 1e-6).all()


@every_heuristic
@given(difficulty=difficulties, where=masks)
def test_ease_is_in_the_unit_interval_and_zero_where_masked(heuristic, difficulty, where):
    ease = np.asarray(HEURISTICS[heuristic](difficulty, where))
    assert ((ease >= 0) & (ease <= 1)).all()
    assert not ease[~where].any()


@every_heuristic
@given(difficulty=difficulties, where=masks)
def test_examples_that_are_masked_do_not_change_the_ease_of_others(heuristic, difficulty, where):
    ease = HEURISTICS[heuristic](np.where(where, difficulty, np.nan), where)
    moved = HEURISTICS[heuristic](np.where(where, difficulty, 9), where)
    np.testing.assert_array_equal(ease, moved)


@every_heuristic
def test_the_ease_of_a_part_is_that_of_the_part_alone(heuristic):
    difficulty = jnp.array([3.0, 1.0, 9.0, 2.0, 2.0])
    ease = HEURISTICS[heuristic](difficulty, jnp.array([True, True, False, True, True]))
    alone = HEURISTICS[heuristic](difficulty[jnp.array([0, 1, 3, 4])])
    np.testing.assert_allclose(ease[jnp.array([0, 1, 3, 4])], alone, rtol=1e-6)


@every_heuristic
def test_no_examples_have_no_ease(heuristic):
    assert HEURISTICS[heuristic](jnp.zeros(0)).shape == (0,)


@every_heuristic
def test_ease_over_a_named_axis_is_that_of_one_batch(heuristic):
    difficulty = np.random.default_rng(0).integers(0, 5, (3, 4)).astype(np.float32)
    where = np.arange(12).reshape(3, 4) != 5
    ease = getattr(weighting, f"{heuristic}_ease")
    shard = jax.jit(jax.vmap(lambda *args: ease(*args, axis_name="shards"), axis_name="shards"))
    expected = HEURISTICS[heuristic](difficulty, where)
    np.testing.assert_allclose(shard(difficulty, where), expected, rtol=1e-6)


def test_min_max_ease_is_the_place_between_hardest_and_easiest():
    ease = HEURISTICS["min_max"](jnp.array([2.0, 10.0, 4.0]))
    np.testing.assert_allclose(ease, [1, 0, 0.75], rtol=1e-6)


def test_equally_hard_examples_are_all_easy_to_min_max():
    np.testing.assert_array_equal(HEURISTICS["min_max"](jnp.full(3, 7.0)), 1)


@given(difficulties)
def test_quantile_ease_is_scipys_mean_rank(difficulty):
    expected = 1 - (scipy.stats.rankdata(difficulty) - 0.5) / SIZE
    np.testing.assert_allclose(HEURISTICS["quantile"](difficulty), expected, rtol=1e-5)


def test_an_example_that_is_infinitely_hard_is_the_hardest():
    difficulty, where = jnp.array([jnp.inf, jnp.nan, 1.0]), jnp.array([True, False, True])
    np.testing.assert_allclose(HEURISTICS["quantile"](difficulty, where), [0.25, 0, 0.75])


@given(difficulties)
def test_quantile_ease_has_mean_one_half(difficulty):
    np.testing.assert_allclose(HEURISTICS["quantile"](difficulty).mean(), 0.5, rtol=1e-6)


@given(difficulties)
def test_quantile_ease_is_that_of_any_increasing_function(difficulty):
    np.testing.assert_array_equal(
        HEURISTICS["quantile"](difficulty), HEURISTICS["quantile"](np.exp(difficulty))
    )


@given(difficulties)
def test_reciprocal_rank_ease_is_one_over_scipys_least_rank(difficulty):
    expected = 1 / scipy.stats.rankdata(difficulty, "min")
    np.testing.assert_allclose(HEURISTICS["reciprocal_rank"](difficulty), expected, rtol=1e-6)


def test_the_first_rank_has_ease_one():
    assert HEURISTICS["reciprocal_rank"](jnp.array([3.0, 1.0, 2.0]))[1] == 1


pair_ease = jax.jit(weighting.pair_ease)


@given(unit)
def test_a_pair_with_equal_scores_is_half_easy(score):
    ease = pair_ease(np.full(1, score), np.full((1, 3), score))
    np.testing.assert_allclose(ease, 0.5, rtol=1e-6)


@given(unit, hnp.arrays(np.float32, (1, 3), elements=unit))
def test_a_pair_is_as_easy_as_with_its_hardest_negative(positive, negatives):
    ease = pair_ease(np.full(1, positive), negatives)
    one_by_one = [pair_ease(np.full(1, positive), np.full((1, 3), n)) for n in negatives[0]]
    np.testing.assert_allclose(ease, np.min(one_by_one), rtol=1e-5, atol=1e-6)
    assert -1e-6 <= ease[0] <= 1 + 1e-6


def test_a_negative_that_is_masked_does_not_count():
    where = jnp.array([[True, False]])
    ease = weighting.pair_ease(jnp.array([0.6]), jnp.array([[0.2, jnp.nan]]), where)
    np.testing.assert_allclose(ease, 0.7, rtol=1e-6)


def test_a_pair_without_negatives_has_ease_zero_and_no_gradient():
    def total(positive):
        return weighting.pair_ease(positive, jnp.full((1, 2), jnp.nan), jnp.zeros(1, bool)).sum()

    value, gradient = jax.jit(jax.value_and_grad(total))(jnp.array([jnp.nan]))
    assert value == 0
    assert gradient == 0


def test_negatives_of_another_batch_are_an_error():
    with pytest.raises(ValueError, match=r"pair_ease: negatives has shape \(3, 2\).*\[2, "):
        weighting.pair_ease(jnp.zeros(2), jnp.zeros((3, 2)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"end_step": 0}, r"end_step is 0, but it must be in \(0, inf\)"),
        ({"end_step": 1, "min_ease": 2.0}, r"min_ease is 2.0, but it must be in \[0, 1\]"),
        ({"end_step": 1, "heuristic": "quantiles"}, "did you mean 'quantile'"),
        ({"end_step": 1, "fade": "linar"}, "did you mean 'linear'"),
    ],
)
def test_settings_of_the_curriculum_that_are_wrong_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        curriculum(**settings)


@pytest.mark.parametrize("transform", [curriculum(2), pacing(2)])
def test_progress_that_is_no_scalar_is_an_error(transform):
    extras = {"ease": jnp.ones(3), "progress": jnp.zeros(3)}
    with pytest.raises(ValueError, match=r"'progress' has shape \(3,\)"):
        weights_of(transform, jnp.ones(3), **extras)


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
