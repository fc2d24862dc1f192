"""The selection of pseudo-labels, and the votes of neighbors."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.neighbors import KNeighborsClassifier

from cgar_jax import weighting
from tests.weighting import updating

pseudo = weighting.agreement_pseudo_label_weighting
CLASSES, SIZE = 3, 6

seeds = st.integers(0, 10_000)
flags = hnp.arrays(bool, SIZE)


def update(transform, size, state=None, **extras):
    return updating.update(transform, np.ones(size, np.float32), state, **extras)


def weights_of(transform, size, **extras):
    return np.asarray(update(transform, size, **extras)[0])


def random_guesses(seed, classes=CLASSES):
    return np.random.default_rng(seed).dirichlet(np.ones(classes), SIZE).astype(np.float32)


def one_hot(labels):
    return np.eye(CLASSES, dtype=np.float32)[np.asarray(labels)]


def guesses(labels, is_labeled=False, agreement=1.0):
    """Returns extra arguments for certain guesses that the neighbors confirm."""
    size = len(labels)
    return {
        "probabilities": one_hot(labels),
        "neighbor_labels": np.asarray(labels),
        "agreement": np.full(size, agreement, np.float32),
        "is_labeled": np.broadcast_to(is_labeled, size),
    }


PSEUDO = pseudo()
SUPERVISED = pseudo(unlabeled_weight=0.0)
TRUSTING = pseudo(agreement_threshold=0.0, confidence_threshold=0.0)
MARGIN = pseudo(mode="margin", margin_threshold=0.3)
BALANCED = pseudo(num_classes=CLASSES, decay=0.9)


@given(seeds, flags)
def test_without_kept_guesses_only_labeled_examples_count(seed, labeled):
    extras = guesses(random_guesses(seed).argmax(-1), labeled, agreement=0.5)
    np.testing.assert_array_equal(weights_of(PSEUDO, SIZE, **extras), labeled)


@given(seeds, flags)
def test_an_unlabeled_weight_of_zero_is_supervised_learning(seed, labeled):
    extras = guesses(random_guesses(seed).argmax(-1), labeled)
    np.testing.assert_array_equal(weights_of(SUPERVISED, SIZE, **extras), labeled)


@given(seeds, flags)
def test_without_thresholds_and_with_agreeing_neighbors_every_guess_counts(seed, labeled):
    probabilities = random_guesses(seed)
    extras = guesses(probabilities.argmax(-1), labeled) | {"probabilities": probabilities}
    np.testing.assert_array_equal(weights_of(TRUSTING, SIZE, **extras), 1)


@pytest.mark.parametrize(
    "doubt",
    [
        {"neighbor_labels": np.array([1])},
        {"agreement": np.array([0.5])},
        {"probabilities": np.array([[0.5, 0.3, 0.2]])},
    ],
    ids=lambda doubt: next(iter(doubt)),
)
def test_a_guess_is_dropped_if_any_condition_fails(doubt):
    assert weights_of(PSEUDO, 1, **guesses([0])) == 1
    assert weights_of(PSEUDO, 1, **guesses([0]) | doubt) == 0


@given(seeds)
def test_the_margin_mode_keeps_guesses_with_a_larger_margin(seed):
    probabilities = random_guesses(seed)
    weights = weights_of(MARGIN, SIZE, probabilities=probabilities, is_labeled=np.zeros(SIZE, bool))
    best = np.sort(probabilities)[:, ::-1]
    np.testing.assert_array_equal(weights, best[:, 0] - best[:, 1] > np.float32(0.3))


def test_guesses_per_step_are_kept_independently():
    extras = guesses([0, 1]) | {"probabilities": np.stack([one_hot([0, 2]), one_hot([1, 0])])}
    np.testing.assert_array_equal(weights_of(PSEUDO, (2, 2), **extras), [[1, 0], [1, 0]])


def test_classes_of_equal_size_have_equal_weights():
    weights = weights_of(BALANCED, 6, **guesses([0, 1, 2, 0, 1, 2]))
    np.testing.assert_allclose(weights, 5, rtol=1e-6)


counts_of_classes = hnp.arrays(np.float32, CLASSES, elements=st.integers(0, 50).map(float))


@given(counts_of_classes)
def test_a_rarer_class_never_weighs_less(counts):
    weights = weights_of(BALANCED, CLASSES, **guesses([0, 1, 2]), class_counts=counts)
    assert (np.diff(weights[np.argsort(counts)]) <= 1e-6).all()


def test_a_class_with_count_zero_has_the_largest_weight():
    extras = guesses([0, 1, 2]) | {"class_counts": np.array([0.0, 5.0, 10.0])}
    weights = weights_of(BALANCED, CLASSES, **extras)
    np.testing.assert_allclose(weights, [10, 5, 10 / (1 + np.exp(0.5))], rtol=1e-5)


def test_all_counts_zero_give_equal_weights():
    weights = weights_of(BALANCED, CLASSES, **guesses([0, 1, 2]), class_counts=np.zeros(3))
    np.testing.assert_allclose(weights, 5)


@given(counts_of_classes.map(lambda counts: counts + 1))
def test_class_weights_follow_the_formula_of_the_released_code(counts):
    weights = weights_of(BALANCED, CLASSES, **guesses([0, 1, 2]), class_counts=counts)
    expected = 10 / (1 + np.exp(-(counts.mean() - counts) / counts))
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_only_kept_guesses_are_counted():
    extras = guesses([0, 0, 1, 1], [True, False, False, False])
    extras["agreement"][2] = 0.1
    _, state = update(BALANCED, 4, **extras)
    # One guess of class 0 and one of class 1 are kept; the average begins with zero.
    np.testing.assert_allclose(state.terms, [0.1, 0.1, 0], rtol=1e-5)


def test_the_class_counts_are_a_moving_average():
    _, state = update(BALANCED, 2, **guesses([0, 0]))
    _, state = update(BALANCED, 2, state, **guesses([1, 2]))
    np.testing.assert_allclose(state.terms, [0.18, 0.1, 0.1], rtol=1e-5)


def test_a_recently_frequent_class_weighs_less():
    _, state = update(BALANCED, 2, **guesses([0, 0]))
    weights, _ = update(BALANCED, 2, state, **guesses([0, 1]))
    assert weights[0] < 5 < weights[1]


def test_probabilities_of_another_number_of_classes_raise_an_error():
    with pytest.raises(ValueError, match=r"probabilities has shape \(2, 3\).*\[2, 4\]"):
        weights_of(pseudo(num_classes=4), 2, **guesses([0, 1]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "agreements"}, "did you mean 'agreement'"),
        ({"mode": "margin"}, "needs the setting 'margin_threshold'"),
        ({"unlabeled_weight": -1.0}, "unlabeled_weight is -1.0"),
        ({"decay": 1.0}, r"decay is 1.0, but it must be in \[0, 1\)"),
        ({"num_classes": 0}, "num_classes is 0"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        pseudo(**settings)


votes = jax.jit(weighting.neighbor_votes, static_argnames=("num_classes", "k"))


def bank_and_queries(seed, size=12):
    rng = np.random.default_rng(seed)
    bank = rng.normal(size=(size, 4)).astype(np.float32)
    return rng.normal(size=(SIZE, 4)).astype(np.float32), bank, rng.integers(0, CLASSES, size)


@given(seeds)
def test_votes_match_those_of_scikit_learn(seed):
    queries, bank, labels = bank_and_queries(seed)
    found, agreement = votes(queries, bank, labels, num_classes=CLASSES, k=5)
    peer = KNeighborsClassifier(5, metric="cosine").fit(bank, labels)
    np.testing.assert_array_equal(found, peer.predict(queries))
    np.testing.assert_allclose(agreement, peer.predict_proba(queries).max(-1), rtol=1e-6)


@given(seeds, hnp.arrays(bool, 12))
def test_masked_entries_of_the_bank_do_not_vote(seed, where):
    queries, bank, labels = bank_and_queries(seed)
    masked = np.where(where[:, None], bank, np.nan)
    found, agreement = votes(queries, masked, labels, num_classes=CLASSES, k=12, where=where)
    counts = np.bincount(labels[where], minlength=CLASSES)
    np.testing.assert_array_equal(found, counts.argmax())
    np.testing.assert_allclose(agreement, counts.max() / max(counts.sum(), 1), rtol=1e-6)


def test_a_mask_per_example_excludes_its_own_vote():
    points, labels = np.eye(3, dtype=np.float32) + 0.1, np.array([0, 1, 1])
    others = ~np.eye(3, dtype=bool)
    found, agreement = votes(points, points, labels, num_classes=2, k=3, where=others)
    np.testing.assert_array_equal(found, [1, 0, 0])
    np.testing.assert_array_equal(agreement, [1, 0.5, 0.5])


def test_all_entries_of_a_bank_smaller_than_k_vote():
    queries, bank, labels = bank_and_queries(0)
    found = votes(queries, bank, labels, num_classes=CLASSES, k=100)
    np.testing.assert_array_equal(found[0], np.bincount(labels).argmax())


def test_the_lengths_of_embeddings_do_not_change_the_vote():
    queries, bank, labels = bank_and_queries(1)
    lengths = np.linspace(0.1, 10, len(bank), dtype=np.float32)[:, None]
    found = votes(5 * queries, lengths * bank, labels, num_classes=CLASSES, k=3)
    expected = votes(queries, bank, labels, num_classes=CLASSES, k=3)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_an_embedding_that_is_nan_gets_no_votes():
    _, bank, labels = bank_and_queries(0)
    queries = np.full((SIZE, 4), np.nan, np.float32)
    found = votes(queries, bank, labels, num_classes=CLASSES)
    jax.tree.map(lambda array: np.testing.assert_array_equal(array, 0), found)


def test_a_bank_of_another_embedding_length_raises_an_error():
    with pytest.raises(ValueError, match=r"bank_embeddings has shape \(5, 3\).*\[bank, 4\]"):
        weighting.neighbor_votes(np.ones((2, 4)), np.ones((5, 3)), np.ones(5, int), 2)
