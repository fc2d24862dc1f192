"""Masks: broadcasting them to arrays, and statistics that ignore masked entries.

Masked values are replaced *before* they are used, never multiplied by zero afterwards, because
0 * NaN is NaN, in value and gradient. All rooms use these functions instead of masking by hand.
"""

from collections.abc import Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_shape
from cgar_jax._core.ids import known_ids, widen


def align(name: str, array: jax.typing.ArrayLike, shape: Sequence[int]) -> jax.Array:
    """Broadcasts an array over the trailing axes that it lacks.

    For example, `[batch]` becomes `[batch, steps]`.

    Args:
      name: name of the array, which begins the error message.
      array: array whose axes are the leading axes of `shape`; an axis may have size 1.
      shape: wanted shape.

    Returns:
      The array with shape `shape`.

    Raises:
      ValueError: if the array has other axes.
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
    """Returns the mask `where` as a bool array with shape `shape`.

    Args:
      where: mask whose axes are the leading axes of `shape`; None means all True.
      shape: wanted shape.

    Returns:
      Mask, bool with shape `shape`.

    Raises:
      ValueError: if `where` has other axes.
    """
    return align("'where'", jnp.asarray(True if where is None else where, bool), shape)


def valid_labels(
    labels: chex.Array,
    where: jax.typing.ArrayLike | None = None,
    num_classes: int | None = None,
) -> jax.Array:
    """Returns which tokens count: the label is a class, and `where` is True.

    A class is an integer from 0 to `num_classes - 1`. All other labels, such as `IGNORE_LABEL` and
    -1, do not count. Pass the result as `where` to `masked_mean` and to losses and metrics of your
    own.

    Args:
      labels: classes, integers of any dtype, `[...]`.
      where: mask, bool `[...]` or its leading axes. None means all True.
      num_classes: number of classes; None means that every label from 0 on is a class.

    Returns:
      Mask, bool `[...]`.

    Raises:
      ValueError: if `labels` are not integers, or the axes of `where` are not their leading axes.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import losses
      >>> print(losses.valid_labels(jnp.array([3, losses.IGNORE_LABEL, 9]), num_classes=9))
      [ True False False]
    """
    labels = widen("valid_labels", "labels", labels)
    known = labels >= 0 if num_classes is None else (labels >= 0) & (labels < num_classes)
    return valid_entries(where, labels.shape) & known


def read_labels(
    owner: str, logits: chex.Array, labels: chex.Array, where: jax.typing.ArrayLike | None
) -> tuple[jax.Array, jax.Array]:
    """Returns which labels count, as `valid_labels` does, and int32 labels with 0 at the others.

    Args:
      owner: name of the public function, for errors.
      logits: array `[..., classes]`.
      labels: classes, integers of any dtype, `[...]`.
      where: mask, bool `[...]` or its leading axes; None means all True.

    Raises:
      ValueError: if the shapes do not fit each other, or `labels` are not integers.
    """
    *shape, num_classes = jnp.shape(logits)
    check_shape(owner, "labels", labels, shape)
    labels, known = known_ids(owner, "labels", labels, num_classes)
    valid = valid_entries(where, labels.shape) & known
    return valid, jnp.where(valid, labels, 0)


def masked_mean(
    values: chex.Array,
    where: jax.typing.ArrayLike | None = None,
    axis: int | Sequence[int] | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Computes the mean over the entries that count, or 0 if there are none.

    `sum(where * values) / max(sum(where), 1)`. Masked entries, even NaN, affect neither the value
    nor the gradient.

    Use it to average losses or metrics over the tokens of an example or over a batch.

    Args:
      values: numbers of any shape and dtype, for example losses `[batch, length]`.
      where: mask, bool with the shape of `values` or its leading axes (`[batch]`). None means all
        True.
      axis: axes to reduce, as in `jax.numpy.mean`; `-1` gives one mean per example.
      axis_name: under `jax.shard_map` or `jax.vmap`, name of a mesh axis to average over as well.

    Returns:
      Means, float32 with the shape of `values` without the reduced axes.

    Raises:
      ValueError: if the axes of `where` are not the leading axes of `values`.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import masked_mean
      >>> values = jnp.array([[1.0, 3.0], [5.0, jnp.nan]])
      >>> print(masked_mean(values, where=jnp.array([[True, True], [True, False]]), axis=-1))
      [2. 5.]
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
    """Returns the largest entry that counts, or `-inf` if there is none.

    The reduced axes stay, with size 1. `-masked_max(-values, ...)` is the smallest entry. The
    arguments are those of `masked_mean`.
    """
    largest = jnp.max(values, axis=axis, keepdims=True, initial=-jnp.inf, where=where)
    return largest if axis_name is None else jax.lax.pmax(largest, axis_name)


def mean_one_softmax(
    scores: chex.Array,
    where: chex.Array,
    axis: int | Sequence[int] | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Computes the softmax times the number of entries that count.

    The result is float32 with the shape of `scores`, has mean 1 over the entries that count and is
    0 elsewhere. Equal scores give exactly one. The arguments are those of `masked_mean`.
    """
    scores = jnp.where(where, scores, 0).astype(jnp.float32)
    largest = masked_max(scores, where, axis, axis_name)
    powers = jnp.exp(jnp.where(where, scores - largest, -jnp.inf))
    total, count = (
        jnp.sum(values, axis=axis, keepdims=True, dtype=jnp.float32) for values in (powers, where)
    )
    if axis_name is not None:
        total, count = jax.lax.psum((total, count), axis_name)
    # Dividing the two scalars first keeps equal scores exact: XLA may turn the division of an array
    # by a scalar into a multiplication by the scalar's reciprocal, which is inexact.
    return powers * (jnp.where(count > 0, count, 1) / jnp.where(count > 0, total, 1))


class Ranks(NamedTuple):
    """Position of each entry among the entries that count, float32, 0 for all others.

    Attributes:
      smaller: number of smaller entries, with the shape of the values.
      no_larger: number of entries that are not larger, including the entry itself.
      count: scalar, number of entries that count.
    """

    smaller: jax.Array
    no_larger: jax.Array
    count: jax.Array


def masked_ranks(values: chex.Array, where: chex.Array, axis_name: str | None = None) -> Ranks:
    """Ranks each entry among all entries that count; equal values tie.

    The arguments are those of `masked_mean`.
    """
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
