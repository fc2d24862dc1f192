import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import losses

BATCH, ITEMS = 5, 4
seeds = st.integers(0, 2**31)

lists = jax.jit(losses.wasserstein_list_loss)
lists_gradient = jax.jit(
    jax.grad(lambda *args, **kwargs: losses.wasserstein_list_loss(*args, **kwargs).mean())
)
ordinal = jax.jit(losses.wasserstein1_ordinal_loss)


def scores_and_labels(seed, batch=BATCH):
    rng = np.random.default_rng(seed)
    return rng.normal(scale=2, size=(2, batch, ITEMS)).astype(np.float32)


def softmax(x):
    powers = np.exp(np.float64(x) - np.max(x, axis=-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def mean_term(scores, labels, temperature):
    means = softmax(np.float64(scores) / temperature).mean(0), softmax(labels).mean(0)
    return np.square(means[0] - means[1]).sum()


def by_eigenvalues(scores, labels, temperature):
    """Computes the distance from its definition, in float64."""
    p, q = softmax(np.float64(scores) / temperature), softmax(labels)
    c_p, c_q = np.cov(p.T), np.cov(q.T)
    root = np.sqrt(np.maximum(np.linalg.eigvals(c_p @ c_q).real, 0)).sum()
    return mean_term(scores, labels, temperature) + np.trace(c_p + c_q) - 2 * root


@given(seeds, st.floats(0.3, 3))
def test_list_loss_is_the_distance_between_gaussians(seed, temperature):
    scores, labels = scores_and_labels(seed)
    expected = by_eigenvalues(scores, labels, temperature)
    np.testing.assert_allclose(lists(scores, labels, temperature), expected, rtol=1e-4, atol=1e-6)


@given(seeds)
def test_the_gradient_of_the_list_loss_is_that_of_its_definition(seed):
    scores, labels = scores_and_labels(seed)
    direction, _ = scores_and_labels(seed + 1)
    ahead, behind = (by_eigenvalues(scores + t * direction, labels, 1) for t in (1e-4, -1e-4))
    found = np.sum(lists_gradient(scores, labels, 1.0) * direction)
    np.testing.assert_allclose(found, (ahead - behind) / 2e-4, rtol=1e-2, atol=5e-4)


@given(seeds)
def test_equal_lists_have_loss_zero_with_a_small_finite_gradient(seed):
    scores, _ = scores_and_labels(seed)
    np.testing.assert_allclose(lists(scores, scores, 1.0), 0, atol=1e-5)
    np.testing.assert_allclose(lists_gradient(scores, scores, 1.0), 0, atol=1e-4)


@given(seeds)
def test_list_loss_is_symmetric_in_scores_and_labels(seed):
    scores, labels = scores_and_labels(seed)
    there, back = lists(scores, labels, 1.0), lists(labels, scores, 1.0)
    np.testing.assert_allclose(there, back, rtol=1e-4, atol=1e-6)


@given(seeds)
def test_list_loss_is_at_least_the_distance_of_the_means(seed):
    scores, labels = scores_and_labels(seed)
    assert np.all(lists(scores, labels, 1.0) >= mean_term(scores, labels, 1) - 1e-5)


def test_a_batch_of_one_list_is_the_squared_distance_of_the_two_distributions():
    scores, labels = scores_and_labels(0, batch=1)
    expected = np.square(softmax(scores) - softmax(labels)).sum()
    np.testing.assert_allclose(lists(scores, labels, 1.0), [expected], rtol=1e-5)


@given(seeds)
def test_permuting_queries_or_documents_changes_nothing(seed):
    scores, labels = scores_and_labels(seed)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(BATCH), rng.permutation(ITEMS)
    found = lists(scores[rows][:, columns], labels[rows][:, columns], 0.5)
    np.testing.assert_allclose(found, lists(scores, labels, 0.5), rtol=1e-4, atol=1e-5)


@given(seeds)
def test_a_shift_of_each_lists_scores_changes_nothing(seed):
    scores, labels = scores_and_labels(seed)
    shifts = np.random.default_rng(seed).normal(scale=10, size=(BATCH, 1)).astype(np.float32)
    found = lists(scores + shifts, labels, 0.5)
    np.testing.assert_allclose(found, lists(scores, labels, 0.5), rtol=1e-3, atol=1e-5)


def test_masked_lists_are_left_out():
    scores, labels = scores_and_labels(0)
    where = np.arange(BATCH) != 1
    hidden = np.where(where[:, None], scores, np.nan)
    found = lists(hidden, labels, 0.5, where=where)
    expected = lists(scores[where], labels[where], 0.5)
    np.testing.assert_allclose(found[where], expected, rtol=1e-4)
    assert found[1] == 0


@pytest.mark.parametrize("labels", [np.zeros((BATCH, ITEMS)), np.tile([3.0, 2, 1, 0], (BATCH, 1))])
def test_the_gradient_is_finite_if_all_lists_are_equal(labels):
    gradient = lists_gradient(np.zeros((BATCH, ITEMS), np.float32), np.float32(labels), 1.0)
    assert np.isfinite(gradient).all()


def test_gradient_descent_reaches_the_labels():
    _, labels = scores_and_labels(0)
    scores = np.zeros((BATCH, ITEMS), np.float32)
    start = lists(scores, labels, 1.0)[0]
    for _ in range(300):
        scores = scores - 5 * lists_gradient(scores, labels, 1.0)
    assert lists(scores, labels, 1.0)[0] < 0.01 * start


def test_labels_have_gradient_zero():
    scores, labels = scores_and_labels(0)
    total = lambda labels: lists(scores, labels, 1.0).sum()  # noqa: E731
    assert not np.any(jax.grad(total)(labels))


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="temperature is 0"):
        losses.wasserstein_list_loss(*scores_and_labels(0), 0)


# wasserstein1_ordinal_loss


@given(seeds)
def test_the_ordinal_loss_is_the_expected_distance_in_classes(seed):
    logits, _ = scores_and_labels(seed)
    labels = np.random.default_rng(seed).integers(0, ITEMS, BATCH)
    expected = (softmax(logits) * np.abs(np.arange(ITEMS) - labels[:, None])).sum(1)
    np.testing.assert_allclose(ordinal(logits, labels), expected, rtol=1e-5, atol=1e-6)


@given(seeds)
def test_the_ordinal_loss_of_distributions_is_scipys_wasserstein_distance(seed):
    logits, target = scores_and_labels(seed)
    classes = np.arange(ITEMS)
    distance = functools.partial(scipy.stats.wasserstein_distance, classes, classes)
    expected = [distance(p, q) for p, q in zip(softmax(logits), softmax(target), strict=True)]
    found = ordinal(logits, np.float32(softmax(target)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_label_is_equivalent_to_its_one_hot_distribution():
    logits, _ = scores_and_labels(0)
    labels = np.arange(BATCH) % ITEMS
    expected = ordinal(logits, np.eye(ITEMS, dtype=np.float32)[labels])
    np.testing.assert_allclose(ordinal(logits, labels), expected, rtol=1e-6)


def test_the_ordinal_loss_increases_with_the_distance_of_the_predicted_class():
    certain = 20 * np.eye(ITEMS, dtype=np.float32)
    found = ordinal(certain, np.zeros(ITEMS, np.int32))
    np.testing.assert_allclose(found, np.arange(ITEMS), atol=1e-5)


def test_the_gradient_moves_probability_towards_the_label():
    total = lambda logits: ordinal(logits, np.array([0])).sum()  # noqa: E731
    gradient = jax.grad(total)(np.zeros((1, ITEMS), np.float32))
    assert np.all(np.diff(gradient[0]) > 0)


def test_ignored_labels_and_masked_tokens_have_loss_zero():
    logits = np.full((2, 2, ITEMS), np.nan, np.float32)
    logits[0, 0] = 0
    labels = np.array([[0, losses.IGNORE_LABEL], [1, 1]])
    found = ordinal(logits, labels, where=np.array([True, False]))
    np.testing.assert_allclose(found, [[1.5, 0], [0, 0]], rtol=1e-6)


def test_a_masked_distribution_may_contain_nan():
    logits, target = scores_and_labels(0)
    where = np.arange(BATCH) != 1
    hidden = [np.where(where[:, None], array, np.nan) for array in (logits, softmax(target))]

    def total(logits, target):
        found = losses.wasserstein1_ordinal_loss(logits, target, where=where)
        return found.sum(), found

    (_, found), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(*hidden)
    assert found[1] == 0
    assert not np.any(gradient[1])
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("labels", [jnp.zeros(BATCH - 1, int), jnp.zeros((BATCH, ITEMS + 1))])
def test_labels_of_another_shape_are_refused(labels):
    with pytest.raises(ValueError, match="labels has shape"):
        losses.wasserstein1_ordinal_loss(scores_and_labels(0)[0], labels)
