"""A gated MLP that mixes features or positions.

>>> from cgar_jax import layers
>>> layers.gated_inner_size(512, expansion=4, multiple=256)
1536

Mixing of positions by attention is in `attention.py`.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from cgar_jax.layers.initialization import LECUN_NORMAL
from cgar_jax.layers.normalization import rms_norm


def gated_inner_size(size: int, expansion: float, multiple: int) -> int:
    """Returns the published inner width of a gated MLP.

        2/3 expansion size,  rounded up to a multiple

    Args:
      size: width of the input, int.
      expansion: inner width of an MLP without gate, relative to `size`.
      multiple: unit to which the inner width is rounded up. The published code uses 256, which
        inflates tiny models: 64 features with expansion 2 become 256 instead of 85.

    Returns:
      The inner width, int.

    Example:
      >>> from cgar_jax import layers
      >>> layers.gated_inner_size(512, expansion=4, multiple=256)
      1536

    Reference:
      Shazeer, 2020, "GLU Variants Improve Transformer", arXiv 2002.05202; the rounding is that of
      the published code of HRM and TRM.
    """
    return -(-round(expansion * size * 2 / 3) // multiple) * multiple


class SwiGLU(nn.Module):
    """A gated MLP without biases, over the last or the first axis.

        down(silu(gate) * up)                            plain
        down(sigmoid(gate) * rms_norm(gate * up))        normalized
        down(silu(w_0 a_{t-1} + w_1 a_t + b)),  a = silu(gate) * up     with convolution

    `axis=-1` mixes the features of each position. `axis=0` mixes the positions of each feature
    (token mixing) in arrays whose first axis are the positions, without transposing any array.

    Normalized, the output does not depend on the scale of `up`, so that optimizers such as Muon can
    take large steps. The convolution looks back by one position, with one pair of weights and one
    bias per inner feature; before the first position there are zeros.

    Attributes:
      expansion: inner width relative to the input, see `gated_inner_size`.
      inner_size_multiple: unit to which the inner width is rounded up.
      axis: axis that is mixed, -1 or 0.
      normalized: whether the product of gate and up is normalized.
      convolution: whether neighboring positions are combined, which takes `[batch, length, hidden]`
        and `axis=-1`.
      dtype: dtype of the computation.
      param_dtype: dtype of the parameters.

    Raises:
      ValueError: if `convolution` is combined with `axis=0` or `normalized`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from cgar_jax import layers
      >>> mlp = layers.SwiGLU(expansion=4, inner_size_multiple=16)
      >>> output, _ = mlp.init_with_output(jax.random.key(0), jnp.ones((2, 3, 8)))
      >>> output.shape
      (2, 3, 8)

    Reference:
      Shazeer, 2020, arXiv 2002.05202. Token mixing: Tolstikhin et al., 2021, "MLP-Mixer", arXiv
      2105.01601. Normalized: Dillon, 2026, arXiv 2601.19085. Convolution: Gao et al., 2025, arXiv
      2512.14693, as in the released code.
    """

    expansion: float
    inner_size_multiple: int = 256
    axis: Literal[-1, 0] = -1
    normalized: bool = False
    convolution: bool = False
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        if self.convolution and (self.axis == 0 or self.normalized):
            raise ValueError("SwiGLU: convolution needs axis=-1 and normalized=False")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns an array of the shape of `x`, in `dtype`.

        Args:
          x: input, float, any shape.
        """
        size = x.shape[self.axis]
        inner_size = gated_inner_size(size, self.expansion, self.inner_size_multiple)
        gate_up = self.param("gate_up", LECUN_NORMAL, (size, 2 * inner_size), self.param_dtype)
        down = self.param("down", LECUN_NORMAL, (inner_size, size), self.param_dtype)
        x, gate_up, down = promote_dtype(x, gate_up, down, dtype=self.dtype)
        if self.axis == 0:
            gate, up = jnp.split(gate_up.T @ x.reshape(size, -1), 2)
            return (down.T @ self._gated(gate, up)).reshape(x.shape)
        # The gradient of a product of two matrices costs half as much as that of larger arrays.
        rows = x.reshape(-1, size)
        # Splitting the small parameter matrix copies less than splitting the product would.
        gate, up = (rows @ half for half in jnp.split(gate_up, 2, axis=-1))
        gated = self._gated(gate, up)
        if self.convolution:
            gated = self._combine_neighbors(gated.reshape(*x.shape[:-1], inner_size))
        return (gated.reshape(-1, inner_size) @ down).reshape(x.shape)

    def _gated(self, gate: jax.Array, up: jax.Array) -> jax.Array:
        if not self.normalized:
            return nn.silu(gate) * up
        return nn.sigmoid(gate) * rms_norm(gate * up, axis=self.axis)

    def _combine_neighbors(self, gated: jax.Array) -> jax.Array:
        """Combines each position of `[batch, length, inner_size]` with the one before it."""
        inner_size = gated.shape[-1]

        def uniform(key, shape, dtype):
            return jax.random.uniform(key, shape, dtype, -(0.5**0.5), 0.5**0.5)

        weights = self.param("convolution", uniform, (2, inner_size), self.param_dtype)
        bias = self.param("convolution_bias", uniform, (inner_size,), self.param_dtype)
        weights, bias = weights.astype(gated.dtype), bias.astype(gated.dtype)
        before = jnp.pad(gated, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        return nn.silu(weights[0] * before + weights[1] * gated + bias)
