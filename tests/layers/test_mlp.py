"""The variants of the gated MLP."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.layers import SwiGLU, rms_norm

X = jax.random.normal(jax.random.key(0), (2, 5, 6))


def mlp(**options):
    """Returns a gated MLP with 4 inner features, and its parameters for `X`."""
    module = SwiGLU(expansion=1.0, inner_size_multiple=4, **options)
    return module, module.init(jax.random.key(1), X)["params"]


def gate_and_up(params):
    return jnp.split(X @ params["gate_up"], 2, axis=-1)


def test_normalized_is_the_formula():
    module, params = mlp(normalized=True)
    gate, up = gate_and_up(params)
    expected = (jax.nn.sigmoid(gate) * rms_norm(gate * up)) @ params["down"]
    np.testing.assert_allclose(module.apply({"params": params}, X), expected, atol=1e-6)


@pytest.mark.parametrize("axis", [-1, 0])
def test_normalized_ignores_the_scale_of_the_upper_half(axis):
    module, params = mlp(normalized=True, axis=axis)
    gate, up = jnp.split(params["gate_up"], 2, axis=-1)
    scaled = params | {"gate_up": jnp.concatenate([gate, 1000 * up], axis=-1)}
    plain = module.apply({"params": params | {"gate_up": params["gate_up"] * 10}}, X)
    large = module.apply({"params": scaled | {"gate_up": scaled["gate_up"] * 10}}, X)
    np.testing.assert_allclose(plain, large, atol=1e-2)


def test_a_convolution_of_one_position_is_a_second_silu():
    module, params = mlp(convolution=True)
    ones, zeros = jnp.ones(4), jnp.zeros(4)
    params = params | {"convolution": jnp.stack([zeros, ones]), "convolution_bias": zeros}
    gate, up = gate_and_up(params)
    expected = jax.nn.silu(jax.nn.silu(gate) * up) @ params["down"]
    np.testing.assert_allclose(module.apply({"params": params}, X), expected, atol=1e-6)


def test_a_convolution_looks_at_one_position_and_the_one_before():
    module, params = mlp(convolution=True)
    changed = X.at[:, 2].add(1.0)
    before, after = (module.apply({"params": params}, x) for x in (X, changed))
    differs = np.any(np.abs(before - after) > 1e-6, axis=(0, 2))
    assert differs.tolist() == [False, False, True, True, False]


def test_a_convolution_over_positions_is_refused():
    with pytest.raises(ValueError, match="convolution needs axis=-1"):
        SwiGLU(expansion=1.0, axis=0, convolution=True)
