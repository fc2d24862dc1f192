"""Measures of how easy an example is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgar_jax import weighting

HEURISTICS = {
    "min_max": jax.jit(weighting.min_max_ease),
    "quantile": jax.jit(weighting.quantile_ease),
    "reciprocal_rank": jax.jit(weighting.reciprocal_rank_ease),
}
SIZE = 6

unit = st.floats(0, 1, width=32, allow_subnormal=False)
# Few different values, so that ties occur.
difficulties = hnp.arrays(np.float32, SIZE, elements=st.integers(-3, 3))
masks = hnp.arrays(bool, SIZE)
every_heuristic = pytest.mark.parametrize("heuristic", sorted(HEURISTICS))


@every_heuristic
@given(difficulty=difficulties, where=masks)
def test_a_harder_example_never_has_a_larger_ease(heuristic, difficulty, where):
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
def test_masked_examples_do_not_change_the_ease_of_others(heuristic, difficulty, where):
    ease = HEURISTICS[heuristic](np.where(where, difficulty, np.nan), where)
    moved = HEURISTICS[heuristic](np.where(where, difficulty, 9), where)
    np.testing.assert_array_equal(ease, moved)


@every_heuristic
def test_masking_equals_removing_the_masked_examples(heuristic):
    difficulty = jnp.array([3.0, 1.0, 9.0, 2.0, 2.0])
    ease = HEURISTICS[heuristic](difficulty, jnp.array([True, True, False, True, True]))
    alone = HEURISTICS[heuristic](difficulty[jnp.array([0, 1, 3, 4])])
    np.testing.assert_allclose(ease[jnp.array([0, 1, 3, 4])], alone, rtol=1e-6)


@every_heuristic
def test_an_empty_batch_gives_an_empty_result(heuristic):
    assert HEURISTICS[heuristic](jnp.zeros(0)).shape == (0,)


@every_heuristic
def test_shards_of_a_named_axis_give_the_ease_of_one_batch(heuristic):
    difficulty = np.random.default_rng(0).integers(0, 5, (3, 4)).astype(np.float32)
    where = np.arange(12).reshape(3, 4) != 5
    ease = getattr(weighting, f"{heuristic}_ease")
    shard = jax.jit(jax.vmap(lambda *args: ease(*args, axis_name="shards"), axis_name="shards"))
    expected = HEURISTICS[heuristic](difficulty, where)
    np.testing.assert_allclose(shard(difficulty, where), expected, rtol=1e-6)


def test_min_max_ease_is_the_place_between_the_hardest_and_the_easiest():
    ease = HEURISTICS["min_max"](jnp.array([2.0, 10.0, 4.0]))
    np.testing.assert_allclose(ease, [1, 0, 0.75], rtol=1e-6)


def test_min_max_ease_of_equally_hard_examples_is_one():
    np.testing.assert_array_equal(HEURISTICS["min_max"](jnp.full(3, 7.0)), 1)


@given(difficulties)
def test_quantile_ease_matches_the_mean_rank_of_scipy(difficulty):
    expected = 1 - (scipy.stats.rankdata(difficulty) - 0.5) / SIZE
    np.testing.assert_allclose(HEURISTICS["quantile"](difficulty), expected, rtol=1e-5)


def test_an_infinite_difficulty_is_the_hardest():
    difficulty, where = jnp.array([jnp.inf, jnp.nan, 1.0]), jnp.array([True, False, True])
    np.testing.assert_allclose(HEURISTICS["quantile"](difficulty, where), [0.25, 0, 0.75])


@given(difficulties)
def test_quantile_ease_has_mean_one_half(difficulty):
    np.testing.assert_allclose(HEURISTICS["quantile"](difficulty).mean(), 0.5, rtol=1e-6)


@given(difficulties)
def test_quantile_ease_is_invariant_to_increasing_functions(difficulty):
    np.testing.assert_array_equal(
        HEURISTICS["quantile"](difficulty), HEURISTICS["quantile"](np.exp(difficulty))
    )


@given(difficulties)
def test_reciprocal_rank_ease_matches_the_minimum_rank_of_scipy(difficulty):
    expected = 1 / scipy.stats.rankdata(difficulty, "min")
    np.testing.assert_allclose(HEURISTICS["reciprocal_rank"](difficulty), expected, rtol=1e-6)


def test_the_easiest_example_has_reciprocal_rank_ease_one():
    assert HEURISTICS["reciprocal_rank"](jnp.array([3.0, 1.0, 2.0]))[1] == 1


pair_ease = jax.jit(weighting.pair_ease)


@given(unit)
def test_a_pair_with_equal_scores_has_ease_one_half(score):
    ease = pair_ease(np.full(1, score), np.full((1, 3), score))
    np.testing.assert_allclose(ease, 0.5, rtol=1e-6)


@given(unit, hnp.arrays(np.float32, (1, 3), elements=unit))
def test_the_ease_of_a_pair_depends_on_its_hardest_negative(positive, negatives):
    ease = pair_ease(np.full(1, positive), negatives)
    one_by_one = [pair_ease(np.full(1, positive), np.full((1, 3), n)) for n in negatives[0]]
    np.testing.assert_allclose(ease, np.min(one_by_one), rtol=1e-5, atol=1e-6)
    assert -1e-6 <= ease[0] <= 1 + 1e-6


def test_masked_negatives_do_not_count():
    where = jnp.array([[True, False]])
    ease = weighting.pair_ease(jnp.array([0.6]), jnp.array([[0.2, jnp.nan]]), where)
    np.testing.assert_allclose(ease, 0.7, rtol=1e-6)


def test_a_pair_without_negatives_has_ease_zero_and_no_gradient():
    def total(positive):
        return weighting.pair_ease(positive, jnp.full((1, 2), jnp.nan), jnp.zeros(1, bool)).sum()

    value, gradient = jax.jit(jax.value_and_grad(total))(jnp.array([jnp.nan]))
    assert value == 0
    assert gradient == 0


def test_negatives_of_another_batch_size_raise_an_error():
    with pytest.raises(ValueError, match=r"pair_ease: negatives has shape \(3, 2\).*\[2, "):
        weighting.pair_ease(jnp.zeros(2), jnp.zeros((3, 2)))
