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

BATCH, ITEMS = 3, 5
seeds = st.integers(0, 2**31)

weights_of = jax.jit(losses.decoupled_pair_weights, static_argnames="weighting")
pair_weight_loss = jax.jit(losses.pair_weight_loss)
pair_weight_gradient = jax.jit(jax.grad(lambda *args: losses.pair_weight_loss(*args).sum()))


def softmax_loss(scores, is_positive, *, where=None):
    return rax.softmax_loss(scores, is_positive.astype(jnp.float32), where=where, reduce_fn=None)


def softmax_cross_entropy(scores, is_positive):
    return optax.softmax_cross_entropy(scores, is_positive.astype(jnp.float32))


def sigmoid_binary_cross_entropy(scores, is_positive):
    return optax.sigmoid_binary_cross_entropy(scores, is_positive.astype(jnp.float32))


@functools.partial(jax.jit, static_argnums=0)
def gradient_of(loss, scores, is_positive):
    return jax.grad(lambda scores: loss(scores, is_positive).sum())(scores)


@functools.partial(jax.jit, static_argnums=0)
def general_weights(loss, scores, is_positive, where=None):
    return losses.general_pair_weights(loss, scores, is_positive, where=where)


def scores_and_positives(seed, positives="several"):
    rng = np.random.default_rng(seed)
    scores = rng.normal(scale=2, size=(BATCH, ITEMS)).astype(np.float32)
    if positives == "one":
        return scores, np.arange(ITEMS) == rng.integers(0, ITEMS, (BATCH, 1))
    return scores, rng.random((BATCH, ITEMS)) < 0.4


@given(seeds)
def test_contrastive_weights_have_the_gradient_of_raxs_softmax_loss(seed):
    scores, positive = scores_and_positives(seed)
    found = pair_weight_gradient(scores, positive, weights_of(scores, positive, "contrastive"))
    expected = gradient_of(softmax_loss, scores, positive)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@given(seeds, st.floats(0.2, 5))
def test_contrastive_weights_of_one_positive_have_the_gradient_of_softmax_cross_entropy(
    seed, temperature
):
    scores, positive = scores_and_positives(seed, "one")
    weights = weights_of(scores, positive, "contrastive", temperature)
    expected = (
        gradient_of(softmax_cross_entropy, scores / np.float32(temperature), positive) / temperature
    )
    found = pair_weight_gradient(scores, positive, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@given(seeds, st.floats(0.2, 5))
def test_supervised_weights_have_the_gradient_of_sigmoid_cross_entropy(seed, temperature):
    scores, positive = scores_and_positives(seed)
    weights = weights_of(scores, positive, "supervised", temperature)
    expected = (
        gradient_of(sigmoid_binary_cross_entropy, scores / np.float32(temperature), positive)
        / temperature
    )
    found = pair_weight_gradient(scores, positive, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@given(seeds)
def test_uniform_weights_move_every_score_by_the_same_amount(seed):
    scores, positive = scores_and_positives(seed)
    found = pair_weight_gradient(scores, positive, weights_of(scores, positive, "uniform"))
    np.testing.assert_array_equal(found, np.where(positive, -1, 1))


@given(seeds)
def test_contrastive_weights_of_positives_and_of_negatives_have_the_same_sum(seed):
    scores, positive = scores_and_positives(seed)
    weights = np.array(weights_of(scores, positive, "contrastive"))
    np.testing.assert_allclose(
        np.where(positive, weights, 0).sum(1), np.where(positive, 0, weights).sum(1), atol=1e-5
    )


def test_supervised_weights_of_positives_and_of_negatives_have_different_sums():
    scores, positive = np.float32([[3, 3, 3]]), np.array([[True, False, False]])
    weights = np.array(weights_of(scores, positive, "supervised"))
    assert weights[positive].sum() < 0.1 * weights[~positive].sum()


def test_the_weights_of_one_score_can_train_another_score():
    scores, positive = scores_and_positives(0)
    teacher, _ = scores_and_positives(1)
    weights = weights_of(teacher, positive, "supervised")
    found = pair_weight_gradient(scores, positive, weights)
    np.testing.assert_array_equal(found, np.where(positive, -weights, weights))


def test_the_pair_weight_loss_is_the_sum_of_signed_weighted_scores():
    scores, positive = scores_and_positives(0)
    weights = np.random.default_rng(1).normal(size=scores.shape).astype(np.float32)
    expected = (np.where(positive, -1, 1) * weights * scores).sum(1)
    np.testing.assert_allclose(pair_weight_loss(scores, positive, weights), expected, rtol=1e-5)


def test_pair_weights_have_no_gradient():
    scores, positive = scores_and_positives(0)

    @jax.jit
    @jax.grad
    def gradient(scores):
        decoupled = losses.decoupled_pair_weights(scores, positive, "contrastive")
        general = losses.general_pair_weights(softmax_loss, scores, positive)
        return jnp.sum((decoupled + general) * jnp.arange(ITEMS))

    assert not np.any(gradient(scores))


def test_the_weights_of_the_pair_weight_loss_have_gradient_zero():
    scores, positive = scores_and_positives(0)
    total = lambda weights: pair_weight_loss(scores, positive, weights).sum()  # noqa: E731
    assert not np.any(jax.grad(total)(np.ones_like(scores)))


@pytest.mark.parametrize("weighting", ["contrastive", "supervised", "uniform"])
def test_masked_items_have_weight_zero_and_do_not_change_the_others(weighting):
    scores, positive = scores_and_positives(0)
    where = np.ones(scores.shape, bool)
    where[:, 1] = False
    where[0] = False
    found = np.array(weights_of(np.where(where, scores, np.nan), positive, weighting, where=where))
    without = weights_of(np.delete(scores, 1, 1), np.delete(positive, 1, 1), weighting)
    np.testing.assert_array_equal(found[~where], 0)
    np.testing.assert_allclose(np.delete(found, 1, 1)[1:], without[1:], rtol=1e-5)


# general_pair_weights


@given(seeds, st.sampled_from([softmax_loss, losses.multi_similarity_pair_loss]))
def test_general_weights_have_the_gradient_of_the_loss_that_they_come_from(seed, loss):
    scores, positive = scores_and_positives(seed)
    scores = np.tanh(scores)
    found = pair_weight_gradient(scores, positive, general_weights(loss, scores, positive))
    expected = gradient_of(loss, scores, positive)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@given(seeds)
def test_general_weights_are_absolute_derivatives_of_a_loss_that_pulls_and_pushes(seed):
    scores, positive = scores_and_positives(seed)
    loss = losses.multi_similarity_pair_loss
    found = general_weights(loss, np.tanh(scores), positive)
    np.testing.assert_allclose(found, np.abs(gradient_of(loss, np.tanh(scores), positive)))


@given(seeds)
def test_general_weights_of_the_multi_similarity_loss_have_a_closed_form(seed):
    scores, positive = scores_and_positives(seed)
    s = np.tanh(np.float64(scores))
    alpha, beta, base = 2, 10, 0.5
    expected = np.zeros_like(s)
    for i, j in np.ndindex(s.shape):
        same = s[i, positive[i] == positive[i, j]]
        if positive[i, j]:
            expected[i, j] = 1 / (
                np.exp(alpha * (s[i, j] - base)) + np.exp(-alpha * (same - s[i, j])).sum()
            )
        else:
            expected[i, j] = 1 / (
                np.exp(beta * (base - s[i, j])) + np.exp(beta * (same - s[i, j])).sum()
            )
    found = general_weights(without_mining, np.float32(s), positive)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


without_mining = functools.partial(losses.multi_similarity_pair_loss, beta=10.0, mining_margin=None)


def test_general_weights_of_masked_items_are_zero_and_do_not_change_the_others():
    scores, positive = scores_and_positives(0)
    where = np.broadcast_to(np.arange(ITEMS) != 1, scores.shape)
    hidden = np.where(where, scores, np.nan)
    found = general_weights(softmax_loss, hidden, positive, where)
    without = general_weights(softmax_loss, np.delete(scores, 1, 1), np.delete(positive, 1, 1))
    np.testing.assert_array_equal(found[:, 1], 0)
    np.testing.assert_allclose(np.delete(found, 1, 1), without, rtol=1e-5, atol=1e-6)


def test_the_error_for_an_unknown_weighting_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'supervised'"):
        losses.decoupled_pair_weights(*scores_and_positives(0), "supervise")


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="temperature is 0"):
        losses.decoupled_pair_weights(*scores_and_positives(0), "supervised", 0)


@pytest.mark.parametrize(
    "function",
    [
        functools.partial(losses.decoupled_pair_weights, weighting="uniform"),
        functools.partial(losses.general_pair_weights, softmax_loss),
    ],
)
def test_positives_of_another_shape_are_refused(function):
    scores, positive = scores_and_positives(0)
    with pytest.raises(ValueError, match="is_positive has shape"):
        function(scores, is_positive=positive[:, 1:])
