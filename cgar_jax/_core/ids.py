"""Integer labels and ids: one rule for all rooms.

Class labels, domains, groups, rows of a table and every other integer that selects one of `count`
things are widened to int32 on entry, because arithmetic in a narrow dtype wraps around. An integer
outside `0 .. count - 1`, such as `IGNORE_LABEL`, selects nothing: its example or token is treated
as masked. A negative integer never counts from the end, and a large one is never clipped.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_INT32 = np.iinfo(np.int32)


def widen(owner: str, argument: str, ids: Any) -> jax.Array:
    """Returns integers as int32; integers that int32 cannot hold become its nearest bound.

    Args:
      owner: name of the public function, for the error.
      argument: name of the argument, for the error.
      ids: integers of any dtype and shape; an array, a number or a list.

    Raises:
      ValueError: if `ids` is not an array of integers.
    """
    if not isinstance(ids, jax.Array):
        # Not a JAX array yet: jnp.asarray would drop the upper half of a 64-bit integer.
        ids = np.asarray(ids)
    if not (jnp.issubdtype(ids.dtype, jnp.integer) or ids.dtype == bool or ids.size == 0):
        raise ValueError(
            f"{owner}: {argument} has dtype {ids.dtype}, but it must be an array of integers; "
            "cast it with .astype(jnp.int32)"
        )
    array_module = jnp if isinstance(ids, jax.Array) else np
    if jnp.issubdtype(ids.dtype, jnp.integer):
        info = np.iinfo(ids.dtype)
        if info.max > _INT32.max:
            ids = array_module.clip(ids, max(info.min, _INT32.min), _INT32.max)
    return jnp.asarray(ids.astype(np.int32))


def known_ids(owner: str, argument: str, ids: Any, count: int) -> tuple[jax.Array, jax.Array]:
    """Returns ids that are safe to index with, and which of them are in range.

    Args:
      owner: name of the public function, for the error.
      argument: name of the argument, for the error.
      ids: integers of any dtype and shape.
      count: number of things to choose from.

    Returns:
      The ids, int32, with 0 for those outside `0 .. count - 1`; and whether they are inside, bool.

    Raises:
      ValueError: if `ids` is not an array of integers.
    """
    ids = widen(owner, argument, ids)
    known = (ids >= 0) & (ids < count)
    return jnp.where(known, ids, 0), known
