import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rax
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import losses
from tests.losses.lists import (
    BATCH,
    ITEMS,
    by_rax,
    pairs_of,
    rax_dcg_logistic_loss,
    scores_and,
    seeds,
    softplus,
)

forms = pytest.mark.parametrize("form", ["skip", "lse"])


# weighted_ranknet_loss

ranknet = jax.jit(losses.weighted_ranknet_loss, static_argnames=("pair_weight", "reduction"))


@given(seeds)
def test_ranknet_is_the_mean_over_pairs_weighted_by_inverse_rank_sums(seed):
    scores, labels = scores_and("grades", seed)
    expected = [
        np.mean([softplus(t - s) / (r + q) for s, t, r, q in pairs] or [0])
        for pairs in pairs_of(scores, labels)
    ]
    np.testing.assert_allclose(ranknet(scores, labels), expected, rtol=1e-5)


@given(seeds)
def test_the_sum_of_ranknet_without_weights_is_raxs_pairwise_logistic_loss(seed):
    scores, labels = scores_and("grades", seed)
    expected = by_rax(rax.pairwise_logistic_loss, scores, labels)
    found = ranknet(scores, labels, pair_weight="none", reduction="sum")
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_ranknet_of_two_items_is_a_third_of_their_logistic_loss(better, worse):
    scores = np.full((1, ITEMS), np.nan, np.float32)
    scores[0, :2] = better, worse
    found = ranknet(scores, np.arange(ITEMS, 0, -1.0)[None], where=np.arange(ITEMS)[None] < 2)
    np.testing.assert_allclose(found, [softplus(worse - better) / 3], rtol=1e-5)


@given(seeds, st.floats(-20, 20))
def test_ranknet_does_not_change_with_a_shift_of_a_lists_scores(seed, shift):
    scores, labels = scores_and("grades", seed)
    np.testing.assert_allclose(
        ranknet(scores + np.float32(shift), labels), ranknet(scores, labels), rtol=1e-4, atol=1e-5
    )


@given(seeds)
def test_ranknet_does_not_change_when_items_and_labels_are_permuted_together(seed):
    scores, labels = scores_and("grades", seed)
    order = np.random.default_rng(seed).permutation(ITEMS)
    found = ranknet(scores[:, order], labels[:, order])
    np.testing.assert_allclose(found, ranknet(scores, labels), rtol=1e-5)


def test_ranknet_is_higher_for_a_mistake_at_the_top_than_at_the_bottom():
    right = np.arange(ITEMS, 0, -1.0)
    top, bottom = right.copy(), right.copy()
    top[[0, 1]] = right[[1, 0]]
    bottom[[-2, -1]] = right[[-1, -2]]
    of_top, of_bottom = ranknet(np.stack([top, bottom]), np.stack([right, right]))
    assert of_top > of_bottom


def test_ranknet_of_the_right_order_with_wide_gaps_is_zero():
    labels = np.arange(ITEMS, dtype=np.float32)[None]
    np.testing.assert_allclose(ranknet(100 * labels, labels), 0, atol=1e-30)


def test_ranknet_of_equal_labels_is_zero_with_zero_gradient():
    scores, _ = scores_and("grades", 0)
    total = lambda scores: ranknet(scores, np.ones((BATCH, ITEMS))).sum()  # noqa: E731
    value, gradient = jax.value_and_grad(total)(scores)
    assert value == 0
    assert not np.any(gradient)


def test_the_lambdaweight_is_a_table_of_inverse_rank_sums():
    weights = losses.inverse_rank_sum_lambdaweight(jnp.zeros(3), jnp.array([2.0, 7.0, 2.0]))
    expected = [[1 / 4, 1 / 3, 1 / 4], [1 / 3, 1 / 2, 1 / 3], [1 / 4, 1 / 3, 1 / 4]]
    np.testing.assert_allclose(weights.reshape(3, 3), expected, rtol=1e-6)


def test_the_lambdaweight_works_with_other_losses_of_rax_and_their_masks():
    scores, labels = scores_and("order", 0)
    where = np.arange(ITEMS) != 1
    hinge = functools.partial(
        rax.pairwise_hinge_loss, lambdaweight_fn=losses.inverse_rank_sum_lambdaweight
    )
    found = jax.jit(hinge)(scores[0], labels[0], where=where)
    expected = jax.jit(hinge)(scores[0][where], labels[0][where])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_lambdaweight_ranks_within_segments():
    labels = jnp.array([3.0, 2.0, 9.0, 8.0])
    segments = jnp.array([0, 0, 1, 1])
    weights = losses.inverse_rank_sum_lambdaweight(labels, labels, segments=segments)
    alone = np.array([[1 / 2, 1 / 3], [1 / 3, 1 / 4]])
    expected = np.block([[alone, np.zeros((2, 2))], [np.zeros((2, 2)), alone]])
    np.testing.assert_allclose(weights.reshape(4, 4), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("setting", "value", "nearest"),
    [("pair_weight", "inverse_rank", "inverse_rank_sum"), ("reduction", "means", "mean")],
)
def test_the_error_for_an_unknown_ranknet_setting_suggests_the_nearest(setting, value, nearest):
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
        losses.weighted_ranknet_loss(*scores_and("order", 0), **{setting: value})


# lambda_preference_loss

preference = jax.jit(losses.lambda_preference_loss, static_argnames="label_gain")


@given(seeds, st.floats(0.1, 2))
def test_preference_is_raxs_dcg_weighted_logistic_loss_divided_by_the_list_size(seed, beta):
    log_probabilities, labels = scores_and("grades", seed)
    reference, _ = scores_and("grades", seed + 1)
    scores = np.float32(beta) * (log_probabilities - reference)
    expected = by_rax(rax_dcg_logistic_loss, scores, labels) / ITEMS
    found = preference(log_probabilities, labels, beta, reference)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.1, 1))
def test_preference_of_two_answers_is_proportional_to_dpo(better, worse, beta):
    found = preference(np.float32([[better, worse]]), np.float32([[2, 1]]), beta)
    delta = (4 - 2) * (1 - 1 / np.log2(3))
    np.testing.assert_allclose(found, [delta * softplus(-beta * (better - worse))], rtol=1e-4)


def test_preference_with_weight_one_is_the_logistic_loss():
    gap = 1 / (1 - 1 / np.log2(3))
    found = preference(np.float32([[1, 3]]), np.float32([[gap, 0]]), 1.0, label_gain="linear")
    np.testing.assert_allclose(found, [softplus(2)], rtol=1e-5)


def test_preference_weights_pairs_by_ranks_of_the_scores_not_of_the_labels():
    labels = np.float32([[3, 2, 1]])
    scores = np.float32([[0, 5, 9]])
    # The best answer is third by score, the second second, the worst first.
    discount = 1 / np.log2([4, 3, 2])
    expected = sum(
        abs(2.0**a - 2.0**b)
        * abs(discount[i] - discount[j])
        * softplus(scores[0, j] - scores[0, i])
        for i, a in enumerate(labels[0])
        for j, b in enumerate(labels[0])
        if a > b
    )
    np.testing.assert_allclose(preference(scores, labels, 1.0), [expected], rtol=1e-5)


@given(seeds, st.floats(-20, 20))
def test_preference_does_not_change_with_a_constant_per_prompt(seed, shift):
    scores, labels = scores_and("grades", seed)
    found = preference(scores + np.float32(shift), labels, 0.5)
    np.testing.assert_allclose(found, preference(scores, labels, 0.5), rtol=1e-4, atol=1e-4)


def test_preference_of_equal_labels_is_zero():
    scores, _ = scores_and("grades", 0)
    np.testing.assert_array_equal(preference(scores, np.full_like(scores, 2), 0.5), 0)


def test_labels_and_reference_of_the_preference_loss_have_gradient_zero():
    policy, labels = scores_and("order", 3)
    reference, _ = scores_and("order", 4)
    total = lambda p, y, r: preference(p, y, 0.5, r).sum()  # noqa: E731
    gradients = jax.grad(total, argnums=(1, 2))(policy, labels, reference)
    assert not any(np.any(gradient) for gradient in gradients)


def test_another_base_changes_the_preference_loss_by_a_constant_factor():
    scores, labels = scores_and("grades", 0)
    found = preference(scores, labels, 0.5, log_base=10.0)
    np.testing.assert_allclose(
        found, preference(scores, labels, 0.5) * np.log(10) / np.log(2), rtol=1e-5
    )


@pytest.mark.parametrize(("setting", "value"), [("beta", 0), ("log_base", 1)])
def test_preference_refuses_settings_out_of_range(setting, value):
    with pytest.raises(ValueError, match=f"{setting} is {value}"):
        losses.lambda_preference_loss(*scores_and("order", 0), **{"beta": 1, setting: value})


def test_the_error_for_an_unknown_gain_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'exp2'"):
        losses.lambda_preference_loss(*scores_and("order", 0), 1.0, label_gain="exp")


# plackett_luce_distillation_loss

distillation = jax.jit(losses.plackett_luce_distillation_loss)


def student_teacher_and_labels(seed):
    rng = np.random.default_rng(seed)
    student, teacher = rng.normal(scale=2, size=(2, BATCH, ITEMS)).astype(np.float32)
    return student, teacher, rng.integers(0, ITEMS, BATCH)


def order_of(teacher, labels):
    return [
        sorted(range(ITEMS), key=lambda c: (c != label, -logits[c]))
        for logits, label in zip(teacher, labels, strict=True)
    ]


def softmax(x):
    powers = np.exp(np.float64(x) - np.max(x, axis=-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@given(seeds, st.floats(0.3, 3), st.integers(1, ITEMS))
def test_distillation_is_a_weighted_sum_of_choices_in_the_teachers_order(seed, temperature, top_k):
    student, teacher, labels = student_teacher_and_labels(seed)
    weights = softmax(teacher / temperature)
    expected = [
        sum(
            q[c] * (np.log(np.exp(np.float64(s[order[k:]])).sum()) - s[c])
            for k, c in enumerate(order[:top_k])
        )
        for s, q, order in zip(student, weights, order_of(teacher, labels), strict=True)
    ]
    found = distillation(student, teacher, labels, temperature, top_k)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@given(seeds)
def test_distillation_from_a_teacher_certain_of_the_label_is_cross_entropy(seed):
    student, teacher, labels = student_teacher_and_labels(seed)
    teacher += 200 * np.eye(ITEMS, dtype=np.float32)[labels]
    expected = optax.softmax_cross_entropy_with_integer_labels(student, labels)
    found = distillation(student, teacher, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@given(seeds)
def test_distillation_with_equal_weights_is_listmle(seed):
    student, teacher, labels = student_teacher_and_labels(seed)
    places = np.argsort(order_of(teacher, labels), axis=1)
    expected = by_rax(rax.listmle_loss, student, -places.astype(np.float32))
    found = ITEMS * distillation(student, teacher, labels, np.inf)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@given(seeds)
def test_the_first_choice_is_cross_entropy_times_its_weight(seed):
    student, teacher, labels = student_teacher_and_labels(seed)
    weight = softmax(teacher)[np.arange(BATCH), labels]
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(student, labels)
    first = distillation(student, teacher, labels, top_k=1)
    np.testing.assert_allclose(first, weight * cross_entropy, rtol=1e-5, atol=1e-6)
    assert np.all(distillation(student, teacher, labels) >= first * (1 - 1e-6))


@given(seeds, st.floats(-20, 20))
def test_distillation_does_not_change_with_a_shift_of_the_students_logits(seed, shift):
    student, teacher, labels = student_teacher_and_labels(seed)
    found = distillation(student + np.float32(shift), teacher, labels)
    expected = distillation(student, teacher, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@given(seeds, st.floats(0, 1))
def test_distillation_is_convex_in_the_students_logits(seed, share):
    student, teacher, labels = student_teacher_and_labels(seed)
    other, *_ = student_teacher_and_labels(seed + 1)
    between = distillation(share * student + (1 - share) * other, teacher, labels)
    ends = [distillation(logits, teacher, labels) for logits in (student, other)]
    assert np.all(between <= (share * ends[0] + (1 - share) * ends[1]) * (1 + 1e-5) + 1e-6)


def test_the_teacher_of_the_distillation_has_gradient_zero():
    student, teacher, labels = student_teacher_and_labels(0)
    total = lambda teacher: distillation(student, teacher, labels).sum()  # noqa: E731
    assert not np.any(jax.grad(total)(teacher))


@pytest.mark.parametrize("label", [losses.IGNORE_LABEL, ITEMS, -1])
def test_an_example_whose_label_is_not_a_class_has_loss_zero(label):
    student, teacher, _ = student_teacher_and_labels(0)
    assert not np.any(distillation(student, teacher, np.full(BATCH, label)))


def test_an_example_whose_label_is_masked_has_loss_zero():
    student, teacher, labels = student_teacher_and_labels(0)
    where = np.arange(ITEMS) != labels[:, None]
    assert not np.any(distillation(student, teacher, labels, where=where))


def test_classes_that_teacher_and_student_rule_out_are_treated_as_masked():
    student, teacher, labels = student_teacher_and_labels(0)
    out = (np.arange(ITEMS) - labels[:, None]) % ITEMS > ITEMS - 3
    total = lambda student, *rest, **kwargs: distillation(student, *rest, **kwargs).sum()  # noqa: E731
    ruled_out = [np.where(out, -np.inf, logits) for logits in (student, teacher)]
    found, gradient = jax.value_and_grad(total)(*ruled_out, labels)
    expected, expected_gradient = jax.value_and_grad(total)(student, teacher, labels, where=~out)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-7)


def test_distillation_accepts_sequences():
    student, teacher, labels = student_teacher_and_labels(0)
    tokens = [array.reshape(2, 2, *array.shape[1:]) for array in (student, teacher, labels)]
    expected = distillation(student, teacher, labels).reshape(2, 2)
    np.testing.assert_allclose(distillation(*tokens), expected, rtol=1e-6)


@pytest.mark.parametrize(("setting", "value"), [("temperature", 0), ("top_k", 0)])
def test_distillation_refuses_settings_out_of_range(setting, value):
    with pytest.raises(ValueError, match=f"{setting} is 0"):
        losses.plackett_luce_distillation_loss(*student_teacher_and_labels(0), **{setting: value})


def test_distillation_refuses_labels_of_another_shape():
    student, teacher, labels = student_teacher_and_labels(0)
    with pytest.raises(ValueError, match="labels has shape"):
        losses.plackett_luce_distillation_loss(student, teacher, labels[:-1])
