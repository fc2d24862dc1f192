"""Lists and pairs of items, for ranking and metric-learning losses."""

from typing import Any

import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import valid_entries


def read_lists(
    owner: str, where: jax.typing.ArrayLike | None, **lists: Any
) -> tuple[jax.Array, ...]:
    """Returns the mask of the items, then each list as float32 with zeros at masked items.

    Args:
      owner: name of the public function, for errors.
      where: mask, bool `[batch]` or `[batch, items]`; None means all True.
      **lists: arrays `[batch, items]`, by the names of their arguments.

    Returns:
      The mask, bool `[batch, items]`, and one float32 `[batch, items]` for each list.

    Raises:
      ValueError: if the shapes do not fit each other.
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


def differences(values: jax.Array) -> jax.Array:
    """Computes `values_i - values_j` for all pairs of items, `[..., items, items]`."""
    return values[..., :, None] - values[..., None, :]


def both(where: jax.Array) -> jax.Array:
    """Returns the mask of the pairs of unmasked items, bool `[..., items, items]`."""
    return where[..., :, None] & where[..., None, :]


def dense_ranks(labels: jax.Array, comparable: jax.Array) -> jax.Array:
    """Computes 1 plus the number of distinct better labels.

    Equal labels share a rank, and no rank is left out. Unlike positions in a sorted list, these
    ranks do not depend on the order of tied items.

    Args:
      labels: labels `[..., items]`, higher is better.
      comparable: pairs whose labels are compared, bool `[..., items, items]`.

    Returns:
      Ranks, int32 `[..., items]`.
    """
    better = labels[..., None, :] > labels[..., :, None]
    equal = labels[..., None, :] == labels[..., :, None]
    repeated = jnp.any(jnp.tril(equal & comparable, k=-1), axis=-1)
    counted = better & comparable & ~repeated[..., None, :]
    return 1 + jnp.sum(counted, axis=-1, dtype=jnp.int32)


def log_one_plus_sum_exp(values: jax.Array, weights: jax.Array) -> jax.Array:
    """Computes `log(1 + sum weights exp(values))` over the last axis.

    Entries with weight 0 are left out.
    """
    one_more = [(0, 0)] * (values.ndim - 1) + [(0, 1)]
    return jax.nn.logsumexp(
        jnp.pad(values, one_more),
        b=jnp.pad(weights.astype(jnp.float32), one_more, constant_values=1),
        axis=-1,
    )
