"""Derivatives of another loss by the weights of examples, and the weighting by alignment."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import weighting
from tests.weighting.noisy_labels import DIMENSION, example_losses, noisy_data

RATE = 0.3
seeds = st.integers(0, 2**31 - 1)
alignments = st.lists(st.floats(-10, 10, width=32), min_size=6, max_size=6)


def network_losses(params, inputs, targets):
    hidden = jnp.tanh(inputs @ params["hidden"])
    return jnp.square(hidden @ params["output"] - targets)


def network_and_batches(seed):
    """Returns parameters, a training batch of 6 examples and a clean batch of 3."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    params = {"hidden": normal(4, 5), "output": normal(5)}
    return params, (normal(6, 4), normal(6)), (normal(3, 4), normal(3))


def clean_loss(params, clean):
    return network_losses(params, *clean).mean()


def descend(params, gradient):
    return jax.tree.map(lambda p, g: p - RATE * g, params, gradient)


def weights_of(alignment, state=None, where=None, **settings):
    weigh = weighting.meta_weighting(**settings)
    losses = jnp.ones(len(alignment))
    state = weigh.init(losses) if state is None else state
    return weigh.update(losses, state, losses, alignment=jnp.asarray(alignment), where=where)


jitted_weights = jax.jit(lambda alignment: weights_of(alignment)[0])


@functools.partial(jax.jit, static_argnames="mode")
def jitted_alignment(params, batch, clean, mode):
    clean_gradient = jax.grad(clean_loss)(params, clean)
    return weighting.meta_alignment(network_losses, params, clean_gradient, *batch, mode=mode)


def alignment_of(seed, mode="forward"):
    return jitted_alignment(*network_and_batches(seed), mode=mode)


@jax.jit
def derivative_of_the_first_step(params, batch, clean):
    def after_a_step(weights):
        gradient = jax.grad(lambda p: jnp.sum(weights * network_losses(p, *batch)))(params)
        return clean_loss(descend(params, gradient), clean)

    return jax.grad(after_a_step)(jnp.zeros(6))


@given(seeds)
def test_alignment_is_the_derivative_of_a_look_ahead_step_from_zero_weights(seed):
    expected = derivative_of_the_first_step(*network_and_batches(seed))
    np.testing.assert_allclose(-RATE * alignment_of(seed), expected, rtol=1e-4, atol=1e-5)


@given(seeds)
def test_reverse_mode_equals_forward_mode(seed):
    forward, reverse = alignment_of(seed), alignment_of(seed, mode="reverse")
    np.testing.assert_allclose(reverse, forward, rtol=1e-4, atol=1e-4)


def test_forward_mode_calls_the_model_once_on_the_whole_batch():
    params, batch, clean = network_and_batches(0)
    sizes = []

    def counted(params, inputs, targets):
        sizes.append(len(inputs))
        return network_losses(params, inputs, targets)

    weighting.meta_alignment(counted, params, jax.grad(clean_loss)(params, clean), *batch)
    assert sizes == [6]


def test_forward_mode_accepts_a_function_that_closes_over_its_batch():
    params, batch, clean = network_and_batches(1)
    clean_gradient = jax.grad(clean_loss)(params, clean)
    closed = weighting.meta_alignment(lambda p: network_losses(p, *batch), params, clean_gradient)
    np.testing.assert_allclose(closed, alignment_of(1), rtol=1e-5)


def test_alignment_is_linear_in_the_clean_gradient():
    params, batch, first = network_and_batches(2)
    _, _, second = network_and_batches(3)
    gradients = [jax.grad(clean_loss)(params, clean) for clean in (first, second)]
    align = lambda gradient: weighting.meta_alignment(network_losses, params, gradient, *batch)  # noqa: E731
    found = align(optax.tree.add(*gradients))
    np.testing.assert_allclose(found, align(gradients[0]) + align(gradients[1]), rtol=1e-4)


def test_losses_with_an_axis_of_steps_have_alignments_per_step():
    params, (inputs, targets), clean = network_and_batches(4)
    clean_gradient = jax.grad(clean_loss)(params, clean)
    align = lambda *batch: weighting.meta_alignment(  # noqa: E731
        lambda p: network_losses(p, *batch), params, clean_gradient
    )
    found = align(inputs.reshape(3, 2, 4), targets.reshape(3, 2))
    np.testing.assert_allclose(found, align(inputs, targets).reshape(3, 2), rtol=1e-5)


def test_reverse_mode_accepts_a_model_without_a_forward_rule():
    @jax.custom_vjp
    def times(a, b):
        return a @ b

    times.defvjp(lambda a, b: (a @ b, (a, b)), lambda ab, g: (jnp.outer(g, ab[1]), ab[0].T @ g))

    def kernel_losses(params, inputs, targets):
        return jnp.square(times(jnp.tanh(inputs @ params["hidden"]), params["output"]) - targets)

    params, batch, clean = network_and_batches(5)
    clean_gradient = jax.grad(clean_loss)(params, clean)
    with pytest.raises(TypeError, match="custom_vjp"):
        weighting.meta_alignment(kernel_losses, params, clean_gradient, *batch)
    found = weighting.meta_alignment(kernel_losses, params, clean_gradient, *batch, mode="reverse")
    np.testing.assert_allclose(found, alignment_of(5), rtol=1e-4)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_alignment_of_bfloat16_parameters_is_float32(mode):
    params, batch, clean = network_and_batches(6)
    clean_gradient = jax.grad(clean_loss)(params, clean)
    low, low_batch = optax.tree.cast((params, batch), jnp.bfloat16)
    found = weighting.meta_alignment(network_losses, low, clean_gradient, *low_batch, mode=mode)
    assert found.dtype == jnp.float32
    expected = alignment_of(6)
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())


def test_a_clean_gradient_of_other_shapes_raises_an_error():
    params, batch, _ = network_and_batches(0)
    wrong = {"hidden": params["hidden"][:2], "output": params["output"]}
    with pytest.raises(ValueError, match=r"clean_gradient has shapes .*\(2, 5\).*\(4, 5\)"):
        weighting.meta_alignment(network_losses, params, wrong, *batch)


def test_a_clean_gradient_of_another_structure_raises_an_error():
    params, batch, _ = network_and_batches(0)
    with pytest.raises(ValueError, match="clean_gradient has shapes"):
        weighting.meta_alignment(network_losses, params, list(params.values()), *batch)


def test_an_unknown_mode_raises_an_error_that_suggests_the_nearest():
    params, batch, _ = network_and_batches(0)
    with pytest.raises(ValueError, match="did you mean 'reverse'"):
        weighting.meta_alignment(network_losses, params, params, *batch, mode="revers")


def test_reverse_mode_requires_a_batch():
    params, batch, _ = network_and_batches(0)
    with pytest.raises(ValueError, match="pass the batch after clean_gradient"):
        weighting.meta_alignment(
            lambda p: network_losses(p, *batch), params, params, mode="reverse"
        )


def random_weights(seed):
    return np.random.default_rng(seed + 1).uniform(0, 2, 6).astype(np.float32)


@functools.partial(jax.jit, static_argnames="mode")
def jitted_look_ahead(weights, where, params, batch, clean, mode):
    return weighting.look_ahead_gradient(
        network_losses,
        params,
        weights,
        lambda p: clean_loss(p, clean),
        RATE,
        *batch,
        where=where,
        mode=mode,
    )


def look_ahead_of(seed, where, mode="forward"):
    return jitted_look_ahead(random_weights(seed), where, *network_and_batches(seed), mode=mode)


@jax.jit
def look_ahead_by_autodiff(weights, where, params, batch, clean):
    def after_a_step(weights):
        def mean(params):
            return jnp.sum(where * weights * network_losses(params, *batch)) / where.sum()

        return clean_loss(descend(params, jax.grad(mean)(params)), clean)

    return jax.grad(after_a_step)(weights)


@given(seeds, st.lists(st.booleans(), min_size=6, max_size=6).filter(any))
def test_look_ahead_gradient_equals_autodiff_through_the_step(seed, where):
    where = np.array(where)
    expected = look_ahead_by_autodiff(random_weights(seed), where, *network_and_batches(seed))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(look_ahead_of(seed, where), expected, atol=1e-4 * scale)


def test_look_ahead_gradient_is_the_inner_product_after_the_step():
    params, batch, clean = network_and_batches(7)
    mean = lambda p: jnp.mean(random_weights(7) * network_losses(p, *batch))  # noqa: E731
    meta_gradient = jax.grad(clean_loss)(descend(params, jax.grad(mean)(params)), clean)
    each = jax.jacrev(network_losses)(params, *batch)
    products = jax.tree.map(
        lambda rows, g: jnp.sum(rows * g, axis=tuple(range(1, rows.ndim))), each, meta_gradient
    )
    expected = -RATE * jax.tree.reduce(jnp.add, products) / 6
    np.testing.assert_allclose(look_ahead_of(7, np.ones(6, bool)), expected, rtol=1e-4)


def test_look_ahead_gradient_has_a_reverse_mode():
    where = np.ones(6, bool)
    reverse = look_ahead_of(8, where, mode="reverse")
    np.testing.assert_allclose(reverse, look_ahead_of(8, where), rtol=1e-4)


def test_look_ahead_gradient_is_zero_where_masked_even_for_nan():
    params, batch, clean = network_and_batches(9)
    where = np.array([True, True, False, True, True, True])
    nan_if_masked = jnp.where(where, 0, jnp.nan)
    found = weighting.look_ahead_gradient(
        lambda p: network_losses(p, *batch) + nan_if_masked,
        params,
        random_weights(9) + nan_if_masked,
        lambda p: clean_loss(p, clean),
        RATE,
        where=where,
    )
    np.testing.assert_allclose(found, look_ahead_of(9, where), rtol=1e-5)
    assert found[2] == 0


def test_look_ahead_gradient_of_an_all_masked_batch_is_zero():
    np.testing.assert_array_equal(look_ahead_of(0, np.zeros(6, bool)), 0)


def test_weights_of_another_shape_than_the_losses_raise_an_error():
    params, batch, clean = network_and_batches(0)
    with pytest.raises(ValueError, match=r"look_ahead_gradient: weights has shape \(5,\).*\[6\]"):
        weighting.look_ahead_gradient(
            network_losses, params, jnp.ones(5), lambda p: clean_loss(p, clean), RATE, *batch
        )


def test_hand_worked_weights():
    np.testing.assert_allclose(weights_of([2.0, -1.0, 0.0, 6.0])[0], [1, 0, 0, 3])


@given(alignments.filter(lambda values: max(values) > 1e-3))
def test_weights_are_never_negative_and_have_mean_one(alignment):
    weights = jitted_weights(jnp.array(alignment))
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.mean(), 1, rtol=1e-5)


@given(alignments, st.integers(-20, 20))
def test_weights_are_invariant_to_the_scale_of_the_alignment(alignment, exponent):
    # Scaling by powers of two is exact.
    alignment = np.where(np.abs(alignment) < 1e-3, 0, alignment).astype(np.float32)
    scaled = jitted_weights(jnp.asarray(alignment * np.float32(2.0**exponent)))
    np.testing.assert_array_equal(scaled, jitted_weights(jnp.asarray(alignment)))


@pytest.mark.parametrize(("fallback", "expected"), [("uniform", 1), ("zero", 0)])
def test_a_batch_without_a_positive_alignment_gets_the_fallback(fallback, expected):
    weights, _ = weights_of([-1.0, 0.0, -3.0], fallback=fallback)
    np.testing.assert_array_equal(weights, expected)


@given(seeds)
def test_an_example_like_the_clean_one_weighs_more_than_its_opposite(seed):
    params, example = np.random.default_rng(seed).normal(size=(2, DIMENSION)).astype(np.float32)
    weights = weights_of_clean_example_and_opposite(params, example)
    np.testing.assert_allclose(weights, [2, 0], rtol=1e-5)


@jax.jit
def weights_of_clean_example_and_opposite(params, example):
    inputs, labels = jnp.stack([example, example]), jnp.array([1, 0])
    clean_gradient = jax.grad(lambda p: example_losses(p, inputs[:1], labels[:1])[0])(params)
    alignment = weighting.meta_alignment(example_losses, params, clean_gradient, inputs, labels)
    return weights_of(alignment)[0]


def test_with_the_moving_average_a_more_helpful_batch_counts_more():
    # The bias-corrected averages with decay 1/2 are 1 and (3/2 + 1/4) / (3/4) = 7/3.
    first, state = weights_of([1.0, 1.0], ema_decay=0.5)
    second, _ = weights_of([3.0, 3.0], state, ema_decay=0.5)
    np.testing.assert_allclose(first, 1)
    np.testing.assert_allclose(second, 9 / 7, rtol=1e-6)


def test_with_equal_batches_the_moving_average_changes_nothing():
    alignment, state = [2.0, -1.0, 0.0, 6.0], None
    for _ in range(3):
        weights, state = weights_of(alignment, state, ema_decay=0.9)
        np.testing.assert_allclose(weights, [1, 0, 0, 3], rtol=1e-6)


def test_an_unhelpful_batch_lowers_the_moving_average():
    _, state = weights_of([1.0, 1.0], ema_decay=0.5)
    fallen, state = weights_of([-1.0, -1.0], state, ema_decay=0.5)
    # The averages are (0/2 + 1/4) / (3/4) = 1/3 and (1/2 + 0/4 + 1/8) / (7/8) = 5/7.
    weights, _ = weights_of([1.0, 1.0], state, ema_decay=0.5)
    np.testing.assert_allclose(fallen, 1)
    np.testing.assert_allclose(weights, 7 / 5, rtol=1e-6)


def test_an_all_masked_batch_does_not_change_the_moving_average():
    _, state = weights_of([1.0, 3.0], ema_decay=0.5)
    _, after = weights_of([9.0, 9.0], state, where=np.zeros(2, bool), ema_decay=0.5)
    assert jax.tree.all(jax.tree.map(np.array_equal, after.terms, state.terms))


@pytest.mark.parametrize("ema_decay", [1.0, -0.1])
def test_a_decay_out_of_range_is_refused(ema_decay):
    with pytest.raises(ValueError, match=r"ema_decay is .* but it must be in \[0, 1\)"):
        weighting.meta_weighting(ema_decay=ema_decay)


def test_an_unknown_fallback_raises_an_error_that_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'uniform'"):
        weighting.meta_weighting(fallback="unifrom")


def test_an_alignment_of_another_batch_size_raises_an_error():
    weigh, losses = weighting.meta_weighting(), jnp.ones(4)
    with pytest.raises(ValueError, match=r"'alignment' has shape \(3,\).*\(4,\)"):
        weigh.update(losses, weigh.init(losses), losses, alignment=jnp.ones(3))


def test_a_few_clean_examples_suffice_to_learn_from_half_flipped_labels():
    weigh = weighting.meta_weighting()
    inputs, labels, flipped = noisy_data(0, 128, 0.5)
    clean_inputs, clean_labels, _ = noisy_data(1, 32, 0)

    def step(carry, _):
        params, state, _ = carry
        clean_gradient = jax.grad(lambda p: example_losses(p, clean_inputs, clean_labels).mean())
        alignment = weighting.meta_alignment(
            example_losses, params, clean_gradient(params), inputs, labels
        )

        def loss_fn(params):
            losses = example_losses(params, inputs, labels)
            ones = jnp.ones(128)
            weights, after = weigh.update(ones, state, losses, alignment=alignment)
            return jnp.mean(weights * losses), (after, weights)

        gradient, (state, weights) = jax.grad(loss_fn, has_aux=True)(params)
        return (params - RATE * gradient, state, weights), weights

    start = jnp.zeros(DIMENSION), weigh.init(jnp.ones(128)), jnp.ones(128)
    (params, _, _), weights = jax.lax.scan(step, start, length=40)
    assert weights[:, flipped].mean() < 0.5 * weights[:, ~flipped].mean()
    assert np.mean((inputs @ params > 0) == (inputs.sum(-1) > 0)) > 0.85
