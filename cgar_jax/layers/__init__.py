"""Layers: the Flax building blocks of recursive reasoning models.

>>> import jax
>>> import jax.numpy as jnp
>>> from cgar_jax import layers
>>> attention = layers.Attention(num_heads=2)
>>> output, variables = attention.init_with_output(jax.random.key(0), jnp.ones((1, 4, 8)))
>>> layers.rms_norm(output).shape
(1, 4, 8)

Modules follow the published initialization (truncated LeCun normal over the fan-in) and have no
biases. Whole networks are in `cgar_jax.models`.

| name | formula | reference |
| --- | --- | --- |
| `rms_norm` | x / sqrt(mean(x^2) + epsilon), along any axis | 1910.07467 |
| `SwiGLU` | down(silu(gate(x)) * up(x)), over features or positions | 2002.05202 |
| `SwiGLU(normalized=True)` | down(sigmoid(gate(x)) * rms_norm(gate(x) * up(x))) | 2601.19085 |
| `SwiGLU(convolution=True)` | `SwiGLU` with the position before mixed in | 2512.14693 |
| `gated_inner_size` | inner width of a gated MLP, 2/3 expansion size rounded up | 2002.05202 |
| `Attention` | multi-head self-attention, also with positions and relations | 1706.03762 |
| `attend` | softmax(query key^T / sqrt(head_size) + bias) value | 1706.03762 |
| `rotary_angles` | position / base^(2 i / head_size) | 2104.09864 |
| `look_up` | one_hot(indices) table, rows of a small table | |
| `board_angles` | the same for rows and columns of a board | 2104.09864 |
| `rotate` | feature pairs rotated by these angles | 2104.09864 |

`LECUN_NORMAL` is the initializer of all kernels.
"""

from cgar_jax.layers.attention import Attention, attend
from cgar_jax.layers.embedding import look_up
from cgar_jax.layers.initialization import LECUN_NORMAL
from cgar_jax.layers.mlp import SwiGLU, gated_inner_size
from cgar_jax.layers.normalization import rms_norm
from cgar_jax.layers.rotary import board_angles, rotary_angles, rotate

__all__ = [
    "LECUN_NORMAL",
    "Attention",
    "SwiGLU",
    "attend",
    "board_angles",
    "gated_inner_size",
    "look_up",
    "rms_norm",
    "rotary_angles",
    "rotate",
]
