"""`learnability_quality_score` on small regressions with known derivatives."""

import functools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import contrib

# The proxy run is linear or logistic regression with an intercept, trained by gradient descent.
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
    """Returns the checkpoints of a run that also trains on `extra`, with its own weight."""

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
    return contrib.learnability_quality_score(
        loss,
        functools.partial(dev_loss, loss),
        contrib.ProxyRun(proxy_run(loss, batches), batches, rates),
        examples(3, 6) if pool is None else pool,
        **settings,
    )


@pytest.mark.parametrize("loss", [squared_loss, logistic_loss])
def test_influence_is_the_fall_of_the_held_out_losses_per_unit_of_weight(loss):
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
    """Returns held-out gradients, Hessians of the steps and gradients of the pool, all flat."""
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
def test_the_score_agrees_with_explicit_hessians(learnability):
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


def test_flipping_the_labels_flips_the_sign_of_the_influence():
    pool = examples(3, 6)
    flipped = pool | {"y": 1 - pool["y"]}
    right, wrong = (score(logistic_loss, s, learnability=False) for s in (pool, flipped))
    assert np.all(right * wrong < 0)
    assert np.mean(right) > 0 > np.mean(wrong)


def test_scoring_in_chunks_changes_nothing():
    chunked = score(squared_loss, chunk_size=4)
    np.testing.assert_allclose(chunked, score(squared_loss), rtol=1e-5)


def test_a_single_learning_rate_applies_to_all_steps():
    found = score(squared_loss, rates=0.1)
    np.testing.assert_allclose(found, score(squared_loss, rates=np.full(STEPS, 0.1)), rtol=1e-5)


def test_an_example_without_a_gradient_has_score_zero():
    pool = {"x": np.zeros((1, WIDTH), np.float32), "y": np.zeros(1, np.float32)}

    def no_intercept(params, example):
        return squared_loss(params | {"b": 0.0}, example)

    np.testing.assert_array_equal(score(no_intercept, pool), 0)


def test_bfloat16_checkpoints_are_scored_in_float32():
    batches = examples(2, STEPS, BATCH)
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), proxy_run(squared_loss, batches))
    rounded = jax.tree.map(lambda x: x.astype(jnp.float32), half)
    found, expected = (
        contrib.learnability_quality_score(
            squared_loss,
            functools.partial(dev_loss, squared_loss),
            contrib.ProxyRun(checkpoints, batches, 0.1),
            examples(3, 6),
        )
        for checkpoints in (half, rounded)
    )
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, expected)


def test_a_wrong_number_of_batches_raises_an_error():
    batches = examples(2, STEPS, BATCH)
    too_few = jax.tree.map(lambda leaf: leaf[1:], batches)
    run = contrib.ProxyRun(proxy_run(squared_loss, batches), too_few, 0.1)
    held_out = functools.partial(dev_loss, squared_loss)
    with pytest.raises(ValueError, match="6 checkpoints mean 5 steps"):
        contrib.learnability_quality_score(squared_loss, held_out, run, examples(3, 6))


def test_a_wrong_number_of_learning_rates_raises_an_error():
    batches = examples(2, STEPS, BATCH)
    run = contrib.ProxyRun(proxy_run(squared_loss, batches), batches, RATES[1:])
    held_out = functools.partial(dev_loss, squared_loss)
    with pytest.raises(ValueError, match=r"learning_rate has shape \(4,\)"):
        contrib.learnability_quality_score(squared_loss, held_out, run, examples(3, 6))
