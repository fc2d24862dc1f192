"""The weighting by a small network that learns from a meta batch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import contrib, weighting
from tests.weighting.noisy_labels import DIMENSION, example_losses, logits_of, noisy_data

P = jax.sharding.PartitionSpec
BATCH, CLASSES = 8, 4
self_taught = contrib.self_taught_weighting
seeds = st.integers(0, 2**31 - 1)


def view_of(seed, batch=BATCH):
    """Returns losses, logits and labels of a random batch."""
    rng = np.random.default_rng(seed)
    logits = (2 * rng.normal(size=(batch, CLASSES))).astype(np.float32)
    labels = rng.integers(0, CLASSES, batch)
    losses = np.asarray(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
    return losses, {"logits": logits, "labels": labels}


def gradient_of(seed, batch=BATCH):
    return (1e-5 * np.random.default_rng(seed).normal(size=batch)).astype(np.float32)


@functools.partial(jax.jit, static_argnums=0)
def update(weigh, state, losses, view, gradient=None, where=None):
    ones = jax.tree.map(jnp.ones_like, losses)
    return weigh.update(ones, state, losses, **view, weight_gradient=gradient, where=where)


@functools.partial(jax.jit, static_argnums=0)
def jitted_init(weigh, losses):
    return weigh.init(losses)


@functools.cache
def learner(learning_rate=0.05):
    """Returns a weighting and a state after some learning; all tests share them."""
    weigh = self_taught(learning_rate)
    state = jitted_init(weigh, view_of(0)[0])
    for seed in range(4):
        _, state = update(weigh, state, *view_of(seed), gradient_of(seed))
    return weigh, state


def with_params(state, **params):
    return state._replace(terms=state.terms._replace(params=state.terms.params | params))


@given(seeds)
def test_an_untrained_network_leaves_the_weights_unchanged(seed):
    weigh, _ = learner()
    losses, view = view_of(seed)
    weights, _ = update(weigh, jitted_init(weigh, losses), losses, view)
    np.testing.assert_allclose(weights, 1, rtol=1e-6)


@given(seeds)
def test_equal_ratings_leave_the_weights_unchanged(seed):
    weigh, state = learner()
    bias = np.asarray(np.random.default_rng(seed).normal(size=16), np.float32)
    state = with_params(state, hidden=jnp.zeros_like(state.terms.params["hidden"]), bias=bias)
    weights, _ = update(weigh, state, *view_of(seed))
    np.testing.assert_allclose(weights, 1, rtol=1e-6)


@given(seeds)
def test_the_weights_have_mean_one_and_are_at_least_the_minimum(seed):
    weights, _ = update(*learner(), *view_of(seed))
    assert np.std(weights) > 1e-3
    np.testing.assert_allclose(np.mean(weights), 1, rtol=1e-5)
    assert np.min(weights) >= 0.01


def test_ratings_near_zero_leave_the_weights_at_one():
    weigh, state = learner()
    params = state.terms.params
    state = with_params(state, bias=params["bias"] + 50, output=params["output"] * 0 - 50)
    weights, _ = update(weigh, state, *view_of(0))
    np.testing.assert_allclose(weights, 1, rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_identical_examples_keep_equal_weights_while_the_network_learns(seed):
    weigh, state = learner()
    losses, view = view_of(seed)
    alike = {key: np.repeat(value[:1], BATCH, 0) for key, value in view.items()}
    for step in range(3):
        weights, state = update(
            weigh, state, np.repeat(losses[:1], BATCH), alike, gradient_of(step)
        )
        np.testing.assert_allclose(weights, 1, rtol=1e-6)


@given(seeds, st.floats(-10, 10))
def test_adding_a_constant_to_all_logits_changes_nothing(seed, constant):
    losses, view = view_of(seed)
    shifted = view | {"logits": view["logits"] + np.float32(constant)}
    expected, _ = update(*learner(), losses, view)
    np.testing.assert_allclose(update(*learner(), losses, shifted)[0], expected, rtol=1e-3)


def test_the_features_are_loss_probabilities_entropy_and_margin():
    weigh = self_taught(learning_rate=0.1, feature_decay=0.75)
    losses, view = view_of(1)
    losses = losses + 7
    _, state = update(weigh, weigh.init(losses), losses, view)
    probabilities = scipy.special.softmax(view["logits"].astype(np.float64), -1)
    of_label = probabilities[np.arange(BATCH), view["labels"]]
    others = np.where(np.arange(CLASSES) == view["labels"][:, None], -1, probabilities).max(-1)
    features = np.stack(
        [
            losses,
            of_label,
            probabilities.max(-1),
            scipy.stats.entropy(probabilities, axis=-1),
            of_label - others,
        ]
    )
    np.testing.assert_allclose(state.terms.mean.ema, 0.25 * features.mean(-1), rtol=1e-5)
    np.testing.assert_allclose(state.terms.variance.ema, 0.25 * features.var(-1), rtol=1e-4)


@given(st.integers(0, 4), st.integers(0, 4))
def test_weights_are_invariant_to_the_scale_of_the_loss(seed, exponent):
    weigh, _ = learner()
    losses, view = view_of(seed)
    state = with_params(jitted_init(weigh, losses), output=np.linspace(-1, 1, 16, dtype=np.float32))
    expected, _ = update(weigh, state, losses, view)
    found, _ = update(weigh, state, losses * 2**exponent, view)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@given(seeds)
def test_the_network_descends_the_gradient_through_its_weights(seed):
    weigh, state = learner()
    losses, view = view_of(seed)
    gradient, rng = gradient_of(seed), np.random.default_rng(seed)
    _, after = update(weigh, state, losses, view, gradient)
    # The new first moment of Adam is 0.9 times the old one plus 0.1 times the gradient.
    found = jax.tree.map(
        lambda new, old: (new - 0.9 * old) / 0.1,
        after.terms.optimizer.mu,
        state.terms.optimizer.mu,
    )
    params = state.terms.params
    direction = jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), params)

    def meta_loss(distance):
        moved = jax.tree.map(lambda p, d: p + np.float32(distance) * d, params, direction)
        weights, _ = update(weigh, with_params(state, **moved), losses, view)
        return np.asarray(weights, np.float64) @ gradient.astype(np.float64)

    # Central differences of two widths, combined so that the third-order error cancels.
    near, far = ((meta_loss(h) - meta_loss(-h)) / (2 * h) for h in (0.02, 0.04))
    scale = float(optax.tree.norm(found)) * np.sqrt(sum(p.size for p in jax.tree.leaves(params)))
    slope = float(optax.tree.vdot(found, direction))
    np.testing.assert_allclose((4 * near - far) / 3, slope, atol=0.005 * scale)


def test_the_first_step_is_invariant_to_the_scale_of_the_weight_gradient():
    weigh, losses_and_view = self_taught(learning_rate=0.1), view_of(2)
    state = weigh.init(losses_and_view[0])
    large, _ = update(weigh, state, *losses_and_view, gradient_of(2))
    small, _ = update(weigh, state, *losses_and_view, gradient_of(2) * 2.0**-10)
    assert np.std(large) > 0.01
    np.testing.assert_allclose(small, large, rtol=1e-5)


@jax.jit
def step_towards_one_example(inputs, labels, row):
    """Returns gradient and weights of a first step for a meta batch of copies of one example."""
    params, weigh = jnp.linspace(-1, 1, DIMENSION), self_taught(learning_rate=0.02)
    gradient = weighting.look_ahead_gradient(
        example_losses,
        params,
        jnp.ones(len(inputs)),
        lambda p: example_losses(p, inputs[row][None], labels[row][None])[0],
        0.1,
        inputs,
        labels,
    )
    losses = example_losses(params, inputs, labels)
    view = {"logits": logits_of(params, inputs), "labels": labels}
    return gradient, update(weigh, weigh.init(losses), losses, view, gradient)[0]


@pytest.mark.parametrize("row", range(DIMENSION))
def test_a_meta_batch_of_copies_of_one_example_raises_its_weight(row):
    # The inputs are orthogonal, so that no example's gradient affects another example.
    inputs, labels = 2 * np.eye(DIMENSION, dtype=np.float32), np.arange(DIMENSION) % 2
    gradient, weights = step_towards_one_example(inputs, labels, row)
    assert gradient[row] < 0
    np.testing.assert_array_equal(np.delete(gradient, row), 0)
    assert weights[row] > 1


def test_a_meta_batch_favors_a_similar_example_with_a_larger_gradient():
    first = np.array([[0.5, 0.5, 0.5, 0.5, 1.0]], np.float32)
    inputs = np.concatenate([first, 2 * first] + [np.zeros_like(first)] * (DIMENSION - 2))
    gradient, weights = step_towards_one_example(inputs, np.zeros(DIMENSION, int), 0)
    assert gradient[1] < gradient[0] < 0
    assert weights[1] > weights[0]


@given(seeds)
def test_a_small_step_of_the_network_lowers_the_meta_loss(seed):
    # A new state has the learned parameters, but no moments of earlier batches in Adam.
    weigh, params = learner(1e-3)[0], learner()[1].terms.params
    losses, view = view_of(seed)
    gradient = gradient_of(seed)
    state = with_params(jitted_init(weigh, losses), **params)
    before, _ = update(weigh, state, losses, view)
    after, _ = update(weigh, state, losses, view, gradient)
    assert (after - before) @ gradient < 0


def test_the_weights_belong_to_the_new_state():
    weigh = self_taught(learning_rate=0.1)
    losses, view = view_of(3)
    weights, state = update(weigh, weigh.init(losses), losses, view, gradient_of(3))
    again, _ = update(weigh, state, losses, view)
    assert np.std(weights) > 0.01
    np.testing.assert_allclose(again, weights, rtol=1e-4)


def test_without_a_weight_gradient_the_network_does_not_change():
    weigh, state = learner()
    _, after = update(weigh, state, *view_of(5))
    for before, now in ((state.terms.params, after.terms.params), state.terms[1:2] * 2):
        assert jax.tree.all(jax.tree.map(np.array_equal, before, now))
    assert not np.array_equal(state.terms.mean.ema, after.terms.mean.ema)


def test_an_all_masked_batch_does_not_change_the_moving_averages():
    weigh, state = learner()
    _, after = update(weigh, state, *view_of(5), None, np.zeros(BATCH, bool))
    assert jax.tree.all(jax.tree.map(np.array_equal, state.terms, after.terms))


def test_the_logits_of_an_example_apply_to_all_its_steps():
    weigh, state = learner()
    losses, view = view_of(4)
    losses = np.stack([losses, 2 * losses], 1)
    repeated = {key: np.stack([value] * 2, 1) for key, value in view.items()}
    expected, _ = update(weigh, state, losses, repeated)
    assert np.abs(expected[:, 0] - expected[:, 1]).max() > 1e-3
    np.testing.assert_allclose(update(weigh, state, losses, view)[0], expected, rtol=1e-5)


def test_infinite_negative_logits_are_accepted():
    weigh, state = learner()
    losses, view = view_of(6)
    ruled_out = np.arange(CLASSES) == (view["labels"][:, None] + 1) % CLASSES
    logits = np.where(ruled_out, -np.inf, view["logits"])
    found, after = update(weigh, state, losses, view | {"logits": logits}, gradient_of(6))
    assert np.isfinite(found).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after))


def test_the_seed_determines_the_initial_network():
    first = lambda seed: self_taught(0.1, seed=seed).init(jnp.ones(1)).terms.params["hidden"]  # noqa: E731
    np.testing.assert_array_equal(first(1), first(1))
    assert not np.array_equal(first(1), first(2))


@pytest.mark.parametrize("check_vma", [False, True])
def test_shards_learn_the_network_of_one_batch(check_vma):
    weigh, state = learner()
    sharded = self_taught(learning_rate=0.05, axis_name="data")
    (losses, view), gradient = view_of(7), gradient_of(7)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    per_shard = jax.shard_map(
        functools.partial(update, sharded),
        mesh=mesh,
        in_specs=(P(), P("data"), P("data"), P("data")),
        out_specs=(P("data"), P()),
        check_vma=check_vma,
    )
    found = jax.jit(per_shard)(state, losses, view, gradient)
    expected = update(weigh, state, losses, view, gradient)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-6), found, expected
    )


def test_a_weight_gradient_with_several_terms_raises_an_error_that_suggests_a_fix():
    weigh, (losses, view) = self_taught(0.1), view_of(0)
    terms = {"answer": losses, "halt": losses}
    with pytest.raises(ValueError, match=r"'weight_gradient' belongs to one.*optax\.masked"):
        jax.eval_shape(lambda: update(weigh, weigh.init(terms), terms, view, losses))


@pytest.mark.parametrize(
    "setting",
    [
        {"learning_rate": -0.1},
        {"hidden_size": 0},
        {"minimum": 0.0},
        {"minimum": 1.1},
        {"feature_decay": 1.0},
    ],
)
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValueError, match=r"self_taught_weighting: .* but it must be in"):
        self_taught(**({"learning_rate": 0.1} | setting))


def test_logits_of_another_batch_size_raise_an_error():
    weigh, (losses, view) = self_taught(0.1), view_of(0)
    with pytest.raises(ValueError, match=r"'logits' has shape \(7, 4\)"):
        update(weigh, weigh.init(losses), losses, view | {"logits": view["logits"][:7]})


def test_frequencies_of_draws_are_proportional_to_the_weights():
    weights, size = np.array([0.5, 0.0, 1.5, 2.0], np.float32), 40_000
    rows = contrib.draw_meta_batch(jax.random.key(0), weights, size)
    shares = np.bincount(rows, minlength=4) / size
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.01)
    np.testing.assert_allclose(shares.sum(), 1)
    assert shares[1] == 0


def test_draws_depend_only_on_the_key():
    draw = lambda seed: contrib.draw_meta_batch(jax.random.key(seed), jnp.ones(50), 20)  # noqa: E731
    np.testing.assert_array_equal(draw(0), draw(0))
    assert not np.array_equal(draw(0), draw(1))


def test_draws_are_independent_of_other_uses_of_the_same_key():
    key, weights = jax.random.key(0), jnp.ones(50)
    elsewhere = jax.random.categorical(key, jnp.log(weights), shape=(20,))
    assert not np.array_equal(contrib.draw_meta_batch(key, weights, 20), elsewhere)


def test_the_first_row_is_drawn_if_no_weight_is_positive():
    rows = contrib.draw_meta_batch(jax.random.key(0), jnp.zeros(5), 3)
    np.testing.assert_array_equal(rows, 0)


def test_weights_with_an_axis_of_steps_are_refused():
    with pytest.raises(ValueError, match=r"draw_meta_batch: weights has shape \(4, 2\)"):
        contrib.draw_meta_batch(jax.random.key(0), jnp.ones((4, 2)), 3)


def test_flipped_labels_are_found_without_clean_data():
    inputs, labels, flipped = noisy_data(1, 256, 0.3)
    weigh, half, rate = self_taught(learning_rate=0.02), 32, 0.5

    def step(carry, drawn):
        params, state = carry
        key, rows = drawn
        batch, other_batch = ((inputs[r], labels[r]) for r in rows)

        def weigh_batch(x, y, **extra_args):
            view = {"logits": logits_of(params, x), "labels": y}
            losses = example_losses(params, x, y)
            return weigh.update(jnp.ones(half), state, losses, **view, **extra_args)

        meta_rows = contrib.draw_meta_batch(key, weigh_batch(*other_batch)[0], half)
        meta = [column[meta_rows] for column in other_batch]
        gradient = weighting.look_ahead_gradient(
            example_losses,
            params,
            weigh_batch(*batch)[0],
            lambda p: example_losses(p, *meta).mean(),
            rate,
            *batch,
        )
        weights, state = weigh_batch(*batch, weight_gradient=gradient)
        slope = jax.grad(lambda p: jnp.mean(weights * example_losses(p, *batch)))(params)
        return (params - rate * slope, state), None

    inputs, labels = jnp.asarray(inputs), jnp.asarray(labels)
    start = jnp.zeros(DIMENSION), weigh.init(jnp.ones(half))
    rows = np.random.default_rng(0).integers(0, len(labels), (150, 2, half))
    keys = jax.random.split(jax.random.key(0), len(rows))
    (params, state), _ = jax.lax.scan(step, start, (keys, rows))
    losses = example_losses(params, inputs, labels)
    view = {"logits": logits_of(params, inputs), "labels": labels}
    weights, _ = update(weigh, state, losses, view)
    assert weights[flipped].mean() < 0.5 * weights[~flipped].mean()
