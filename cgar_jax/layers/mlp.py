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
    """A gated MLP without biases, `down(silu(gate(x)) * up(x))`, over the last or the first axis.

    `axis=-1` mixes the features of each position. `axis=0` mixes the positions of each feature
    (token mixing) in arrays whose first axis are the positions, without transposing any array.

    Attributes:
      expansion: inner width relative to the input, see `gated_inner_size`.
      inner_size_multiple: unit to which the inner width is rounded up.
      axis: axis that is mixed, -1 or 0.
      dtype: dtype of the computation.
      param_dtype: dtype of the parameters.

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
      2105.01601.
    """

    expansion: float
    inner_size_multiple: int = 256
    axis: Literal[-1, 0] = -1
    dtype: str = "float32"
    param_dtype: str = "float32"

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
            return (down.T @ (nn.silu(gate) * up)).reshape(x.shape)
        # The gradient of a product of two matrices costs half as much as that of larger arrays.
        rows = x.reshape(-1, size)
        # Splitting the small parameter matrix copies less than splitting the product would.
        gate, up = (rows @ half for half in jnp.split(gate_up, 2, axis=-1))
        return ((nn.silu(gate) * up) @ down).reshape(x.shape)
