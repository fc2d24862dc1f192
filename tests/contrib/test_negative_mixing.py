import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import contrib

BATCH, FEATURES, NEGATIVES = 6, 3, 4
seeds = st.integers(0, 2**31)
mixing = jax.jit(
    contrib.online_negative_mixing, static_argnames=("num_hardest", "num_mixed", "form")
)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def queries_and_negatives(seed):
    rng = np.random.default_rng(seed)
    queries = rng.normal(size=(BATCH, FEATURES)).astype(np.float32)
    return queries, rng.normal(size=(BATCH, NEGATIVES, FEATURES)).astype(np.float32)


def mixed(seed, form="pair", *, share=None, temperature=1.0):
    """Returns mixtures of the three hardest negatives, the unit negatives and their cosines."""
    queries, negatives = queries_and_negatives(seed)
    units = unit(negatives)
    cosines = np.einsum("bd,bnd->bn", unit(queries), units)
    order = np.argsort(-cosines, axis=1)[..., None]
    num_mixed = 5 if form == "pair" else 1
    key = jax.random.key(seed)
    found = mixing(
        key,
        queries,
        negatives,
        3,
        num_mixed=num_mixed,
        form=form,
        share=share,
        temperature=temperature,
    )
    return np.array(found), np.take_along_axis(units, order, 1), -np.sort(-cosines, axis=1)


@given(seeds)
def test_mixed_negatives_have_length_one(seed):
    pairs, *_ = mixed(seed)
    lists, *_ = mixed(seed, form="list")
    np.testing.assert_allclose(np.linalg.norm(pairs, axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(lists, axis=-1), 1, rtol=1e-5)
    assert pairs.shape == (BATCH, 5, FEATURES)
    assert lists.shape == (BATCH, 1, FEATURES)


def test_a_pair_mixes_two_different_negatives_drawn_from_all_the_hardest():
    shares = []
    for seed in range(20):
        found, hardest, _ = mixed(seed)
        # Three unit vectors in three dimensions are a basis, so the shares of a mixture are unique.
        shares.append(np.linalg.solve(np.swapaxes(hardest[:, :3], 1, 2)[:, None], found[..., None]))
    shares = np.concatenate(shares)[..., 0]
    used = np.abs(shares) > 1e-3
    assert np.all(shares > -1e-3)
    assert np.all(used.sum(-1) <= 2)
    assert (used.sum(-1) == 2).mean() > 0.95
    np.testing.assert_allclose(used.mean((0, 1)), 2 / 3, atol=0.1)


@given(seeds)
def test_shares_of_zero_and_one_reproduce_the_negatives(seed):
    share = np.random.default_rng(seed).integers(0, 2, (BATCH, 5)).astype(np.float32)
    found, hardest, _ = mixed(seed, share=share)
    nearest = np.linalg.norm(found[:, :, None] - hardest[:, None, :3], axis=-1).min(-1)
    np.testing.assert_allclose(nearest, 0, atol=1e-6)


@given(seeds)
def test_equal_shares_lie_midway_between_two_negatives(seed):
    found, hardest, _ = mixed(seed, share=np.full((BATCH, 5), 0.5, np.float32))
    hardest = hardest[:, :3]
    middles = unit(hardest + np.roll(hardest, 1, axis=1))
    nearest = np.linalg.norm(found[:, :, None] - middles[:, None], axis=-1).min(-1)
    np.testing.assert_allclose(nearest, 0, atol=1e-3)


@given(seeds)
def test_a_list_is_mixed_with_the_softmax_of_its_cosines(seed):
    found, hardest, cosines = mixed(seed, form="list", temperature=0.5)
    powers = np.exp(cosines[:, :3] / 0.5)
    expected = unit(np.einsum("bk,bkd->bd", powers, hardest[:, :3]))
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-3, atol=1e-4)


@given(seeds)
def test_a_list_at_low_temperature_is_the_hardest_negative(seed):
    found, hardest, _ = mixed(seed, form="list", temperature=1e-6)
    np.testing.assert_allclose(found[:, 0], hardest[:, 0], atol=1e-3)


@pytest.mark.parametrize("form", ["pair", "list"])
def test_masked_negatives_are_never_mixed(form):
    queries, negatives = queries_and_negatives(0)
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


def test_only_the_negatives_have_a_gradient():
    queries, negatives = queries_and_negatives(0)

    def total(negatives, queries, share, temperature):
        mix = functools.partial(
            contrib.online_negative_mixing, jax.random.key(0), queries, negatives, 3
        )
        found = mix(share=share), mix(form="list", temperature=temperature)
        return sum(jnp.sum(mixture * jnp.arange(FEATURES)) for mixture in found)

    negatives_gradient, *other_gradients = jax.jit(jax.grad(total, argnums=(0, 1, 2, 3)))(
        negatives, queries, 0.5, 0.5
    )
    assert np.any(negatives_gradient)
    assert not any(np.any(gradient) for gradient in other_gradients)


def test_the_same_key_gives_the_same_mixture_and_another_key_a_different_one():
    queries, negatives = queries_and_negatives(0)
    first, again, other = (
        mixing(jax.random.key(seed), queries, negatives, 3, num_mixed=5) for seed in (0, 0, 1)
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
    queries, negatives = queries_and_negatives(0)
    with pytest.raises(ValueError, match=f"{setting} is {value}"):
        contrib.online_negative_mixing(
            jax.random.key(0), queries, negatives, **{"num_hardest": 2, setting: value}
        )


def test_more_than_one_list_mixture_is_refused():
    queries, negatives = queries_and_negatives(0)
    with pytest.raises(ValueError, match="num_mixed is 2"):
        contrib.online_negative_mixing(
            jax.random.key(0), queries, negatives, 2, num_mixed=2, form="list"
        )


def test_the_error_for_an_unknown_form_suggests_the_nearest():
    queries, negatives = queries_and_negatives(0)
    with pytest.raises(ValueError, match="did you mean 'pair'"):
        contrib.online_negative_mixing(jax.random.key(0), queries, negatives, 2, form="pairs")


def test_mixing_refuses_queries_of_another_shape():
    queries, negatives = queries_and_negatives(0)
    with pytest.raises(ValueError, match="queries has shape"):
        contrib.online_negative_mixing(jax.random.key(0), queries[1:], negatives, 2)
