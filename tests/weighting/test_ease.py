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
