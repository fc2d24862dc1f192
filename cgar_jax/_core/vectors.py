"""Vectors in float32: masked reading, unit length and exact products."""

import jax
import jax.numpy as jnp


def read_vectors(vectors, valid):
    """Float32 vectors, zeros where they do not count."""
    return jnp.where(valid[..., None], jnp.asarray(vectors, jnp.float32), 0)


def unit_vectors(vectors):
    """Vectors of length 1; a zero vector stays, with a finite gradient."""
    square = jnp.sum(vectors**2, axis=-1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.where(square > 0, square, 1))


def products(axes, first, second):
    # The sharpness of 50 is too much for the bfloat16 that accelerators multiply in by default.
    return jnp.einsum(axes, first, second, precision=jax.lax.Precision.HIGHEST)
