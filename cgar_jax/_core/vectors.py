"""Float32 vectors for losses of embeddings: masked reading, unit length, exact products."""

import jax
import jax.numpy as jnp


def read_vectors(vectors, valid):
    """Returns the vectors as float32, with zeros where they do not count."""
    return jnp.where(valid[..., None], jnp.asarray(vectors, jnp.float32), 0)


def unit_vectors(vectors):
    """Scales vectors to length 1; a zero vector stays zero and has a finite gradient.

    Lengths from 1e-37 to 1e37 are right in value and gradient: the vectors are first scaled by a
    power of two, so that no square overflows or underflows.
    """
    vectors = vectors * scale_to_one(vectors, -1)
    square = jnp.sum(vectors**2, axis=-1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.where(square > 0, square, 1))


def lengths(vectors, axis=-1):
    """Computes the lengths of float32 vectors, as safely as `unit_vectors`; gradient 0 at 0."""
    scale = scale_to_one(vectors, axis)
    square = jnp.sum((vectors * scale) ** 2, axis=axis, keepdims=True)
    some = square > 0
    return jnp.squeeze(jnp.where(some, jnp.sqrt(jnp.where(some, square, 1)), 0) / scale, axis)


def tree_length(tree):
    """Computes the length of a pytree of arrays as one vector, as safely as `unit_vectors`."""
    of_leaves = [lengths(jnp.ravel(leaf).astype(jnp.float32)) for leaf in jax.tree.leaves(tree)]
    return lengths(jnp.stack(of_leaves))


def scale_to_one(vectors, axis):
    """Returns the power of two that brings the largest entry of each vector near 1."""
    largest = jnp.max(jnp.abs(vectors), axis=axis, keepdims=True, initial=0)
    _, exponent = jnp.frexp(jax.lax.stop_gradient(largest))
    return jnp.ldexp(jnp.float32(1), -jnp.clip(exponent, -126, 126))


def products(axes, first, second):
    """Computes an `einsum` at full float32 precision."""
    # Accelerators multiply in bfloat16 by default, which is too coarse for a sharpness of 50.
    return jnp.einsum(axes, first, second, precision=jax.lax.Precision.HIGHEST)
