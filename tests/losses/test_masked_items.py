"""Every loss of lists treats a masked item as if it were absent."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import contrib, losses

BATCH, ITEMS, HIDDEN = 3, 5, 2
rng = np.random.default_rng(0)
SCORES = rng.normal(size=(BATCH, ITEMS)).astype(np.float32)
# Losses give masked items the label 0, so other items have it, too, and it is not the lowest.
GRADES = np.float32([[1, -1, 1, 0, 0], [0, 1, 0, -1, -1], [1, 1, 0, 0, -1]])
POSITIVE = np.arange(ITEMS) % 2 == 0
OTHER = rng.normal(size=(BATCH, ITEMS)).astype(np.float32)


def preference_loss(scores, labels, where=None):
    return losses.lambda_preference_loss(scores, labels, 0.5, where=where)


def distillation_loss(scores, teacher, where=None):
    labels = jnp.zeros(len(scores), jnp.int32)
    return losses.plackett_luce_distillation_loss(scores, teacher, labels, where=where)


def weighted_pair_loss(scores, weights, where=None):
    positive = jnp.broadcast_to(jnp.arange(scores.shape[1]) < 2, scores.shape)
    return losses.pair_weight_loss(scores, positive, weights, where=where)


LOSSES = {
    "weighted_ranknet_loss": (losses.weighted_ranknet_loss, GRADES),
    "lambda_preference_loss": (preference_loss, GRADES),
    "rank_list_loss, skip": (contrib.rank_list_loss, GRADES),
    "rank_list_loss, near": (functools.partial(contrib.rank_list_loss, max_distance=1), GRADES),
    "rank_list_loss, lse": (functools.partial(contrib.rank_list_loss, form="lse"), GRADES),
    "plackett_luce_distillation_loss": (distillation_loss, OTHER),
    "pair_weight_loss": (weighted_pair_loss, OTHER),
    "multi_similarity_pair_loss": (
        losses.multi_similarity_pair_loss,
        np.broadcast_to(POSITIVE, SCORES.shape),
    ),
    "wasserstein_list_loss": (
        functools.partial(losses.wasserstein_list_loss, temperature=0.5),
        GRADES,
    ),
}
every_list_loss = pytest.mark.parametrize("name", LOSSES)


@functools.partial(jax.jit, static_argnums=0)
def value_and_gradient(loss, scores, targets, where=None):
    def total(scores):
        found = loss(scores, targets, where=where)
        return jnp.sum(found * jnp.arange(1, BATCH + 1)), found

    (_, found), gradient = jax.value_and_grad(total, has_aux=True)(scores)
    return found, gradient


@every_list_loss
def test_a_masked_item_changes_neither_value_nor_gradient(name):
    loss, targets = LOSSES[name]
    without = [np.delete(array, HIDDEN, axis=1) for array in (SCORES, targets)]
    expected, expected_gradient = value_and_gradient(loss, *without)

    hidden = [np.array(array) for array in (SCORES, targets)]
    for array in hidden:
        array[:, HIDDEN] = np.nan
    where = np.broadcast_to(np.arange(ITEMS) != HIDDEN, SCORES.shape)
    found, gradient = value_and_gradient(loss, *hidden, where)

    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        np.delete(gradient, HIDDEN, axis=1), expected_gradient, rtol=1e-4, atol=1e-5
    )
    assert not np.any(gradient[:, HIDDEN])


@every_list_loss
def test_a_list_without_items_has_loss_zero_next_to_other_lists(name):
    loss, targets = LOSSES[name]
    where = np.ones(SCORES.shape, bool)
    where[0] = False
    scores = np.where(where, SCORES, np.nan)
    found, gradient = value_and_gradient(loss, scores, targets, where)
    assert found[0] == 0
    assert not np.any(gradient[0])
    assert np.isfinite(gradient).all()


@every_list_loss
def test_labels_of_another_shape_are_refused(name):
    loss, targets = LOSSES[name]
    with pytest.raises(ValueError, match="has shape"):
        loss(SCORES, targets[:, 1:])


@every_list_loss
def test_a_mask_of_another_shape_is_refused(name):
    loss, targets = LOSSES[name]
    with pytest.raises(ValueError, match="'where' has shape"):
        loss(SCORES, targets, where=np.ones(ITEMS, bool))
