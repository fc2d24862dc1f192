"""`optimizers.build`: from a config to one optimizer."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cgar_jax import optimizers

PARAMS = {
    "embed_tokens": {"embedding": np.full((5, 4), 0.5, np.float32)},
    "block": {"kernel": np.full((4, 6), 0.5, np.float32), "bias": np.full((6,), 0.5, np.float32)},
    "head": {"kernel": np.full((4, 5), 0.5, np.float32)},
}


def config(**settings):
    defaults = {
        "name": "adam_atan2",
        "learning_rate": 0.1,
        "warmup_steps": 0,
        "schedule": "constant",
        "final_fraction": 1.0,
        "b1": 0.9,
        "b2": 0.95,
        "weight_decay": 0.0,
        "clip_norm": 0.0,
    }
    return types.SimpleNamespace(**(defaults | settings))


def gradients():
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), jnp.float32), PARAMS)


def one_update(optimizer, gradient):
    return jax.jit(optimizer.update)(gradient, optimizer.init(PARAMS), PARAMS)[0]


def assert_equal_trees(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected)


def test_the_name_adam_atan2_selects_adam_atan2():
    built = optimizers.build(config(weight_decay=1.0), 10)
    expected = optimizers.adam_atan2(0.1, 0.9, 0.95, 1.0)
    assert_equal_trees(one_update(built, gradients()), one_update(expected, gradients()))


def test_the_name_adamw_selects_the_one_of_optax():
    built = optimizers.build(config(name="adamw", weight_decay=1.0), 10)
    expected = optax.adamw(0.1, 0.9, 0.95, weight_decay=1.0)
    assert_equal_trees(one_update(built, gradients()), one_update(expected, gradients()))


def test_muon_makes_the_update_of_a_hidden_kernel_nearly_orthogonal():
    update = one_update(optimizers.build(config(name="muon"), 10), gradients())
    singular_values = jnp.linalg.svd(update["block"]["kernel"], compute_uv=False)
    assert singular_values.max() / singular_values.min() < 2


@pytest.mark.parametrize("path", ["embed_tokens/embedding", "head/kernel", "block/bias"])
def test_muon_uses_adamw_for_embeddings_heads_and_biases(path):
    update = one_update(optimizers.build(config(name="muon", weight_decay=1.0), 10), gradients())
    adamw = optax.adamw(0.1, 0.9, 0.95, weight_decay=1.0, nesterov=True)
    expected = one_update(adamw, gradients())
    layer, name = path.split("/")
    np.testing.assert_allclose(update[layer][name], expected[layer][name], rtol=1e-5)


@pytest.mark.parametrize("name", sorted(optimizers.OPTIMIZERS))
def test_weight_decay_applies_to_every_parameter(name):
    no_gradient = jax.tree.map(jnp.zeros_like, PARAMS)
    update = one_update(optimizers.build(config(name=name, weight_decay=1.0), 10), no_gradient)
    assert_equal_trees(update, jax.tree.map(lambda p: -0.1 * p, PARAMS))


def test_clipping_scales_large_gradients_down_to_the_norm():
    norm = optax.tree.norm(gradients())
    clipped = optimizers.build(config(clip_norm=1.0), 10)
    plain = optimizers.build(config(), 10)

    def second_update(optimizer, first, second):
        update = jax.jit(optimizer.update)
        _, state = update(first, optimizer.init(PARAMS), PARAMS)
        return update(second, state, PARAMS)[0]

    small = jax.tree.map(lambda g: g / norm, gradients())
    exploded = jax.tree.map(lambda g: 1e3 * g, gradients())
    assert_equal_trees(second_update(clipped, small, exploded), second_update(plain, small, small))


def test_the_learning_rate_follows_the_warm_up():
    optimizer = optimizers.build(config(warmup_steps=4), 10)
    update = one_update(optimizer, jax.tree.map(jnp.ones_like, PARAMS))
    np.testing.assert_allclose(update["block"]["bias"], -0.1 / 4 * np.arctan(0.1) / 0.1, rtol=1e-5)


def test_an_unknown_name_suggests_the_nearest_optimizer():
    with pytest.raises(ValueError, match="did you mean 'adam_atan2'"):
        optimizers.build(config(name="adam_atan"), 10)


def test_a_negative_clip_norm_raises_an_error():
    with pytest.raises(ValueError, match="clip_norm is -1"):
        optimizers.build(config(clip_norm=-1.0), 10)
