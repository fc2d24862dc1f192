"""Root mean square normalization, along any axis.

>>> import jax.numpy as jnp
>>> from cgar_jax import layers
>>> [round(float(x), 3) for x in layers.rms_norm(jnp.array([3.0, 4.0]))]
[0.849, 1.131]

The function has no parameters, as in the published models.
"""

import jax
import jax.numpy as jnp

from cgar_jax.layers.precision import at_least_float32


def rms_norm(x: jax.Array, axis: int = -1, epsilon: float = 1e-5) -> jax.Array:
    """Divides an array by its root mean square along one axis, without a learned gain.

        x / sqrt(mean(x^2) + epsilon)

    Args:
      x: input, float, any shape.
      axis: axis of the mean. After token mixing, the published models normalize over the positions
        rather than the features.
      epsilon: constant that keeps the divisor positive.

    Returns:
      An array of the shape and dtype of `x`. Statistics are computed in float32 at least.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import layers
      >>> [round(float(x), 3) for x in layers.rms_norm(jnp.array([3.0, 4.0]))]
      [0.849, 1.131]

    Reference:
      Zhang and Sennrich, 2019, "Root Mean Square Layer Normalization", arXiv 1910.07467.
    """
    precise = x.astype(at_least_float32(x))
    mean_square = jnp.mean(jnp.square(precise), axis=axis, keepdims=True)
    return (precise * jax.lax.rsqrt(mean_square + epsilon)).astype(x.dtype)
