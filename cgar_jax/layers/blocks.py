"""Layers that recursive reasoning models are made of: norm, gated MLP, attention, rotary positions.

Each says which axes it works on, and follows the published initialisation (truncated LeCun normal
over the fan-in). What a whole network is, is said in the files of the models.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

LECUN_NORMAL = nn.initializers.lecun_normal()


def rms_norm(x: jax.Array, axis: int = -1, epsilon: float = 1e-5) -> jax.Array:
    """Divides by the root mean square along `axis`: `x / sqrt(mean(x^2) + epsilon)`, no gain.

    Statistics are float32 at least, whatever the dtype of `x`; shape and dtype are kept.
    Source: Zhang & Sennrich 2019, arXiv 1910.07467.
    """
    precise = x.astype(_precise(x))
    mean_square = jnp.mean(jnp.square(precise), axis=axis, keepdims=True)
    return (precise * jax.lax.rsqrt(mean_square + epsilon)).astype(x.dtype)


def gated_inner_size(size: int, expansion: float, multiple: int) -> int:
    """The published width inside a gated MLP: `2/3 expansion size`, rounded up to a multiple.

    The published code uses multiples of 256, which inflates tiny models: 64 features with
    expansion 2 become 256 instead of 85. `multiple` is there to say otherwise.
    """
    return -(-round(expansion * size * 2 / 3) // multiple) * multiple


class SwiGLU(nn.Module):
    """Gated MLP `down(silu(gate(x)) * up(x))` without biases, over the last or the first axis.

    `axis=-1` mixes the features of each position; `axis=0`, of arrays that have the positions in
    front, the positions of each feature (token mixing), and no array needs to be transposed.
    Source: Shazeer 2020, arXiv 2002.05202; Tolstikhin et al. 2021, arXiv 2105.01601.
    """

    expansion: float
    inner_size_multiple: int = 256
    axis: Literal[-1, 0] = -1
    dtype: str = "float32"
    param_dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps an array of any shape to the same shape, in `dtype`."""
        size = x.shape[self.axis]
        inner_size = gated_inner_size(size, self.expansion, self.inner_size_multiple)
        gate_up = self.param("gate_up", LECUN_NORMAL, (size, 2 * inner_size), self.param_dtype)
        down = self.param("down", LECUN_NORMAL, (inner_size, size), self.param_dtype)
        x, gate_up, down = nn.dtypes.promote_dtype(x, gate_up, down, dtype=self.dtype)
        if self.axis == 0:
            gate, up = jnp.split(gate_up.T @ x.reshape(size, -1), 2)
            return (down.T @ (nn.silu(gate) * up)).reshape(x.shape)
        rows = x.reshape(-1, size)  # the gradient of a product of matrices costs half as much
        # Halves of the product along its last axis would be copies; those of the matrix are small.
        gate, up = (rows @ half for half in jnp.split(gate_up, 2, axis=-1))
        return ((nn.silu(gate) * up) @ down).reshape(x.shape)


def rotary_angles(length: int, head_size: int, base: float = 10_000.0) -> np.ndarray:
    """Angles `position / base^(2 i / head_size)`, float32 `[length, head_size / 2]`.

    Source: Su et al. 2021, arXiv 2104.09864.
    """
    frequencies = base ** (-np.arange(0, head_size, 2, dtype=np.float32) / head_size)
    return np.outer(np.arange(length, dtype=np.float32), frequencies)


def rotate(x: jax.Array, angles: np.ndarray) -> jax.Array:
    """Turns the feature pairs `(i, i + head_size/2)` of `[..., length, head_size]`."""
    cos, sin = np.cos(angles), np.sin(angles)
    first, second = jnp.split(x.astype(_precise(x)), 2, axis=-1)
    rotated = (first * cos - second * sin, second * cos + first * sin)
    return jnp.concatenate(rotated, axis=-1).astype(x.dtype)


def attend(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """`softmax(query key^T / sqrt(head_size)) value`, of `[batch, heads, length, head_size]` each.

    The same as `jax.nn.dot_product_attention`, in an order that takes half as long on CPU, forward
    and backward. Products add up and statistics are in float32 at least; the dtype is kept.
    Source: Vaswani et al. 2017, arXiv 1706.03762.
    """
    precise = functools.partial(jnp.einsum, preferred_element_type=_precise(value))
    # Left to itself, XLA turns the gradient of the scores for the sake of the key's: they are
    # `[length, length]`, the key is small.
    key = jax.lax.optimization_barrier(key.swapaxes(2, 3))
    scores = precise("bnlh,bnhm->bnlm", query * query.shape[-1] ** -0.5, key)
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores).max(axis=-1, keepdims=True))
    attended = precise("bnlm,bnmh->bnlh", weights.astype(value.dtype), value)
    # Divides rows of the head's size, not of the length.
    return (attended / weights.sum(axis=-1, keepdims=True)).astype(value.dtype)


class Attention(nn.Module):
    """Multi-head self-attention over all positions, without biases, with optional rotary positions.

    Source: Vaswani et al. 2017, arXiv 1706.03762.
    """

    num_heads: int
    rotary: bool = True
    dtype: str = "float32"
    param_dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[batch, length, hidden]` to the same shape, in `dtype`."""
        batch, length, hidden_size = x.shape
        qkv = self.param("qkv", LECUN_NORMAL, (hidden_size, 3 * hidden_size), self.param_dtype)
        output = self.param("output", LECUN_NORMAL, (hidden_size, hidden_size), self.param_dtype)
        x, qkv, output = nn.dtypes.promote_dtype(x, qkv, output, dtype=self.dtype)
        head_size = hidden_size // self.num_heads
        rows = x.reshape(-1, hidden_size)  # of matrices, for the sake of the gradient, as above
        query, key, value = (
            (rows @ third).reshape(batch, length, self.num_heads, head_size).swapaxes(1, 2)
            for third in jnp.split(qkv, 3, axis=-1)
        )
        if self.rotary:
            angles = rotary_angles(length, head_size)
            query, key = rotate(query, angles), rotate(key, angles)
        attended = attend(query, key, value)
        return (attended.swapaxes(1, 2).reshape(-1, hidden_size) @ output).reshape(x.shape)


def _precise(x: jax.Array) -> jnp.dtype:
    return jnp.promote_types(x.dtype, jnp.float32)
