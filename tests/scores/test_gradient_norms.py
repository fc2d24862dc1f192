"""Scores of examples next to gradients from autodiff."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgar_jax import scores

BATCH, TOKENS, CLASSES, WIDTH = 5, 3, 4, 6

el2n = jax.jit(scores.el2n_score)
last_layer = jax.jit(scores.last_layer_grand_score, static_argnames="bias")
some_labels = hnp.arrays(np.int32, BATCH, elements=st.integers(0, CLASSES - 1))


def some_logits(*shape):
    return hnp.arrays(np.float32, shape, elements=st.floats(-30, 30, width=32))


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def draw_labels(*shape):
    return np.random.default_rng(1).integers(0, CLASSES, shape)


def last_layer_loss(kernel, example):
    """Returns the mean cross-entropy over the tokens of one example, for a layer with a bias."""
    features = jnp.concatenate([example["x"], jnp.ones_like(example["x"][..., :1])], -1)
    logits = features @ kernel
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, example["y"]))


@given(some_logits(BATCH, CLASSES), some_labels)
def test_el2n_lies_between_zero_and_the_square_root_of_two(logits, labels):
    scores = el2n(logits, labels)
    assert np.all(scores >= 0)
    assert np.all(scores <= np.sqrt(2) + 1e-6)


@given(some_logits(BATCH, CLASSES), some_labels)
def test_el2n_is_the_norm_of_the_gradient_of_cross_entropy_in_the_logits(logits, labels):
    expected = np.linalg.norm(gradient_in_logits(logits, labels), axis=-1)
    np.testing.assert_allclose(el2n(logits, labels), expected, rtol=1e-5, atol=1e-6)


@jax.jit
@jax.vmap
def gradient_in_logits(logits, label):
    return jax.grad(optax.softmax_cross_entropy_with_integer_labels)(logits, label)


@given(some_logits(BATCH, CLASSES), some_labels)
def test_grand_of_a_linear_layer_is_el2n_times_the_norm_of_the_features(logits, labels):
    features = draw(BATCH, WIDTH)
    expected = el2n(logits, labels) * np.linalg.norm(features, axis=-1)
    np.testing.assert_allclose(last_layer(logits, labels, features), expected, rtol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("tokens", [(), (TOKENS,)])
def test_grand_of_the_last_layer_agrees_with_grand_of_a_one_layer_model(tokens, bias):
    features, labels = draw(BATCH, *tokens, WIDTH), draw_labels(BATCH, *tokens)
    kernel = draw(WIDTH + 1, CLASSES, seed=2)
    if not bias:
        kernel[-1] = 0

    def loss(trained, example):
        return last_layer_loss(trained if bias else jnp.append(trained, kernel[-1:], 0), example)

    logits = features @ kernel[:-1] + kernel[-1]
    grand_of_layer = jax.jit(functools.partial(scores.grand_score, loss))
    expected = grand_of_layer(kernel if bias else kernel[:-1], {"x": features, "y": labels})
    found = last_layer(logits, labels, features, bias=bias)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def two_layer_loss(params, example):
    hidden = jnp.tanh(example["x"] @ params["in"])
    return last_layer_loss(params["out"], {"x": hidden, "y": example["y"]})


PARAMS = {"in": draw(WIDTH, WIDTH, seed=3), "out": draw(WIDTH + 1, CLASSES, seed=4)}
EXAMPLES = {"x": draw(BATCH, WIDTH, seed=5), "y": draw_labels(BATCH)}


@functools.partial(jax.jit, static_argnames="chunk_size")
def grand(params=PARAMS, examples=EXAMPLES, **settings):
    return scores.grand_score(two_layer_loss, params, examples, **settings)


def test_grand_is_the_norm_of_each_gradient_over_all_parameters():
    gradient_of = jax.jit(jax.grad(two_layer_loss))
    for i, score in enumerate(np.asarray(grand())):
        gradient = gradient_of(PARAMS, jax.tree.map(lambda x, i=i: x[i], EXAMPLES))
        squares = sum(np.sum(np.square(leaf)) for leaf in gradient.values())
        np.testing.assert_allclose(score, np.sqrt(squares), rtol=1e-4)


@pytest.mark.parametrize("chunk_size", [2, 100])
def test_chunks_do_not_change_grand(chunk_size):
    np.testing.assert_allclose(grand(chunk_size=chunk_size), grand(), rtol=1e-4)


def test_grand_ignores_the_contents_of_masked_examples():
    where = np.array([True, False, True, True, False])
    hidden = EXAMPLES | {"x": np.where(where[:, None], EXAMPLES["x"], np.nan)}
    found = grand(examples=hidden, where=where)
    np.testing.assert_allclose(found, np.where(where, grand(), 0), rtol=1e-4)


def test_grand_of_bfloat16_parameters_is_float32():
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)
    assert grand(params).dtype == jnp.float32


def test_a_chunk_size_of_zero_raises_an_error():
    with pytest.raises(ValueError, match="chunk_size is 0"):
        scores.grand_score(two_layer_loss, PARAMS, EXAMPLES, chunk_size=0)


def test_el2n_is_the_mean_over_seeds():
    logits, labels = draw(7, BATCH, CLASSES), draw_labels(BATCH)
    expected = np.mean([el2n(of_seed, labels) for of_seed in logits], axis=0)
    np.testing.assert_allclose(el2n(logits, labels), expected, rtol=1e-6)


def test_el2n_is_the_mean_over_the_tokens_that_count():
    logits, labels = draw(2, BATCH, TOKENS, CLASSES), draw_labels(BATCH, TOKENS)
    where = np.random.default_rng(2).uniform(size=(BATCH, TOKENS)) < 0.5
    where[0], where[1] = True, False
    labels[0, 0] = -100
    each = np.stack([el2n(logits[:, :, t], np.maximum(labels[:, t], 0)) for t in range(TOKENS)], 1)
    counts = where & (labels >= 0)
    expected = [
        row[some].mean() if some.any() else 0 for row, some in zip(each, counts, strict=True)
    ]
    np.testing.assert_allclose(el2n(logits, labels, where=where), expected, rtol=1e-6)


@pytest.mark.parametrize("score", [el2n, lambda *args, **mask: last_layer(*args, FEATURES, **mask)])
def test_masked_tokens_do_not_change_the_scores(score):
    logits, labels = draw(BATCH, TOKENS, CLASSES), draw_labels(BATCH, TOKENS)
    where = np.ones((BATCH, TOKENS), bool)
    where[0, 0] = where[1] = False
    with_nan, with_number = (
        score(np.where(where[..., None], logits, garbage), labels, where=where)
        for garbage in (np.nan, 5.0)
    )
    assert np.isfinite(with_nan).all()
    np.testing.assert_array_equal(with_nan, with_number)
    assert with_nan[1] == 0 < with_nan[0]


FEATURES = draw(BATCH, TOKENS, WIDTH)


def test_features_of_masked_tokens_do_not_change_the_scores():
    logits, labels = draw(BATCH, TOKENS, CLASSES), draw_labels(BATCH, TOKENS)
    where = np.ones((BATCH, TOKENS), bool)
    where[0, 0] = where[1] = False
    hidden = np.where(where[..., None], FEATURES, np.nan)
    found = last_layer(logits, labels, hidden, where=where)
    np.testing.assert_array_equal(found, last_layer(logits, labels, FEATURES, where=where))


@pytest.mark.parametrize("bias", [False, True])
def test_the_score_of_the_last_layer_covers_only_the_tokens_that_count(bias):
    logits, labels = draw(BATCH, TOKENS, CLASSES), draw_labels(BATCH, TOKENS)
    where = np.tile(np.arange(TOKENS) < TOKENS - 1, (BATCH, 1))
    found = last_layer(logits, labels, FEATURES, bias=bias, where=where)
    shorter = last_layer(logits[:, :-1], labels[:, :-1], FEATURES[:, :-1], bias=bias)
    np.testing.assert_allclose(found, shorter, rtol=1e-6)


def test_a_mask_may_have_one_entry_per_example():
    logits, labels = draw(BATCH, TOKENS, CLASSES), draw_labels(BATCH, TOKENS)
    where = np.arange(BATCH) != 2
    np.testing.assert_allclose(
        el2n(logits, labels, where=where), np.where(where, el2n(logits, labels), 0), rtol=1e-6
    )


def test_shuffling_the_examples_shuffles_the_scores():
    logits, labels, shuffle = draw(BATCH, CLASSES), draw_labels(BATCH), np.arange(BATCH)[::-1]
    np.testing.assert_array_equal(
        el2n(logits[shuffle], labels[shuffle]), el2n(logits, labels)[shuffle]
    )


def test_no_gradient_flows_through_the_scores():
    labels = draw_labels(BATCH)
    for score in (el2n, lambda x, y: last_layer(x, y, draw(BATCH, WIDTH))):
        gradient = jax.grad(lambda x, score=score: score(x, labels).sum())(draw(BATCH, CLASSES))
        np.testing.assert_array_equal(gradient, 0)
    gradient = jax.grad(lambda params: grand(params).sum())(PARAMS)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_bfloat16_logits_are_scored_in_float32():
    logits, labels = jnp.asarray(draw(BATCH, CLASSES), jnp.bfloat16), draw_labels(BATCH)
    assert el2n(logits, labels).dtype == jnp.float32
    np.testing.assert_array_equal(el2n(logits, labels), el2n(logits.astype(np.float32), labels))


@pytest.mark.parametrize("tokens", [(), (TOKENS,)])
def test_an_empty_batch_has_no_scores(tokens):
    logits, labels = np.zeros((0, *tokens, CLASSES)), np.zeros((0, *tokens), int)
    assert el2n(logits, labels).shape == (0,)
    assert last_layer(logits, labels, np.zeros((0, *tokens, WIDTH))).shape == (0,)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [((5, 4), (4,)), ((5, 4), (5, 4)), ((5, 3, 4), (5,)), ((2, 2, 5, 4), (5,)), ((4,), ())],
)
def test_labels_that_do_not_fit_the_logits_raise_an_error(logits, labels):
    with pytest.raises(ValueError, match=r"el2n_score: labels have shape"):
        scores.el2n_score(np.zeros(logits), np.zeros(labels, int))


def test_features_that_do_not_fit_the_labels_raise_an_error():
    with pytest.raises(ValueError, match=r"features has shape \(5, 3, 6\)"):
        scores.last_layer_grand_score(draw(5, 4), draw_labels(5), draw(5, 3, 6))
