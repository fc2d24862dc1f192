"""Similarities of embeddings, and the lead of the best score over the second best. Private."""

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.vectors import products, unit_vectors


def cosines(vectors: chex.Array, others: chex.Array) -> jax.Array:
    """Returns the cosine of each vector [..., features] with each of the others [m, features].

    The result is float32 `[..., m]`; the cosine with a zero vector is 0.
    """
    unit, others = (unit_vectors(jnp.asarray(array, jnp.float32)) for array in (vectors, others))
    return products("...d,md->...m", unit, others)


def lead(scores: jax.Array, known: jax.typing.ArrayLike = True) -> jax.Array:
    """Returns the best of the known scores minus the second best, along the last axis.

    With one known score, it is that score if positive; without any, it is 0.
    """
    scores = jnp.where(known, scores, -jnp.inf)
    scores = jnp.pad(scores, [(0, 0)] * (scores.ndim - 1) + [(0, 1)], constant_values=-jnp.inf)
    best_two = jax.lax.top_k(scores, 2)[0]
    best_two = jnp.where(best_two > -jnp.inf, best_two, 0)
    return jnp.maximum(best_two[..., 0] - best_two[..., 1], 0)
