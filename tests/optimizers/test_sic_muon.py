"""Muon as sic uses it: its updates are the published ones, and other parameters have AdamW."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cgar_jax import optimizers
from tests import fixtures

PATH = fixtures.FOLDER / "muon.npz"


def ours(array):
    """PyTorch stores matrices as [outputs, inputs], this library as [inputs, outputs]."""
    return jnp.asarray(array.swapaxes(-1, -2))


@pytest.mark.skipif(not PATH.exists(), reason=f"{PATH} does not exist")
def test_three_updates_are_the_published_ones():
    arrays, config = dict(np.load(PATH)), fixtures.config_of(PATH)
    # A parameter called "heads" would be taken for an output head.
    names = {"tall": "tall", "wide": "wide", "square": "square", "queries": "heads"}
    params = {name: ours(arrays[f"param/{published}"]) for name, published in names.items()}
    rates = jnp.array([arrays[f"step{k}/lr"] for k in range(3)])
    optimizer = optimizers.sic_muon(
        lambda count: rates[count],
        weight_decay=config["weight_decay"],
        momentum=config["momentum"],
    )
    state = optimizer.init(params)
    for k in range(3):
        gradients = {name: ours(arrays[f"step{k}/grad/{names[name]}"]) for name in names}
        updates, state = jax.jit(optimizer.update)(gradients, state, params)
        params = optax.apply_updates(params, updates)
        for name in names:
            published = ours(arrays[f"step{k}/after/{names[name]}"])
            np.testing.assert_allclose(params[name], published, atol=2e-5, err_msg=f"{k} {name}")


def test_other_parameters_have_adamw_with_a_smaller_rate_and_a_larger_decay():
    params = {"embed": jnp.full((4, 3), 2.0), "bias": jnp.full(3, 2.0)}
    gradients = jax.tree.map(lambda p: jnp.cos(jnp.arange(p.size * 1.0)).reshape(p.shape), params)
    optimizer, adamw = optimizers.sic_muon(0.02), optax.adamw(1e-4, 0.9, 0.95, weight_decay=1.0)
    found, _ = optimizer.update(gradients, optimizer.init(params), params)
    expected, _ = adamw.update(gradients, adamw.init(params), params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), found, expected)


def test_the_size_of_a_gradient_does_not_matter():
    kernel = {"kernel": jnp.eye(4, 6)}
    gradient = {"kernel": jax.random.normal(jax.random.key(0), (4, 6))}
    optimizer = optimizers.sic_muon(0.02)
    state = optimizer.init(kernel)
    small, _ = optimizer.update(jax.tree.map(lambda g: 1e-3 * g, gradient), state, kernel)
    large, _ = optimizer.update(gradient, state, kernel)
    np.testing.assert_allclose(small["kernel"], large["kernel"], atol=1e-4)
