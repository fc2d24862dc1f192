import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import contrib, losses

BATCH, FEATURES, NEGATIVES = 6, 3, 4
seeds = st.integers(0, 2**31)

multi_similarity = jax.jit(losses.multi_similarity_loss)
pair_loss = jax.jit(losses.multi_similarity_pair_loss)
info_nce = jax.jit(losses.info_nce_loss)
mixing = jax.jit(
    contrib.online_negative_mixing, static_argnames=("num_hardest", "num_mixed", "form")
)


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
def test_multi_similarity_is_the_formula_over_the_pairs_of_each_anchor(seed):
    embeddings, labels = embeddings_and_labels(seed)
    s = unit(np.float64(embeddings)) @ unit(np.float64(embeddings)).T
    expected = np.zeros(BATCH)
    for i in range(BATCH):
        same = (labels == labels[i]) & (np.arange(BATCH) != i)
        positives, negatives = s[i, same], s[i, labels != labels[i]]
        expected[i] = np.log1p(np.exp(-2 * (positives - 0.4)).sum()) / 2
        expected[i] += np.log1p(np.exp(10 * (negatives - 0.4)).sum()) / 10
    found = multi_similarity(embeddings, labels, 2.0, 10.0, 0.4, None)
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
        # The peer gives 0 where the whole batch keeps one pair of each kind: take larger ones.
        embeddings, labels = embeddings_and_labels(seed, batch=16)
        tensors = torch.tensor(embeddings, dtype=torch.float64), torch.tensor(labels)
        pairs = None if mining_margin is None else miner(*tensors)
        expected = loss(*tensors, pairs)["loss"]["losses"].numpy().ravel()
        found = multi_similarity(embeddings, labels, mining_margin=mining_margin)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_mining_keeps_what_comes_near_the_hardest_of_the_other_kind():
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


def test_a_batch_separated_by_more_than_the_margin_costs_nothing():
    embeddings = np.float32([[1, 0, 0.1], [1, 0, 0], [0, 1, 0], [0, 1, 0.1]])
    labels = np.array([0, 0, 1, 1])
    assert not np.any(multi_similarity(embeddings, labels))
    assert not np.any(multi_similarity_gradient(embeddings, labels))
    assert np.all(multi_similarity(embeddings, labels, mining_margin=None) > 0)


@pytest.mark.parametrize("labels", [np.zeros(BATCH, int), np.arange(BATCH)])
def test_anchors_with_one_kind_of_pairs_are_not_mined(labels):
    embeddings, _ = embeddings_and_labels(0)
    assert not np.any(multi_similarity(embeddings, labels))


@given(seeds)
def test_a_sharp_beta_is_a_hinge_on_the_most_similar_negative(seed):
    embeddings, _ = embeddings_and_labels(seed)
    similarities = unit(embeddings) @ unit(embeddings).T
    off_diagonal = ~np.eye(BATCH, dtype=bool)
    found = pair_loss(similarities, ~off_diagonal, beta=1e4, mining_margin=None, where=off_diagonal)
    largest = np.where(off_diagonal, similarities, -1).max(1)
    np.testing.assert_allclose(found, np.maximum(0, largest - 0.5), atol=1e-3)


@given(seeds)
def test_multi_similarity_depends_on_directions_alone(seed):
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


def test_a_masked_example_is_in_no_pair():
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
def test_sharpness_must_be_above_zero(setting):
    with pytest.raises(ValueError, match=f"{setting} is 0"):
        losses.multi_similarity_loss(*embeddings_and_labels(0), **{setting: 0})


def test_multi_similarity_refuses_labels_that_are_not_one_per_example():
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
    # Labels that are one object would be taken for those of one set, compared with itself.
    labels, of_keys = torch.arange(BATCH), torch.arange(BATCH)
    expected = loss(torch.tensor(queries), labels, None, torch.tensor(keys), of_keys).item()
    np.testing.assert_allclose(info_nce(queries, keys, None, 0.2).mean(), expected, rtol=1e-5)


def test_info_nce_of_a_single_pair_is_zero():
    queries, keys, _ = queries_keys_and_negatives(0)
    np.testing.assert_array_equal(info_nce(queries[:1], keys[:1]), 0)


def test_info_nce_at_infinite_temperature_is_a_guess_among_the_batch():
    queries, keys, _ = queries_keys_and_negatives(0)
    np.testing.assert_allclose(info_nce(queries, keys, None, np.inf), np.log(BATCH), rtol=1e-6)


@given(seeds)
def test_negatives_raise_the_loss_and_none_or_masked_ones_do_not(seed):
    queries, keys, negatives = queries_keys_and_negatives(seed)
    alone = info_nce(queries, keys, None, 1.0)
    nowhere = np.zeros((BATCH, NEGATIVES), bool)
    hidden = np.full_like(negatives, np.nan)
    masked = info_nce(queries, keys, hidden, 1.0, negatives_where=nowhere)
    assert np.all(info_nce(queries, keys, negatives, 1.0) > alone)
    np.testing.assert_allclose(info_nce(queries, keys, negatives[:, :0], 1.0), alone, atol=1e-5)
    np.testing.assert_allclose(masked, alone, atol=1e-5)


def test_a_masked_pair_is_no_key_of_others():
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
def test_info_nce_refuses_vectors_that_do_not_fit(argument):
    arguments = dict(
        zip(("queries", "keys", "negatives"), queries_keys_and_negatives(0), strict=True)
    )
    arguments[argument] = arguments[argument][..., 1:]
    with pytest.raises(ValueError, match=f"{argument} has shape"):
        losses.info_nce_loss(**arguments)


# online_negative_mixing


def mixed(seed, form="pair", *, share=None, temperature=1.0):
    """Mixed negatives of the three hardest; the negatives as unit vectors, and their cosines."""
    queries, _, negatives = queries_keys_and_negatives(seed)
    units = unit(negatives)
    cosines = np.einsum("bd,bnd->bn", unit(queries), units)
    order = np.argsort(-cosines, axis=1)[..., None]
    num_mixed = 5 if form == "pair" else 1
    key = jax.random.key(seed)
    found = mixing(key, queries, negatives, 3, num_mixed, form, share, temperature)
    return np.array(found), np.take_along_axis(units, order, 1), -np.sort(-cosines, axis=1)


@given(seeds)
def test_mixed_negatives_have_length_one(seed):
    pairs, *_ = mixed(seed)
    lists, *_ = mixed(seed, form="list")
    np.testing.assert_allclose(np.linalg.norm(pairs, axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(lists, axis=-1), 1, rtol=1e-5)
    assert pairs.shape == (BATCH, 5, FEATURES)
    assert lists.shape == (BATCH, 1, FEATURES)


def test_a_pair_is_of_two_different_negatives_drawn_from_all_the_hardest():
    shares = []
    for seed in range(20):
        found, hardest, _ = mixed(seed)
        # Three unit vectors in three dimensions are a basis: the mixture's shares are unique.
        shares.append(np.linalg.solve(np.swapaxes(hardest[:, :3], 1, 2)[:, None], found[..., None]))
    shares = np.concatenate(shares)[..., 0]
    used = np.abs(shares) > 1e-3
    assert np.all(shares > -1e-3)
    assert np.all(used.sum(-1) <= 2)
    assert (used.sum(-1) == 2).mean() > 0.95
    np.testing.assert_allclose(used.mean((0, 1)), 2 / 3, atol=0.1)


@given(seeds)
def test_shares_of_zero_and_one_give_the_negatives_back(seed):
    share = np.random.default_rng(seed).integers(0, 2, (BATCH, 5)).astype(np.float32)
    found, hardest, _ = mixed(seed, share=share)
    nearest = np.linalg.norm(found[:, :, None] - hardest[:, None, :3], axis=-1).min(-1)
    np.testing.assert_allclose(nearest, 0, atol=1e-6)


@given(seeds)
def test_even_shares_are_midway_between_two_negatives(seed):
    found, hardest, _ = mixed(seed, share=np.full((BATCH, 5), 0.5, np.float32))
    hardest = hardest[:, :3]
    middles = unit(hardest + np.roll(hardest, 1, axis=1))
    nearest = np.linalg.norm(found[:, :, None] - middles[:, None], axis=-1).min(-1)
    np.testing.assert_allclose(nearest, 0, atol=1e-3)


@given(seeds)
def test_a_list_is_mixed_by_the_softmax_of_its_cosines(seed):
    found, hardest, cosines = mixed(seed, form="list", temperature=0.5)
    powers = np.exp(cosines[:, :3] / 0.5)
    expected = unit(np.einsum("bk,bkd->bd", powers, hardest[:, :3]))
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-3, atol=1e-4)


@given(seeds)
def test_a_cold_list_is_the_hardest_negative(seed):
    found, hardest, _ = mixed(seed, form="list", temperature=1e-6)
    np.testing.assert_allclose(found[:, 0], hardest[:, 0], atol=1e-3)


@pytest.mark.parametrize("form", ["pair", "list"])
def test_masked_negatives_are_never_mixed(form):
    queries, _, negatives = queries_keys_and_negatives(0)
    where = np.ones((BATCH, NEGATIVES), bool)
    where[:, 1] = False
    where[0] = [False, False, True, False]
    where[1] = False
    hidden = np.where(where[..., None], negatives, np.nan)
    hidden_queries = np.where(where.any(1)[:, None], queries, np.nan)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def total(negatives):
        found = contrib.online_negative_mixing(
            jax.random.key(0), hidden_queries, negatives, 3, form=form, where=where
        )
        return jnp.sum(found * jnp.arange(FEATURES)), found

    (_, found), gradient = total(hidden)
    assert np.isfinite(found).all()
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(found[0, 0], unit(negatives[0, 2]), rtol=1e-5)
    np.testing.assert_array_equal(found[1], 0)
    np.testing.assert_array_equal(gradient[~where], 0)


def test_the_gradient_flows_into_the_negatives_alone():
    queries, _, negatives = queries_keys_and_negatives(0)

    def total(negatives, queries, share, temperature):
        mix = functools.partial(
            contrib.online_negative_mixing, jax.random.key(0), queries, negatives, 3
        )
        found = mix(share=share), mix(form="list", temperature=temperature)
        return sum(jnp.sum(mixture * jnp.arange(FEATURES)) for mixture in found)

    of_negatives, *of_others = jax.jit(jax.grad(total, argnums=(0, 1, 2, 3)))(
        negatives, queries, 0.5, 0.5
    )
    assert np.any(of_negatives)
    assert not any(np.any(gradient) for gradient in of_others)


def test_one_key_draws_one_mixture_and_another_key_another():
    queries, _, negatives = queries_keys_and_negatives(0)
    first, again, other = (
        mixing(jax.random.key(seed), queries, negatives, 3, 5, "pair", None, 1.0)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("num_hardest", 0),
        ("num_hardest", NEGATIVES + 1),
        ("num_mixed", 0),
        ("share", 1.5),
        ("temperature", 0),
    ],
)
def test_mixing_refuses_settings_out_of_range(setting, value):
    queries, _, negatives = queries_keys_and_negatives(0)
    with pytest.raises(ValueError, match=f"{setting} is {value}"):
        contrib.online_negative_mixing(
            jax.random.key(0), queries, negatives, **{"num_hardest": 2, setting: value}
        )


def test_a_list_gives_one_mixture():
    queries, _, negatives = queries_keys_and_negatives(0)
    with pytest.raises(ValueError, match="num_mixed is 2"):
        contrib.online_negative_mixing(jax.random.key(0), queries, negatives, 2, 2, "list")


def test_mixing_names_the_nearest_form():
    queries, _, negatives = queries_keys_and_negatives(0)
    with pytest.raises(ValueError, match="did you mean 'pair'"):
        contrib.online_negative_mixing(jax.random.key(0), queries, negatives, 2, form="pairs")


def test_mixing_refuses_queries_that_do_not_fit():
    queries, _, negatives = queries_keys_and_negatives(0)
    with pytest.raises(ValueError, match="queries has shape"):
        contrib.online_negative_mixing(jax.random.key(0), queries[1:], negatives, 2)
