"""Random keys of methods that are handed one key: they must not draw alike. Private."""

import zlib

import jax


def own_key(owner: str, key: jax.Array) -> jax.Array:
    """The key of ``owner`` alone, made of a key that others may have been given as well."""
    return jax.random.fold_in(key, zlib.crc32(owner.encode()))
