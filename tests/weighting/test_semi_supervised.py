import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.neighbors import KNeighborsClassifier

from cgar_jax import losses, weighting

pseudo = weighting.agreement_pseudo_label_weighting
gap = weighting.prototype_gap_weighting
shrunk = weighting.shrunk_class_weighting
CLASSES, SIZE = 3, 6

seeds = st.integers(0, 10_000)
flags = hnp.arrays(bool, SIZE)


def weigh(transform, size, state=None, **extras):
    ones = np.ones(size, np.float32)
    state = transform.init(ones) if state is None else state
    return jax.jit(transform.update)(ones, state, ones, **extras)


def weights_of(transform, size, **extras):
    return np.asarray(weigh(transform, size, **extras)[0])


def random_guesses(seed, classes=CLASSES):
    return np.random.default_rng(seed).dirichlet(np.ones(classes), SIZE).astype(np.float32)


def one_hot(labels):
    return np.eye(CLASSES, dtype=np.float32)[np.asarray(labels)]


def guesses(labels, is_labeled=False, agreement=1.0):
    """Extra arguments of sure guesses, with which the neighbors agree."""
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
def test_where_no_guess_is_kept_only_the_labeled_count(seed, labeled):
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
def test_a_guess_is_dropped_if_one_thing_speaks_against_it(doubt):
    assert weights_of(PSEUDO, 1, **guesses([0])) == 1
    assert weights_of(PSEUDO, 1, **guesses([0]) | doubt) == 0


@given(seeds)
def test_by_margin_a_guess_is_kept_if_it_leads_by_more(seed):
    probabilities = random_guesses(seed)
    weights = weights_of(MARGIN, SIZE, probabilities=probabilities, is_labeled=np.zeros(SIZE, bool))
    best = np.sort(probabilities)[:, ::-1]
    np.testing.assert_array_equal(weights, best[:, 0] - best[:, 1] > np.float32(0.3))


def test_guesses_for_each_step_are_kept_one_by_one():
    extras = guesses([0, 1]) | {"probabilities": np.stack([one_hot([0, 2]), one_hot([1, 0])])}
    np.testing.assert_array_equal(weights_of(PSEUDO, (2, 2), **extras), [[1, 0], [1, 0]])


def test_classes_of_the_same_size_weigh_the_same():
    weights = weights_of(BALANCED, 6, **guesses([0, 1, 2, 0, 1, 2]))
    np.testing.assert_allclose(weights, 5, rtol=1e-6)


counts_of_classes = hnp.arrays(np.float32, CLASSES, elements=st.integers(0, 50).map(float))


@given(counts_of_classes)
def test_a_rarer_class_never_weighs_less(counts):
    weights = weights_of(BALANCED, CLASSES, **guesses([0, 1, 2]), class_counts=counts)
    assert (np.diff(weights[np.argsort(counts)]) <= 1e-6).all()


def test_a_class_that_never_came_has_the_largest_weight():
    extras = guesses([0, 1, 2]) | {"class_counts": np.array([0.0, 5.0, 10.0])}
    weights = weights_of(BALANCED, CLASSES, **extras)
    np.testing.assert_allclose(weights, [10, 5, 10 / (1 + np.exp(0.5))], rtol=1e-5)


def test_without_any_count_all_classes_weigh_the_same():
    weights = weights_of(BALANCED, CLASSES, **guesses([0, 1, 2]), class_counts=np.zeros(3))
    np.testing.assert_allclose(weights, 5)


@given(counts_of_classes.map(lambda counts: counts + 1))
def test_classes_weigh_by_the_released_formula(counts):
    weights = weights_of(BALANCED, CLASSES, **guesses([0, 1, 2]), class_counts=counts)
    expected = 10 / (1 + np.exp(-(counts.mean() - counts) / counts))
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_only_guesses_that_are_kept_are_counted():
    extras = guesses([0, 0, 1, 1], [True, False, False, False])
    extras["agreement"][2] = 0.1
    _, state = weigh(BALANCED, 4, **extras)
    # One guess of class 0 and one of class 1; the average starts from zero.
    np.testing.assert_allclose(state.terms, [0.1, 0.1, 0], rtol=1e-5)


def test_the_class_counts_are_a_moving_average():
    _, state = weigh(BALANCED, 2, **guesses([0, 0]))
    _, state = weigh(BALANCED, 2, state, **guesses([1, 2]))
    np.testing.assert_allclose(state.terms, [0.18, 0.1, 0.1], rtol=1e-5)


def test_a_class_that_was_frequent_before_weighs_less():
    _, state = weigh(BALANCED, 2, **guesses([0, 0]))
    weights, _ = weigh(BALANCED, 2, state, **guesses([0, 1]))
    assert weights[0] < 5 < weights[1]


def test_probabilities_of_another_number_of_classes_are_an_error():
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
def test_settings_of_pseudo_labels_that_are_wrong_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        pseudo(**settings)


votes = jax.jit(weighting.neighbor_votes, static_argnames=("num_classes", "k"))


def bank_and_queries(seed, size=12):
    rng = np.random.default_rng(seed)
    bank = rng.normal(size=(size, 4)).astype(np.float32)
    return rng.normal(size=(SIZE, 4)).astype(np.float32), bank, rng.integers(0, CLASSES, size)


@given(seeds)
def test_neighbors_vote_as_in_scikit_learn(seed):
    queries, bank, labels = bank_and_queries(seed)
    found, agreement = votes(queries, bank, labels, num_classes=CLASSES, k=5)
    peer = KNeighborsClassifier(5, metric="cosine").fit(bank, labels)
    np.testing.assert_array_equal(found, peer.predict(queries))
    np.testing.assert_allclose(agreement, peer.predict_proba(queries).max(-1), rtol=1e-6)


@given(seeds, hnp.arrays(bool, 12))
def test_who_is_masked_does_not_vote(seed, where):
    queries, bank, labels = bank_and_queries(seed)
    masked = np.where(where[:, None], bank, np.nan)
    found, agreement = votes(queries, masked, labels, num_classes=CLASSES, k=12, where=where)
    counts = np.bincount(labels[where], minlength=CLASSES)
    np.testing.assert_array_equal(found, counts.argmax())
    np.testing.assert_allclose(agreement, counts.max() / max(counts.sum(), 1), rtol=1e-6)


def test_a_mask_for_each_keeps_it_from_voting_on_itself():
    points, labels = np.eye(3, dtype=np.float32) + 0.1, np.array([0, 1, 1])
    others = ~np.eye(3, dtype=bool)
    found, agreement = votes(points, points, labels, num_classes=2, k=3, where=others)
    np.testing.assert_array_equal(found, [1, 0, 0])
    np.testing.assert_array_equal(agreement, [1, 0.5, 0.5])


def test_a_bank_smaller_than_k_votes_as_a_whole():
    queries, bank, labels = bank_and_queries(0)
    found = votes(queries, bank, labels, num_classes=CLASSES, k=100)
    np.testing.assert_array_equal(found[0], np.bincount(labels).argmax())


def test_lengths_of_embeddings_do_not_matter_to_the_vote():
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


def test_a_bank_of_other_features_is_an_error():
    with pytest.raises(ValueError, match=r"bank_embeddings has shape \(5, 3\).*\[bank, 4\]"):
        weighting.neighbor_votes(np.ones((2, 4)), np.ones((5, 3)), np.ones(5, int), 2)


GIVEN = gap()
LEARNED = gap(CLASSES, 2, decay=0.75)


def gaps(embeddings, prototypes):
    arrays = {"embeddings": np.asarray(embeddings), "prototypes": np.asarray(prototypes)}
    return weights_of(GIVEN, len(embeddings), **arrays)


def random_vectors(seed, count, features=4):
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)


def test_on_a_prototype_of_orthogonal_ones_the_gap_is_one():
    np.testing.assert_allclose(gaps(np.eye(4), np.eye(4)), 1, rtol=1e-6)


def test_between_two_prototypes_there_is_no_gap():
    np.testing.assert_allclose(gaps([[1.0, 1.0, 0.0]], np.eye(3)), 0, atol=1e-6)


@given(seeds)
def test_the_gap_is_the_released_codes_where_that_is_defined(seed):
    embeddings, prototypes = random_vectors(seed, SIZE), random_vectors(seed + 1, CLASSES)
    unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (embeddings, prototypes)]
    second, first = np.sort(unit[0] @ unit[1].T)[:, -2:].T
    np.testing.assert_allclose(
        gaps(embeddings, prototypes), first * (1 - second / first), rtol=1e-4, atol=1e-5
    )


@given(seeds)
def test_turning_the_space_does_not_change_the_gap(seed):
    embeddings, prototypes = random_vectors(seed, SIZE), random_vectors(seed + 1, CLASSES)
    turn = np.linalg.qr(random_vectors(seed + 2, 4))[0]
    np.testing.assert_allclose(
        gaps(embeddings @ turn, prototypes @ turn), gaps(embeddings, prototypes), atol=1e-5
    )


@given(seeds, st.floats(0.01, 100))
def test_lengths_do_not_change_the_gap(seed, length):
    embeddings, prototypes = random_vectors(seed, SIZE), random_vectors(seed + 1, CLASSES)
    found = gaps(np.float32(length) * embeddings, prototypes / np.float32(length))
    np.testing.assert_allclose(found, gaps(embeddings, prototypes), atol=1e-5)


@given(seeds)
def test_a_third_class_far_away_changes_nothing(seed):
    embedding = random_vectors(seed, 1)
    # Of two classes both are nearer than the opposite of the example.
    two = random_vectors(seed + 1, 2)
    np.testing.assert_allclose(
        gaps(embedding, np.concatenate([two, -embedding])), gaps(embedding, two), atol=1e-6
    )


def test_a_second_class_far_away_widens_the_gap():
    embedding = np.array([[1.0, 0.0]])
    assert gaps(embedding, [[1.0, 0.0]]) == 1
    assert gaps(embedding, [[1.0, 0.0], [-1.0, 0.0]]) == 2


def test_with_one_class_the_weight_is_the_cosine():
    found = gaps([[3.0, 4.0], [-1.0, 0.0]], [[1.0, 0.0]])
    np.testing.assert_allclose(found, [0.6, 0], rtol=1e-6)


def test_an_embedding_of_zeros_weighs_nothing():
    np.testing.assert_array_equal(gaps(np.zeros((1, 3)), np.eye(3)), 0)


def labeled(embeddings, labels, is_labeled=True):
    size = len(labels)
    return {
        "embeddings": np.asarray(embeddings, np.float32),
        "labels": np.asarray(labels),
        "is_labeled": np.broadcast_to(is_labeled, size),
    }


def test_the_first_batch_sets_the_prototypes():
    _, state = weigh(LEARNED, 3, **labeled([[1, 0], [0, 1], [4, 2]], [0, 0, 2]))
    np.testing.assert_allclose(state.terms.means, [[0.5, 0.5], [0, 0], [4, 2]])


def test_prototypes_are_moving_averages():
    _, state = weigh(LEARNED, 1, **labeled([[1, 0]], [0]))
    _, state = weigh(LEARNED, 1, state, **labeled([[0, 1]], [0]))
    np.testing.assert_allclose(state.terms.means[0], [0.75, 0.25])


def test_a_class_that_is_absent_keeps_its_prototype():
    _, state = weigh(LEARNED, 1, **labeled([[1, 0]], [0]))
    _, state = weigh(LEARNED, 1, state, **labeled([[0, 1]], [1]))
    np.testing.assert_allclose(state.terms.means[0], [1, 0])


def test_examples_without_a_label_move_no_prototype_whatever_label_they_carry():
    extras = labeled([[1, 0], [5, 5]], [0, -100], [True, False])
    _, state = weigh(LEARNED, 2, **extras)
    np.testing.assert_allclose(state.terms.means, [[1, 0], [0, 0], [0, 0]])


def test_a_class_without_a_prototype_is_no_candidate():
    extras = labeled([[1, 0], [0, 1], [0.6, -0.8]], [0, 1, -100], [True, True, False])
    np.testing.assert_allclose(weights_of(LEARNED, 3, **extras)[2], 1.4, rtol=1e-5)


def test_before_any_label_came_nothing_is_trusted():
    extras = labeled([[1, 0], [0, 1]], [0, 1], is_labeled=False)
    np.testing.assert_array_equal(weights_of(LEARNED, 2, **extras), 0)


def test_labeled_examples_have_weight_one():
    extras = {"embeddings": np.ones((2, 2)), "prototypes": np.eye(2)}
    weights = weights_of(GIVEN, 2, **extras, is_labeled=np.array([True, False]))
    np.testing.assert_allclose(weights, [1, 0], atol=1e-6)


def test_prototypes_of_other_features_are_an_error():
    with pytest.raises(ValueError, match=r"prototypes has shape \(3, 3\).*\[classes, 2\]"):
        gaps(np.ones((1, 2)), np.eye(3))


def test_prototypes_that_are_not_learned_are_needed():
    with pytest.raises(ValueError, match=r"prototype_gap_weighting.*'prototypes' is missing"):
        weights_of(GIVEN, 1, embeddings=np.ones((1, 2)))


@pytest.mark.parametrize("settings", [{"num_classes": 3}, {"num_features": 3}])
def test_learning_prototypes_needs_both_sizes(settings):
    with pytest.raises(ValueError, match="give both, or neither"):
        gap(**settings)


SHRUNK = shrunk(threshold=0.75, decay=0.9)
# Certain; certain once one class is dropped; never certain.
WEAK = np.array([[0.8, 0.1, 0.06, 0.04], [0.6, 0.3, 0.06, 0.04], [0.28, 0.26, 0.24, 0.22]])


def test_uncertain_examples_weigh_their_confidence_if_the_threshold_is_reached():
    weights = weights_of(SHRUNK, 3, weak_probabilities=WEAK)
    np.testing.assert_allclose(weights, [0, 0.6 / 3, 0], rtol=1e-5)


def test_the_average_of_the_certain_fraction_starts_as_that_of_the_first_batch():
    _, state = weigh(SHRUNK, 3, weak_probabilities=WEAK)
    np.testing.assert_allclose(state.terms.average, 1 / 3, rtol=1e-6)


def test_the_average_of_the_certain_fraction_moves_by_its_decay():
    _, state = weigh(SHRUNK, 3, weak_probabilities=WEAK)
    _, state = weigh(SHRUNK, 3, state, weak_probabilities=WEAK[[0, 0, 0]])
    np.testing.assert_allclose(state.terms.average, 0.9 / 3 + 0.1, rtol=1e-6)


def test_a_batch_that_is_all_masked_does_not_count():
    nothing = np.zeros(3, bool)
    _, state = weigh(SHRUNK, 3, weak_probabilities=np.full((3, 4), np.nan), where=nothing)
    _, state = weigh(SHRUNK, 3, state, weak_probabilities=WEAK)
    np.testing.assert_allclose(state.terms.average, 1 / 3, rtol=1e-6)
    _, state = weigh(SHRUNK, 3, state, weak_probabilities=WEAK, where=nothing)
    np.testing.assert_allclose(state.terms.average, 1 / 3, rtol=1e-6)


def test_with_two_classes_no_uncertain_example_counts():
    weak = np.array([[0.6, 0.4], [0.5, 0.5], [0.9, 0.1]])
    np.testing.assert_array_equal(weights_of(SHRUNK, 3, weak_probabilities=weak), 0)


@given(st.floats(0.5, 0.74), st.floats(0.5, 0.74))
def test_the_surer_of_two_that_drop_the_same_classes_weighs_no_less(one, other):
    # The second class is dropped; without it the first is certain.
    doubtful = [[p, 0.98 - p, 0.02, 0.0] for p in sorted((one, other))]
    weak = np.array([*doubtful, WEAK[0]], np.float32)
    weights = weights_of(SHRUNK, 3, weak_probabilities=weak)
    assert 0 < weights[0] <= weights[1]


shrunk_class_consistency_loss = jax.jit(losses.shrunk_class_consistency_loss)


@given(seeds)
def test_loss_and_weight_together_are_the_released_sum(seed):
    weak = random_guesses(seed, classes=5) ** 2
    weak = weak / weak.sum(-1, keepdims=True)
    strong = random_vectors(seed, SIZE, 5)
    total = 0.0
    for q, x in zip(weak, strong, strict=True):
        order = np.argsort(-q)
        q, x = q[order].astype(float), x[order].astype(float)
        for c in range(2, 5) if q[0] < 0.75 else ():
            if q[0] / (q[0] + q[c:].sum()) >= 0.75:
                total += q[0] * (np.log(np.exp(x[0]) + np.exp(x[c:]).sum()) - x[0])
                break
    expected = total / SIZE * np.mean(weak.max(-1) >= 0.75)
    weights = weights_of(SHRUNK, SIZE, weak_probabilities=weak)
    unweighted = shrunk_class_consistency_loss(weak, strong, 0.75)
    np.testing.assert_allclose(np.mean(weights * unweighted), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("settings", [{"threshold": 0.0}, {"decay": 1.0}])
def test_settings_of_shrunk_classes_that_are_wrong_are_refused(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))} is .*, but it must be in"):
        shrunk(**settings)
