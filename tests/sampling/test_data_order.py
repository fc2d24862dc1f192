import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import sampling

COUNT = 11  # Examples to order; one number, so that sorting them is compiled once.

folds_of = st.integers(1, COUNT + 2)
scored = st.lists(st.integers(-3, 3).map(float), min_size=COUNT, max_size=COUNT).map(np.float32)


def split_into_folds(order, folds):
    sizes = [len(range(fold, len(order), folds)) for fold in range(folds)]
    return np.split(order, np.cumsum(sizes)[:-1])


@given(scored, folds_of, st.booleans())
def test_a_folded_order_is_a_permutation(scores, folds, ascending):
    order = sampling.folding_order(scores, folds, ascending)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(scores)))


@given(scored, folds_of)
def test_a_folded_order_takes_every_so_manieth_of_the_sorted_examples(scores, folds):
    ranked = sorted(range(len(scores)), key=lambda i: scores[i])
    expected = [i for fold in range(folds) for i in ranked[fold::folds]]
    np.testing.assert_array_equal(sampling.folding_order(scores, folds), expected)


@given(scored, st.integers(0, 5))
def test_one_fold_or_as_many_as_examples_is_sorting(scores, more):
    ranked = np.argsort(scores, kind="stable")
    for folds in (1, len(scores) + more):
        np.testing.assert_array_equal(sampling.folding_order(scores, folds), ranked)


@given(scored, folds_of, st.booleans())
def test_scores_rise_or_fall_within_each_fold(scores, folds, ascending):
    order = np.asarray(sampling.folding_order(scores, folds, ascending))
    for fold in split_into_folds(order, folds):
        steps = np.diff(scores[fold])
        assert np.all(steps >= 0 if ascending else steps <= 0)


@given(st.sampled_from([1, 2, 3, 4, 6, 12]), st.integers(0, 999))
def test_the_means_of_two_equal_folds_are_at_most_the_range_over_their_size_apart(folds, seed):
    scores = np.random.default_rng(seed).exponential(size=12).astype(np.float32)
    size = 12 // folds
    order = np.asarray(sampling.folding_order(scores, folds))
    means = [scores[fold].mean() for fold in split_into_folds(order, folds)]
    assert np.ptp(means) <= np.ptp(scores) / size + 1e-5


def test_means_of_folds_can_be_further_apart_than_neighbours_in_the_sorted_scores():
    order = np.asarray(sampling.folding_order(np.arange(9.0)))
    assert [fold.mean() for fold in split_into_folds(order, 3)] == [3, 4, 5]


@given(scored, folds_of, st.integers(0, 99))
def test_shuffling_the_examples_only_permutes_those_of_equal_score(scores, folds, seed):
    shuffle = np.random.default_rng(seed).permutation(len(scores))
    order = sampling.folding_order(scores, folds)
    shuffled = sampling.folding_order(scores[shuffle], folds)
    np.testing.assert_array_equal(scores[shuffle][shuffled], scores[order])


def test_descending_begins_with_the_highest_and_ties_keep_their_order():
    order = sampling.folding_order(np.array([1.0, 3.0, 1.0, 2.0]), 2, ascending=False)
    np.testing.assert_array_equal(order, [1, 0, 3, 2])


def test_a_folded_order_can_be_traced():
    scores = np.random.default_rng(0).normal(size=20)
    order = jax.jit(functools.partial(sampling.folding_order, folds=4))(scores)
    np.testing.assert_array_equal(order, sampling.folding_order(scores, 4))


def test_less_than_one_fold_is_an_error():
    with pytest.raises(ValueError, match="folds is 0"):
        sampling.folding_order(np.arange(3.0), folds=0)


def test_scores_that_are_not_a_vector_are_an_error():
    with pytest.raises(ValueError, match=r"scores has shape \(3, 1\)"):
        sampling.folding_order(np.ones((3, 1)))


# A proxy run: linear regression with an intercept, or logistic regression, by gradient descent.
STEPS, BATCH, WIDTH = 5, 4, 3
RATES = np.array([0.3, 0.25, 0.2, 0.15, 0.1], np.float32)


def squared_loss(params, example):
    return 0.5 * (example["x"] @ params["w"] + params["b"] - example["y"]) ** 2


def logistic_loss(params, example):
    margin = (2 * example["y"] - 1) * (example["x"] @ params["w"] + params["b"])
    return jnp.logaddexp(0.0, -margin)


def examples(seed, *shape):
    random = np.random.default_rng(seed)
    x = random.normal(size=(*shape, WIDTH))
    y = x @ np.array([1.0, -2.0, 0.5]) + random.normal(size=shape) > 0
    return {"x": x.astype(np.float32), "y": y.astype(np.float32)}


def dev_loss(loss, params):
    return jnp.mean(jax.vmap(loss, (None, 0))(params, examples(1, 10)))


def proxy_run(loss, batches, extra=None, weight=0.0):
    """Checkpoints of the run; `extra` is trained on in each step with a weight of its own."""

    def total(params, batch):
        mean = jnp.mean(jax.vmap(loss, (None, 0))(params, batch))
        return mean if extra is None else mean + weight * loss(params, extra)

    def step(params, at):
        batch, rate = at
        gradient = jax.grad(total)(params, batch)
        return jax.tree.map(lambda p, g: p - rate * g, params, gradient), params

    start = {"w": jnp.asarray(np.full(WIDTH, 0.1)), "b": jnp.asarray(np.zeros([]))}
    last, before = jax.lax.scan(step, start, (batches, RATES))
    return jax.tree.map(lambda some, one: jnp.concatenate([some, one[None]]), before, last)


@functools.partial(jax.jit, static_argnames=("loss", "learnability", "chunk_size"))
def score(loss, pool=None, rates=RATES, **settings):
    batches = examples(2, STEPS, BATCH)
    return sampling.learnability_quality_score(
        loss,
        functools.partial(dev_loss, loss),
        proxy_run(loss, batches),
        batches,
        examples(3, 6) if pool is None else pool,
        rates,
        **settings,
    )


@pytest.mark.parametrize("loss", [squared_loss, logistic_loss])
def test_influence_is_how_much_the_held_out_losses_fall_for_each_unit_of_weight(loss):
    batches, pool = examples(2, STEPS, BATCH), examples(3, 6)

    @jax.jit
    def held_out_area(extra, weight):
        checkpoints = proxy_run(loss, batches, extra, weight)
        return jnp.sum(jax.vmap(functools.partial(dev_loss, loss))(checkpoints))

    with jax.enable_x64(True):
        gains = [
            -(held_out_area(example, 1e-5) - held_out_area(example, -1e-5)) / 2e-5
            for example in (jax.tree.map(lambda leaf, i=i: leaf[i], pool) for i in range(6))
        ]
    np.testing.assert_allclose(score(loss, learnability=False), gains, rtol=1e-3, atol=1e-5)


@jax.jit
def derivatives(checkpoints, batches, pool):
    """Held-out gradients, Hessians of the steps and gradients of the pool, as flat arrays."""
    ravel = jax.flatten_util.ravel_pytree
    unravel = ravel(jax.tree.map(lambda leaf: leaf[0], checkpoints))[1]
    thetas = jax.vmap(lambda params: ravel(params)[0])(checkpoints)

    def one_loss(theta, example):
        return logistic_loss(unravel(theta), example)

    def mean_loss(theta, batch):
        return jnp.mean(jax.vmap(one_loss, (None, 0))(theta, batch))

    of_pool = jax.vmap(jax.grad(one_loss), (None, 0))
    return (
        jax.vmap(jax.grad(lambda theta: dev_loss(logistic_loss, unravel(theta))))(thetas),
        jax.vmap(jax.hessian(mean_loss))(thetas[:-1], batches),
        jax.vmap(of_pool, (0, None))(thetas, pool),
    )


@pytest.mark.parametrize("learnability", [True, False])
def test_the_score_is_the_sum_of_quality_times_learnability_with_explicit_hessians(learnability):
    batches, pool = examples(2, STEPS, BATCH), examples(3, 6)
    checkpoints = proxy_run(logistic_loss, batches)
    held_out, hessians, gradients = map(np.asarray, derivatives(checkpoints, batches, pool))
    norms = np.linalg.norm(gradients, axis=-1)
    costate, expected = held_out[-1], np.zeros(6)
    for t in reversed(range(STEPS)):
        quality = RATES[t] * gradients[t] @ costate
        expected += quality / norms[t] * (norms[t] / norms[t + 1] if learnability else norms[t])
        costate = costate + held_out[t] - RATES[t] * hessians[t] @ costate
    found = score(logistic_loss, learnability=learnability)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_turning_the_labels_around_turns_influence_around():
    pool = examples(3, 6)
    turned = pool | {"y": 1 - pool["y"]}
    right, wrong = (score(logistic_loss, s, learnability=False) for s in (pool, turned))
    assert np.all(right * wrong < 0)
    assert np.mean(right) > 0 > np.mean(wrong)


def test_scoring_in_chunks_changes_nothing():
    chunked = score(squared_loss, chunk_size=4)
    np.testing.assert_allclose(chunked, score(squared_loss), rtol=1e-5)


def test_one_learning_rate_does_for_all_steps():
    found = score(squared_loss, rates=0.1)
    np.testing.assert_allclose(found, score(squared_loss, rates=np.full(STEPS, 0.1)), rtol=1e-5)


def test_an_example_without_a_gradient_scores_zero():
    pool = {"x": np.zeros((1, WIDTH), np.float32), "y": np.zeros(1, np.float32)}

    def no_intercept(params, example):
        return squared_loss(params | {"b": 0.0}, example)

    np.testing.assert_array_equal(score(no_intercept, pool), 0)


def test_bfloat16_checkpoints_are_scored_in_float32():
    batches = examples(2, STEPS, BATCH)
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), proxy_run(squared_loss, batches))
    rounded = jax.tree.map(lambda x: x.astype(jnp.float32), half)
    found, expected = (
        sampling.learnability_quality_score(
            squared_loss,
            functools.partial(dev_loss, squared_loss),
            checkpoints,
            batches,
            examples(3, 6),
            0.1,
        )
        for checkpoints in (half, rounded)
    )
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, expected)


def test_batches_that_are_not_one_for_each_step_are_an_error():
    batches = examples(2, STEPS, BATCH)
    with pytest.raises(ValueError, match="6 checkpoints are 5 steps"):
        sampling.learnability_quality_score(
            squared_loss,
            functools.partial(dev_loss, squared_loss),
            proxy_run(squared_loss, batches),
            jax.tree.map(lambda leaf: leaf[1:], batches),
            examples(3, 6),
            0.1,
        )


def test_learning_rates_that_are_not_one_for_each_step_are_an_error():
    batches = examples(2, STEPS, BATCH)
    with pytest.raises(ValueError, match=r"learning_rate has shape \(4,\)"):
        sampling.learnability_quality_score(
            squared_loss,
            functools.partial(dev_loss, squared_loss),
            proxy_run(squared_loss, batches),
            batches,
            examples(3, 6),
            RATES[1:],
        )
