"""Float32 vectors for losses of embeddings: masked reading, unit length, exact products."""

import jax
import jax.numpy as jnp


def read_vectors(vectors, valid):
    """Returns the vectors as float32, with zeros where they do not count."""
    return jnp.where(valid[..., None], jnp.asarray(vectors, jnp.float32), 0)


def unit_vectors(vectors):
    """Scales vectors to length 1; a zero vector stays zero and has a finite gradient."""
    square = jnp.sum(vectors**2, axis=-1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.where(square > 0, square, 1))


def products(axes, first, second):
    """Computes an `einsum` at full float32 precision."""
    # Accelerators multiply in bfloat16 by default, which is too coarse for a sharpness of 50.
    return jnp.einsum(axes, first, second, precision=jax.lax.Precision.HIGHEST)
