"""The one place for masks: how a mask meets an array, and how statistics ignore what is masked.

Private: ``losses``, ``weighting`` and ``curricula`` share it. Masked values are replaced *before*
they are used, never multiplied by zero afterwards: 0 * NaN is NaN, in value and gradient.
"""

from collections.abc import Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.labels import IGNORE_LABEL


def align(name: str, array: jax.typing.ArrayLike, shape: Sequence[int]) -> jax.Array:
    """Broadcast ``array`` over the trailing axes that it lacks: ``[batch]`` to ``[batch, steps]``.

    Args:
      name: what to call ``array`` in an error, with its quotes.
      array: its axes are the leading axes of ``shape``, in full or of size one.
      shape: the shape wanted.

    Returns:
      ``array`` with shape ``shape``.

    Raises:
      ValueError: ``array`` has other axes.
    """
    array = jnp.asarray(array)
    expanded = array.reshape(array.shape + (1,) * (len(shape) - array.ndim))
    sizes = zip(expanded.shape, shape, strict=False)
    if expanded.ndim != len(shape) or any(found not in (1, wanted) for found, wanted in sizes):
        raise ValueError(
            f"{name} has shape {array.shape}, but it must have the leading axes of {tuple(shape)}"
            f"; pass it with shape {tuple(shape[:1])} or {tuple(shape)}"
        )
    return jnp.broadcast_to(expanded, shape)


def valid_entries(where: jax.typing.ArrayLike | None, shape: Sequence[int]) -> jax.Array:
    """Return ``where`` (bool, aligned as in `align`; None is all True) with shape ``shape``."""
    return align("'where'", jnp.asarray(True if where is None else where, bool), shape)


def valid_labels(labels: chex.Array, where: jax.typing.ArrayLike | None = None) -> jax.Array:
    """Returns which tokens count: label not `IGNORE_LABEL`, and `where` True.

    Pass the result as `where` to `masked_mean` and to losses and metrics of your own.

    Args:
      labels: tokens, int `[...]`, with `IGNORE_LABEL` at tokens that do not count.
      where: mask, bool `[...]` or its leading axes. None means all True.

    Returns:
      Mask, bool `[...]`.

    Raises:
      ValueError: the axes of `where` are not the leading axes of `labels`.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import losses
      >>> print(losses.valid_labels(jnp.array([[3, losses.IGNORE_LABEL]])))
      [[ True False]]
    """
    return valid_entries(where, labels.shape) & (labels != IGNORE_LABEL)


def masked_mean(
    values: chex.Array,
    where: jax.typing.ArrayLike | None = None,
    axis: int | Sequence[int] | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Mean over the entries that count, zero where none does.

    ``sum(where * values) / max(sum(where), 1)``: what a masked entry holds, NaN included, reaches
    neither the value nor the gradient.

    Args:
      values: any shape and dtype, for example losses ``[batch, length]``.
      where: bool, the shape of ``values`` or its leading axes (``[batch]``); None counts all.
      axis: the axes to reduce, as in `jax.numpy.mean`; ``-1`` gives one mean per example.
      axis_name: under `jax.shard_map` or `jax.vmap`, the mesh axis to take the mean over, too.

    Returns:
      float32, ``values`` without the reduced axes.

    Raises:
      ValueError: the axes of ``where`` are not the leading ones of ``values``.
    """
    where = valid_entries(where, values.shape)
    total = jnp.sum(jnp.where(where, values, 0), axis=axis, dtype=jnp.float32)
    count = jnp.sum(where, axis=axis, dtype=jnp.float32)
    if axis_name is not None:
        total, count = jax.lax.psum((total, count), axis_name)
    return total / jnp.maximum(count, 1)


def masked_max(
    values: chex.Array,
    where: chex.Array,
    axis: int | Sequence[int] | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Largest of the entries that count, ``-inf`` where none does; the axes reduced stay, size 1.

    ``-masked_max(-values, ...)`` is the smallest. Arguments as for `masked_mean`.
    """
    largest = jnp.max(values, axis=axis, keepdims=True, initial=-jnp.inf, where=where)
    return largest if axis_name is None else jax.lax.pmax(largest, axis_name)


def mean_one_softmax(
    scores: chex.Array,
    where: chex.Array,
    axis: int | Sequence[int] | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Softmax times the number of entries that count: mean 1 over them, 0 elsewhere.

    Scores that are all equal give ones exactly. Arguments as for `masked_mean`; the result has the
    shape of ``scores``, float32.
    """
    scores = jnp.where(where, scores, 0).astype(jnp.float32)
    largest = masked_max(scores, where, axis, axis_name)
    powers = jnp.exp(jnp.where(where, scores - largest, -jnp.inf))
    total, count = (
        jnp.sum(values, axis=axis, keepdims=True, dtype=jnp.float32) for values in (powers, where)
    )
    if axis_name is not None:
        total, count = jax.lax.psum((total, count), axis_name)
    # The ratio first: XLA may divide an array by a number through its reciprocal, which is inexact.
    return powers * (jnp.where(count > 0, count, 1) / jnp.where(count > 0, total, 1))


class Ranks(NamedTuple):
    """Where each entry stands among those that count; float32. 0 for one that does not count.

    Attributes:
      smaller: how many are smaller; the values' shape.
      no_larger: how many are no larger, itself among them; the values' shape.
      count: scalar, how many there are.
    """

    smaller: jax.Array
    no_larger: jax.Array
    count: jax.Array


def masked_ranks(values: chex.Array, where: chex.Array, axis_name: str | None = None) -> Ranks:
    """Rank each entry among all that count. Arguments as for `masked_mean`; equal values tie."""
    values = jnp.where(where, values, jnp.inf).astype(jnp.float32)
    ordered, count = values, jnp.sum(where, dtype=jnp.float32)
    if axis_name is not None:
        ordered, count = jax.lax.all_gather(values, axis_name), jax.lax.psum(count, axis_name)
    ordered = jnp.sort(ordered, axis=None)
    smaller, no_larger = (
        jnp.where(where, jnp.searchsorted(ordered, values, side), 0).astype(jnp.float32)
        for side in ("left", "right")
    )
    return Ranks(smaller, jnp.minimum(no_larger, count), count)
