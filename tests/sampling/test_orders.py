"""Data orders: permutations and subsets of examples from their scores."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgar_jax import sampling

COUNT = 11  # A fixed number of examples compiles the sort only once.

folds_of = st.integers(1, COUNT + 2)
scored = st.lists(st.integers(-3, 3).map(float), min_size=COUNT, max_size=COUNT).map(np.float32)


def split_into_folds(order, folds):
    sizes = [len(range(fold, len(order), folds)) for fold in range(folds)]
    return np.split(order, np.cumsum(sizes)[:-1])


@given(scored, folds_of, st.booleans())
def test_a_folding_order_is_a_permutation(scores, folds, ascending):
    order = sampling.folding_order(scores, folds, ascending)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(scores)))


@given(scored, folds_of)
def test_fold_l_takes_every_nth_sorted_example_from_position_l(scores, folds):
    ranked = sorted(range(len(scores)), key=lambda i: scores[i])
    expected = [i for fold in range(folds) for i in ranked[fold::folds]]
    np.testing.assert_array_equal(sampling.folding_order(scores, folds), expected)


@given(scored, st.integers(0, 5))
def test_one_fold_or_at_least_as_many_folds_as_examples_is_the_sorted_order(scores, more):
    ranked = np.argsort(scores, kind="stable")
    for folds in (1, len(scores) + more):
        np.testing.assert_array_equal(sampling.folding_order(scores, folds), ranked)


@given(scored, folds_of, st.booleans())
def test_scores_rise_or_fall_within_each_fold(scores, folds, ascending):
    order = np.asarray(sampling.folding_order(scores, folds, ascending))
    for fold in split_into_folds(order, folds):
        steps = np.diff(scores[fold])
        assert np.all(steps >= 0 if ascending else steps <= 0)


@given(st.sampled_from([1, 2, 3, 4, 6, 12]), st.integers(0, 999))
def test_the_means_of_two_equal_folds_differ_by_at_most_the_range_over_their_size(folds, seed):
    scores = np.random.default_rng(seed).exponential(size=12).astype(np.float32)
    size = 12 // folds
    order = np.asarray(sampling.folding_order(scores, folds))
    means = [scores[fold].mean() for fold in split_into_folds(order, folds)]
    assert np.ptp(means) <= np.ptp(scores) / size + 1e-5


def test_the_means_of_folds_may_differ_by_more_than_neighbors_in_the_sorted_scores():
    order = np.asarray(sampling.folding_order(np.arange(9.0)))
    assert [fold.mean() for fold in split_into_folds(order, 3)] == [3, 4, 5]


@given(scored, folds_of, st.integers(0, 99))
def test_shuffling_the_examples_only_permutes_examples_of_equal_score(scores, folds, seed):
    shuffle = np.random.default_rng(seed).permutation(len(scores))
    order = sampling.folding_order(scores, folds)
    shuffled = sampling.folding_order(scores[shuffle], folds)
    np.testing.assert_array_equal(scores[shuffle][shuffled], scores[order])


def test_a_descending_order_begins_with_the_highest_score_and_keeps_the_order_of_ties():
    order = sampling.folding_order(np.array([1.0, 3.0, 1.0, 2.0]), 2, ascending=False)
    np.testing.assert_array_equal(order, [1, 0, 3, 2])


def test_a_folding_order_works_under_jit():
    scores = np.random.default_rng(0).normal(size=20)
    order = jax.jit(functools.partial(sampling.folding_order, folds=4))(scores)
    np.testing.assert_array_equal(order, sampling.folding_order(scores, 4))


def test_zero_folds_raise_an_error():
    with pytest.raises(ValueError, match="folds is 0"):
        sampling.folding_order(np.arange(3.0), folds=0)


def test_folding_scores_that_are_not_a_vector_raises_an_error():
    with pytest.raises(ValueError, match=r"scores has shape \(3, 1\)"):
        sampling.folding_order(np.ones((3, 1)))


SIZE = 13
some_scores = hnp.arrays(np.float32, SIZE, elements=st.integers(0, 6))
fraction = st.floats(0.01, 1)


@given(some_scores)
def test_keeping_all_examples_is_the_identity(scores):
    np.testing.assert_array_equal(sampling.score_pruned_order(scores, 1.0), np.arange(SIZE))


@given(some_scores, fraction, fraction)
def test_pruning_keeps_the_rounded_fraction_of_the_examples_without_repetition(scores, keep, share):
    kept = sampling.score_pruned_order(scores, keep, drop_top=share * (1 - keep))
    assert len(kept) == max(round(keep * SIZE), 1)
    assert np.all(np.diff(kept) > 0)


@given(some_scores, fraction)
def test_pruning_keeps_the_highest_scores(scores, keep):
    kept = sampling.score_pruned_order(scores, keep)
    np.testing.assert_array_equal(np.sort(scores[kept]), np.sort(scores)[-len(kept) :])


@given(some_scores, st.integers(1, 6), st.integers(0, 6))
def test_kept_examples_score_between_the_dropped_and_the_other_examples(scores, keep, drop):
    kept = np.asarray(sampling.score_pruned_order(scores, keep / SIZE, drop / SIZE))
    others = np.setdiff1d(np.arange(SIZE), kept)
    ranked = others[np.argsort(-scores[others], kind="stable")]
    dropped, left = ranked[:drop], ranked[drop:]
    assert np.all(scores[dropped].min(initial=9) >= scores[kept].max())
    assert np.all(scores[left].max(initial=-1) <= scores[kept].min())


@given(some_scores, fraction, st.integers(0, 99))
def test_shuffling_the_examples_keeps_examples_of_the_same_scores(scores, keep, seed):
    shuffle = np.random.default_rng(seed).permutation(SIZE)
    kept = [sampling.score_pruned_order(s, keep) for s in (scores, scores[shuffle])]
    np.testing.assert_array_equal(np.sort(scores[kept[0]]), np.sort(scores[shuffle][kept[1]]))


def test_the_first_of_several_equal_scores_is_kept():
    kept = sampling.score_pruned_order(np.array([1.0, 2.0, 1.0, 1.0]), 0.5)
    np.testing.assert_array_equal(kept, [0, 1])


@pytest.mark.parametrize(
    ("keep", "drop_top"), [(0.9, 0.1), (2 / 3, 1 / 3), (0.5, 0.5), (3 * 0.1, 7 * 0.1)]
)
def test_kept_and_dropped_fractions_may_sum_to_one(keep, drop_top):
    kept = sampling.score_pruned_order(np.arange(11.0), keep, drop_top)
    np.testing.assert_array_equal(kept, np.arange(round(11 * keep)))


def test_pruning_works_under_jit():
    scores = np.random.default_rng(0).normal(size=SIZE).astype(np.float32)
    prune = jax.jit(functools.partial(sampling.score_pruned_order, keep=0.5, drop_top=0.1))
    np.testing.assert_array_equal(prune(scores), sampling.score_pruned_order(scores, 0.5, 0.1))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"keep": 0.0}, "keep is 0.0"),
        ({"keep": 1.5}, "keep is 1.5"),
        ({"keep": 0.5, "drop_top": -0.1}, "drop_top is -0.1"),
        ({"keep": 0.5, "drop_top": 0.6}, "their sum must be at most 1"),
    ],
)
def test_a_fraction_out_of_range_raises_an_error(settings, match):
    with pytest.raises(ValueError, match=match):
        sampling.score_pruned_order(np.arange(4.0), **settings)


def test_pruning_scores_that_are_not_a_vector_raises_an_error():
    with pytest.raises(ValueError, match=r"scores has shape \(2, 2\)"):
        sampling.score_pruned_order(np.ones((2, 2)), 0.5)
