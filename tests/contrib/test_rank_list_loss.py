import jax
import numpy as np
import pytest
import rax
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import contrib
from tests.losses.lists import (
    BATCH,
    ITEMS,
    by_rax,
    pairs_of,
    rax_unique_softmax_loss,
    scores_and,
    seeds,
    softplus,
)

forms = pytest.mark.parametrize("form", ["skip", "lse"])


rank_list = jax.jit(contrib.rank_list_loss, static_argnames="form")


@given(seeds, st.integers(1, ITEMS - 1), st.floats(-1, 1))
def test_the_skip_form_is_the_weighted_sum_over_near_pairs(seed, max_distance, margin):
    scores, labels = scores_and("grades", seed)
    by_distance = 1 / (ITEMS - np.arange(1, ITEMS, dtype=np.float32))
    expected = [
        sum(
            by_distance[q - r - 1] * softplus(t - s + margin)
            for s, t, r, q in pairs
            if q - r <= max_distance
        )
        for pairs in pairs_of(scores, labels)
    ]
    found = rank_list(
        scores, labels, max_distance=max_distance, margin=margin, distance_weights=by_distance
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@given(seeds, st.integers(1, ITEMS - 1), st.floats(-1, 1))
def test_the_lse_form_is_one_logarithm_for_the_near_pairs_of_each_item(seed, max_distance, margin):
    scores, labels = scores_and("grades", seed)
    by_distance = 1 / (ITEMS - np.arange(1, ITEMS, dtype=np.float32))
    expected = []
    for pairs, list_scores in zip(pairs_of(scores, labels), np.float64(scores), strict=True):
        terms = [
            1
            + sum(
                by_distance[q - r - 1] * np.exp(t - s + margin)
                for s, t, r, q in pairs
                if s == score and q - r <= max_distance
            )
            for score in list_scores
        ]
        expected.append(np.log(terms).sum())
    found = rank_list(
        scores,
        labels,
        form="lse",
        max_distance=max_distance,
        margin=margin,
        distance_weights=by_distance,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@forms
def test_rank_list_of_two_items_is_ranknet(form):
    found = rank_list(np.float32([[1, 3]]), np.float32([[1, 0]]), form=form)
    np.testing.assert_allclose(found, [softplus(2)], rtol=1e-6)


@given(seeds)
def test_skip_form_of_all_pairs_is_raxs_pairwise_logistic_loss(seed):
    scores, labels = scores_and("grades", seed)
    expected = by_rax(rax.pairwise_logistic_loss, scores, labels)
    np.testing.assert_allclose(rank_list(scores, labels), expected, rtol=1e-5)


@given(seeds)
def test_lse_form_of_all_pairs_is_listmle(seed):
    scores, labels = scores_and("order", seed)
    expected = by_rax(rax.listmle_loss, scores, labels)
    np.testing.assert_allclose(rank_list(scores, labels, form="lse"), expected, rtol=1e-5)


@given(seeds)
def test_lse_form_with_ties_is_raxs_unique_softmax_loss(seed):
    scores, labels = scores_and("grades", seed)
    expected = by_rax(rax_unique_softmax_loss, scores, labels)
    np.testing.assert_allclose(
        rank_list(scores, labels, form="lse"), expected, rtol=1e-5, atol=1e-6
    )


@given(seeds, st.integers(1, ITEMS - 1))
def test_lse_form_is_never_above_the_skip_form(seed, max_distance):
    scores, labels = scores_and("grades", seed)
    lse, skip = (
        rank_list(scores, labels, form=form, max_distance=max_distance) for form in ("lse", "skip")
    )
    assert np.all(lse <= skip * (1 + 1e-6) + 1e-6)


@given(seeds)
def test_lse_form_is_at_least_its_largest_pair(seed):
    scores, labels = scores_and("order", seed)
    largest = [max(softplus(t - s) for s, t, *_ in pairs) for pairs in pairs_of(scores, labels)]
    assert np.all(rank_list(scores, labels, form="lse") >= np.array(largest) * (1 - 1e-6))


@forms
@given(seed=seeds)
def test_rank_list_increases_with_the_distance(form, seed):
    scores, labels = scores_and("order", seed)
    values = [
        rank_list(scores, labels, form=form, max_distance=distance) for distance in range(1, ITEMS)
    ]
    assert np.all(np.diff(values, axis=0) > 0)


@forms
@given(seed=seeds, shift=st.floats(-20, 20))
def test_rank_list_does_not_change_with_a_shift_of_a_lists_scores(form, seed, shift):
    scores, labels = scores_and("grades", seed)
    found = rank_list(scores + np.float32(shift), labels, form=form)
    np.testing.assert_allclose(found, rank_list(scores, labels, form=form), rtol=1e-4, atol=1e-4)


@forms
@given(seed=seeds)
def test_rank_list_does_not_change_when_items_and_labels_are_permuted_together(form, seed):
    scores, labels = scores_and("grades", seed)
    order = np.random.default_rng(seed).permutation(ITEMS)
    found = rank_list(scores[:, order], labels[:, order], form=form, max_distance=1)
    np.testing.assert_allclose(
        found, rank_list(scores, labels, form=form, max_distance=1), rtol=1e-5, atol=1e-6
    )


@forms
def test_labels_within_the_minimum_gap_form_no_pair(form):
    scores = np.float32([[0, 1, 5]])
    labels = np.float32([[3, 2.5, 1]])
    found = rank_list(scores, labels, form=form, minimum_gap=0.5)
    np.testing.assert_allclose(found, [softplus(5) + softplus(4)], rtol=1e-6)


@forms
def test_rank_list_of_equal_labels_is_zero_with_zero_gradient(form):
    scores, _ = scores_and("grades", 0)
    total = lambda scores: rank_list(scores, np.ones((BATCH, ITEMS)), form=form).sum()  # noqa: E731
    value, gradient = jax.value_and_grad(total)(scores)
    assert value == 0
    assert not np.any(gradient)


@forms
def test_rank_list_stays_finite_for_scores_far_apart(form):
    scores = np.float32([[-1e4, 0, 1e4]])
    total = lambda scores: rank_list(scores, np.float32([[3, 2, 1]]), form=form).sum()  # noqa: E731
    value, gradient = jax.value_and_grad(total)(scores)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_rank_list_of_one_item_is_zero():
    one = np.ones((2, 1), np.float32)
    found = rank_list(one, one, distance_weights=np.zeros(0))
    np.testing.assert_array_equal(found, 0)


def test_the_error_for_an_unknown_form_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'skip'"):
        contrib.rank_list_loss(*scores_and("order", 0), form="skipp")


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("max_distance", 0, "max_distance is 0"),
        ("minimum_gap", -1, "minimum_gap is -1"),
        ("distance_weights", np.ones(ITEMS), r"distance_weights has shape \(6,\).*\[5\]"),
    ],
)
def test_rank_list_refuses_settings_out_of_range(setting, value, message):
    with pytest.raises(ValueError, match=message):
        contrib.rank_list_loss(*scores_and("order", 0), **{setting: value})
