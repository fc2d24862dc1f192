import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import losses

BATCH, FEATURES, NEGATIVES = 6, 3, 4
seeds = st.integers(0, 2**31)

multi_similarity = jax.jit(losses.multi_similarity_loss)
pair_loss = jax.jit(losses.multi_similarity_pair_loss)
info_nce = jax.jit(losses.info_nce_loss)


@jax.jit
def multi_similarity_gradient(embeddings, labels, **settings):
    total = lambda x: losses.multi_similarity_loss(x, labels, **settings).sum()  # noqa: E731
    return jax.grad(total)(embeddings)


def embeddings_and_labels(seed, batch=BATCH):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, FEATURES)).astype(np.float32), rng.integers(0, 3, batch)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


# multi_similarity_loss


@given(seeds)
def test_multi_similarity_follows_the_formula_over_the_pairs_of_each_anchor(seed):
    embeddings, labels = embeddings_and_labels(seed)
    s = unit(np.float64(embeddings)) @ unit(np.float64(embeddings)).T
    expected = np.zeros(BATCH)
    for i in range(BATCH):
        same = (labels == labels[i]) & (np.arange(BATCH) != i)
        positives, negatives = s[i, same], s[i, labels != labels[i]]
        expected[i] = np.log1p(np.exp(-2 * (positives - 0.4)).sum()) / 2
        expected[i] += np.log1p(np.exp(10 * (negatives - 0.4)).sum()) / 10
    found = multi_similarity(embeddings, labels, alpha=2.0, beta=10.0, base=0.4, mining_margin=None)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mining_margin", [None, 0.1])
def test_multi_similarity_equals_pytorch_metric_learning_anchor_by_anchor(mining_margin):
    torch = pytest.importorskip("torch")
    peer_losses = pytest.importorskip("pytorch_metric_learning.losses")
    peer_miners = pytest.importorskip("pytorch_metric_learning.miners")
    peer_reducers = pytest.importorskip("pytorch_metric_learning.reducers")
    loss = peer_losses.MultiSimilarityLoss(
        alpha=2, beta=50, base=0.5, reducer=peer_reducers.DoNothingReducer()
    )
    miner = peer_miners.MultiSimilarityMiner(epsilon=0.1)
    for seed in range(5):
        # The peer returns 0 if a batch keeps one pair of each kind, so batches are larger here.
        embeddings, labels = embeddings_and_labels(seed, batch=16)
        tensors = torch.tensor(embeddings, dtype=torch.float64), torch.tensor(labels)
        pairs = None if mining_margin is None else miner(*tensors)
        expected = loss(*tensors, pairs)["loss"]["losses"].numpy().ravel()
        found = multi_similarity(embeddings, labels, mining_margin=mining_margin)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_mining_keeps_pairs_that_come_near_the_hardest_pair_of_the_other_kind():
    similarities = np.float32([[0.9, 0.5, 0.45, 0.3]])
    positive = np.array([[True, True, False, False]])
    found = pair_loss(similarities, positive, beta=10.0)
    # The positive at 0.9 is above 0.45 + 0.1, the negative at 0.3 below 0.5 - 0.1.
    expected = np.log1p(np.exp(-2 * (0.5 - 0.5))) / 2 + np.log1p(np.exp(10 * (0.45 - 0.5))) / 10
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


@given(seeds)
def test_an_infinite_margin_keeps_every_pair_of_anchors_that_have_both_kinds(seed):
    embeddings, _ = embeddings_and_labels(seed)
    labels = np.arange(BATCH) % 2
    found = multi_similarity(embeddings, labels, mining_margin=np.inf)
    expected = multi_similarity(embeddings, labels, mining_margin=None)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_batch_separated_by_more_than_the_margin_has_loss_zero():
    embeddings = np.float32([[1, 0, 0.1], [1, 0, 0], [0, 1, 0], [0, 1, 0.1]])
    labels = np.array([0, 0, 1, 1])
    assert not np.any(multi_similarity(embeddings, labels))
    assert not np.any(multi_similarity_gradient(embeddings, labels))
    assert np.all(multi_similarity(embeddings, labels, mining_margin=None) > 0)


@pytest.mark.parametrize("labels", [np.zeros(BATCH, int), np.arange(BATCH)])
def test_anchors_with_only_one_kind_of_pairs_have_loss_zero(labels):
    embeddings, _ = embeddings_and_labels(0)
    assert not np.any(multi_similarity(embeddings, labels))


@given(seeds)
def test_a_large_beta_gives_a_hinge_on_the_most_similar_negative(seed):
    embeddings, _ = embeddings_and_labels(seed)
    similarities = unit(embeddings) @ unit(embeddings).T
    off_diagonal = ~np.eye(BATCH, dtype=bool)
    found = pair_loss(similarities, ~off_diagonal, beta=1e4, mining_margin=None, where=off_diagonal)
    largest = np.where(off_diagonal, similarities, -1).max(1)
    np.testing.assert_allclose(found, np.maximum(0, largest - 0.5), atol=1e-3)


@given(seeds)
def test_multi_similarity_does_not_change_with_lengths_and_rotations(seed):
    embeddings, labels = embeddings_and_labels(seed)
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(FEATURES, FEATURES)))
    lengths = rng.uniform(0.1, 10, (BATCH, 1))
    found = multi_similarity((lengths * embeddings @ rotation).astype(np.float32), labels)
    np.testing.assert_allclose(found, multi_similarity(embeddings, labels), rtol=1e-3, atol=1e-4)


@given(seeds)
def test_permuting_the_batch_permutes_the_losses_and_renaming_labels_changes_nothing(seed):
    embeddings, labels = embeddings_and_labels(seed)
    order = np.random.default_rng(seed).permutation(BATCH)
    found = multi_similarity(embeddings[order], 7 - labels[order])
    expected = multi_similarity(embeddings, labels)[order]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_masked_example_forms_no_pair():
    embeddings, labels = embeddings_and_labels(1)
    where = np.arange(BATCH) != 2
    hidden = np.where(where[:, None], embeddings, np.nan)
    found = multi_similarity(hidden, labels, where=where)
    expected = multi_similarity(embeddings[where], labels[where])
    np.testing.assert_allclose(found[where], expected, rtol=1e-5)
    gradient = multi_similarity_gradient(hidden, labels, where=where)
    np.testing.assert_allclose(
        gradient[where], multi_similarity_gradient(embeddings[where], labels[where]), rtol=1e-4
    )


def test_zero_and_equal_embeddings_have_finite_gradients():
    embeddings, labels = embeddings_and_labels(0)
    embeddings[:2] = 0
    embeddings[3] = embeddings[4]
    assert np.isfinite(multi_similarity_gradient(embeddings, labels)).all()


@pytest.mark.parametrize("setting", ["alpha", "beta"])
def test_a_sharpness_of_zero_is_refused(setting):
    with pytest.raises(ValueError, match=f"{setting} is 0"):
        losses.multi_similarity_loss(*embeddings_and_labels(0), **{setting: 0})


def test_multi_similarity_refuses_labels_of_another_shape():
    embeddings, labels = embeddings_and_labels(0)
    with pytest.raises(ValueError, match="labels has shape"):
        losses.multi_similarity_loss(embeddings, labels[1:])


# info_nce_loss


def queries_keys_and_negatives(seed):
    rng = np.random.default_rng(seed)
    queries, keys = rng.normal(size=(2, BATCH, FEATURES)).astype(np.float32)
    return queries, keys, rng.normal(size=(BATCH, NEGATIVES, FEATURES)).astype(np.float32)


@given(seeds, st.floats(0.05, 5))
def test_info_nce_is_cross_entropy_of_cosines_over_the_temperature(seed, temperature):
    queries, keys, negatives = queries_keys_and_negatives(seed)
    in_batch = unit(queries) @ unit(keys).T
    own = np.einsum("bd,bnd->bn", unit(queries), unit(negatives))
    cosines = np.concatenate([in_batch, own], axis=1)
    expected = optax.softmax_cross_entropy_with_integer_labels(
        cosines / temperature, np.arange(BATCH)
    )
    found = info_nce(queries, keys, negatives, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_info_nce_equals_pytorch_metric_learning():
    torch = pytest.importorskip("torch")
    peer_losses = pytest.importorskip("pytorch_metric_learning.losses")
    queries, keys, _ = queries_keys_and_negatives(0)
    loss = peer_losses.NTXentLoss(temperature=0.2)
    # The peer compares a set with itself if both label arguments are the same object.
    labels, key_labels = torch.arange(BATCH), torch.arange(BATCH)
    expected = loss(torch.tensor(queries), labels, None, torch.tensor(keys), key_labels).item()
    np.testing.assert_allclose(info_nce(queries, keys, None, 0.2).mean(), expected, rtol=1e-5)


def test_info_nce_of_a_single_pair_is_zero():
    queries, keys, _ = queries_keys_and_negatives(0)
    np.testing.assert_array_equal(info_nce(queries[:1], keys[:1]), 0)


def test_info_nce_at_infinite_temperature_is_that_of_a_uniform_guess():
    queries, keys, _ = queries_keys_and_negatives(0)
    np.testing.assert_allclose(info_nce(queries, keys, None, np.inf), np.log(BATCH), rtol=1e-6)


@given(seeds)
def test_negatives_raise_the_loss_unless_they_are_masked(seed):
    queries, keys, negatives = queries_keys_and_negatives(seed)
    alone = info_nce(queries, keys, None, 1.0)
    nowhere = np.zeros((BATCH, NEGATIVES), bool)
    hidden = np.full_like(negatives, np.nan)
    masked = info_nce(queries, keys, hidden, 1.0, negatives_where=nowhere)
    assert np.all(info_nce(queries, keys, negatives, 1.0) > alone)
    np.testing.assert_allclose(info_nce(queries, keys, negatives[:, :0], 1.0), alone, atol=1e-5)
    np.testing.assert_allclose(masked, alone, atol=1e-5)


def test_the_key_of_a_masked_example_is_not_a_negative_for_others():
    queries, keys, negatives = queries_keys_and_negatives(0)
    where = np.arange(BATCH) != 2
    hidden = [np.array(array) for array in (queries, keys, negatives)]
    for array in hidden:
        array[2] = np.nan
    found = info_nce(*hidden, where=where)
    expected = info_nce(queries[where], keys[where], negatives[where])
    np.testing.assert_allclose(found[where], expected, rtol=1e-5)


def test_info_nce_refuses_a_temperature_of_zero():
    with pytest.raises(ValueError, match="temperature is 0"):
        losses.info_nce_loss(*queries_keys_and_negatives(0), 0)


@pytest.mark.parametrize("argument", ["keys", "negatives"])
def test_info_nce_refuses_vectors_of_another_shape(argument):
    arguments = dict(
        zip(("queries", "keys", "negatives"), queries_keys_and_negatives(0), strict=True)
    )
    arguments[argument] = arguments[argument][..., 1:]
    with pytest.raises(ValueError, match=f"{argument} has shape"):
        losses.info_nce_loss(**arguments)
