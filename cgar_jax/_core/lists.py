"""Lists and pairs: what the ranking and the metric-learning losses share. Private."""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import valid_entries


def read_lists(
    owner: str, where: jax.typing.ArrayLike | None, **lists: Any
) -> tuple[jax.Array, ...]:
    """Return which items count, then each list as float32 with zeros for those that do not.

    Args:
      owner: the loss, for errors.
      where: bool ``[batch]`` or ``[batch, items]``; None counts all.
      **lists: arrays ``[batch, items]`` by the name of their argument.
    """
    first, *others = lists
    shape = jnp.shape(lists[first])
    check_shape(owner, first, lists[first], ("batch", "items"))
    for name in others:
        check_shape(owner, name, lists[name], shape)
    valid = valid_entries(where, shape)
    return valid, *(
        jnp.where(valid, jnp.asarray(array, jnp.float32), 0) for array in lists.values()
    )


def differences(values: chex.Array) -> jax.Array:
    """``values_i - values_j`` for all pairs of items: ``[..., items, items]``."""
    return values[..., :, None] - values[..., None, :]


def both(where: chex.Array) -> jax.Array:
    """The pairs of which both items count: ``[..., items, items]``."""
    return where[..., :, None] & where[..., None, :]


def dense_ranks(labels: chex.Array, comparable: chex.Array) -> jax.Array:
    """1 plus the number of different better labels: equal labels share a rank, no rank is left out.

    Unlike places in a sorted list, these do not depend on the order in which tied items come.

    Args:
      labels: ``[..., items]``, higher is better.
      comparable: bool ``[..., items, items]``, the pairs whose labels are compared.

    Returns:
      int32 ``[..., items]``.
    """
    better = labels[..., None, :] > labels[..., :, None]
    equal = labels[..., None, :] == labels[..., :, None]
    repeated = jnp.any(jnp.tril(equal & comparable, k=-1), axis=-1)
    counted = better & comparable & ~repeated[..., None, :]
    return 1 + jnp.sum(counted, axis=-1, dtype=jnp.int32)


def log_one_plus_sum_exp(values: chex.Array, weights: chex.Array) -> jax.Array:
    """``log(1 + sum weights exp(values))`` over the last axis; what has weight 0 is left out."""
    one_more = [(0, 0)] * (values.ndim - 1) + [(0, 1)]
    return jax.nn.logsumexp(
        jnp.pad(values, one_more),
        b=jnp.pad(weights.astype(jnp.float32), one_more, constant_values=1),
        axis=-1,
    )
