"""Independent random keys for methods that are given the same key."""

import zlib

import jax


def own_key(owner: str, key: jax.Array) -> jax.Array:
    """Returns a key for one method, derived from a key that other methods may also be given."""
    return jax.random.fold_in(key, zlib.crc32(owner.encode()))
