"""The weighting by the similarity to class prototypes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import weighting
from tests.weighting import updating

gap = weighting.prototype_gap_weighting
CLASSES, SIZE = 3, 6

seeds = st.integers(0, 10_000)


def update(transform, size, state=None, **extras):
    return updating.update(transform, np.ones(size, np.float32), state, **extras)


def weights_of(transform, size, **extras):
    return np.asarray(update(transform, size, **extras)[0])


GIVEN = gap()
LEARNED = gap(CLASSES, 2, decay=0.75)


def gaps(embeddings, prototypes):
    arrays = {"embeddings": np.asarray(embeddings), "prototypes": np.asarray(prototypes)}
    return weights_of(GIVEN, len(embeddings), **arrays)


def random_vectors(seed, count, features=4):
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)


def test_the_gap_on_one_of_several_orthogonal_prototypes_is_one():
    np.testing.assert_allclose(gaps(np.eye(4), np.eye(4)), 1, rtol=1e-6)


def test_the_gap_between_two_prototypes_is_zero():
    np.testing.assert_allclose(gaps([[1.0, 1.0, 0.0]], np.eye(3)), 0, atol=1e-6)


@given(seeds)
def test_the_gap_equals_the_formula_of_the_released_code(seed):
    embeddings, prototypes = random_vectors(seed, SIZE), random_vectors(seed + 1, CLASSES)
    unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (embeddings, prototypes)]
    second, first = np.sort(unit[0] @ unit[1].T)[:, -2:].T
    np.testing.assert_allclose(
        gaps(embeddings, prototypes), first * (1 - second / first), rtol=1e-4, atol=1e-5
    )


@given(seeds)
def test_rotations_do_not_change_the_gap(seed):
    embeddings, prototypes = random_vectors(seed, SIZE), random_vectors(seed + 1, CLASSES)
    turn = np.linalg.qr(random_vectors(seed + 2, 4))[0]
    np.testing.assert_allclose(
        gaps(embeddings @ turn, prototypes @ turn), gaps(embeddings, prototypes), atol=1e-5
    )


@given(seeds, st.floats(0.01, 100))
def test_the_lengths_of_vectors_do_not_change_the_gap(seed, length):
    embeddings, prototypes = random_vectors(seed, SIZE), random_vectors(seed + 1, CLASSES)
    found = gaps(np.float32(length) * embeddings, prototypes / np.float32(length))
    np.testing.assert_allclose(found, gaps(embeddings, prototypes), atol=1e-5)


@given(seeds)
def test_a_distant_third_class_does_not_change_the_gap(seed):
    embedding = random_vectors(seed, 1)
    # Both classes are closer to the example than its opposite, the third class.
    two = random_vectors(seed + 1, 2)
    np.testing.assert_allclose(
        gaps(embedding, np.concatenate([two, -embedding])), gaps(embedding, two), atol=1e-6
    )


def test_a_distant_second_class_widens_the_gap():
    embedding = np.array([[1.0, 0.0]])
    assert gaps(embedding, [[1.0, 0.0]]) == 1
    assert gaps(embedding, [[1.0, 0.0], [-1.0, 0.0]]) == 2


def test_with_one_class_the_weight_is_the_cosine():
    found = gaps([[3.0, 4.0], [-1.0, 0.0]], [[1.0, 0.0]])
    np.testing.assert_allclose(found, [0.6, 0], rtol=1e-6)


def test_a_zero_embedding_has_weight_zero():
    np.testing.assert_array_equal(gaps(np.zeros((1, 3)), np.eye(3)), 0)


def labeled(embeddings, labels, is_labeled=True):
    size = len(labels)
    return {
        "embeddings": np.asarray(embeddings, np.float32),
        "labels": np.asarray(labels),
        "is_labeled": np.broadcast_to(is_labeled, size),
    }


def test_the_first_batch_sets_the_prototypes():
    _, state = update(LEARNED, 3, **labeled([[1, 0], [0, 1], [4, 2]], [0, 0, 2]))
    np.testing.assert_allclose(state.terms.means, [[0.5, 0.5], [0, 0], [4, 2]])


def test_prototypes_are_moving_averages():
    _, state = update(LEARNED, 1, **labeled([[1, 0]], [0]))
    _, state = update(LEARNED, 1, state, **labeled([[0, 1]], [0]))
    np.testing.assert_allclose(state.terms.means[0], [0.75, 0.25])


def test_an_absent_class_keeps_its_prototype():
    _, state = update(LEARNED, 1, **labeled([[1, 0]], [0]))
    _, state = update(LEARNED, 1, state, **labeled([[0, 1]], [1]))
    np.testing.assert_allclose(state.terms.means[0], [1, 0])


def test_unlabeled_examples_do_not_change_prototypes():
    extras = labeled([[1, 0], [5, 5]], [0, -100], [True, False])
    _, state = update(LEARNED, 2, **extras)
    np.testing.assert_allclose(state.terms.means, [[1, 0], [0, 0], [0, 0]])


def test_classes_without_a_prototype_are_ignored():
    extras = labeled([[1, 0], [0, 1], [0.6, -0.8]], [0, 1, -100], [True, True, False])
    np.testing.assert_allclose(weights_of(LEARNED, 3, **extras)[2], 1.4, rtol=1e-5)


def test_weights_are_zero_before_the_first_labeled_example():
    extras = labeled([[1, 0], [0, 1]], [0, 1], is_labeled=False)
    np.testing.assert_array_equal(weights_of(LEARNED, 2, **extras), 0)


def test_labeled_examples_have_weight_one():
    extras = {"embeddings": np.ones((2, 2)), "prototypes": np.eye(2)}
    weights = weights_of(GIVEN, 2, **extras, is_labeled=np.array([True, False]))
    np.testing.assert_allclose(weights, [1, 0], atol=1e-6)


def test_prototypes_of_another_length_raise_an_error():
    with pytest.raises(ValueError, match=r"prototypes has shape \(3, 3\).*\[classes, 2\]"):
        gaps(np.ones((1, 2)), np.eye(3))


def test_prototypes_are_required_unless_they_are_learned():
    with pytest.raises(ValueError, match=r"prototype_gap_weighting.*'prototypes' is missing"):
        weights_of(GIVEN, 1, embeddings=np.ones((1, 2)))


@pytest.mark.parametrize("settings", [{"num_classes": 3}, {"num_features": 3}])
def test_learning_prototypes_requires_both_sizes(settings):
    with pytest.raises(ValueError, match="give both to learn the prototypes, or neither"):
        gap(**settings)
