"""Wasserstein losses: the distance by which predictions must be moved to match their targets.

>>> import jax.numpy as jnp
>>> from cgar_jax import losses
>>> logits = jnp.array([[0.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
>>> print(losses.wasserstein1_ordinal_loss(logits, jnp.array([0, 0])).round(2))
[1. 2.]

Losses that grow with the distance between a wrong prediction and the right one belong here.
"""

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_shape
from cgar_jax._core.lists import read_lists
from cgar_jax._core.masking import read_labels, valid_entries
from cgar_jax._core.ranges import check_number


def wasserstein_list_loss(
    scores: chex.Array,
    labels: chex.Array,
    temperature: chex.Numeric,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes the Wasserstein distance between the scored and the labeled lists of a batch.

    `|m_P - m_Q|^2 + tr(C_P + C_Q - 2 (C_P C_Q)^(1/2))`: the squared 2-Wasserstein distance between
    Gaussians with the mean and covariance of the rows of `P = softmax(scores / T)` and of
    `Q = softmax(labels)`. The trace of the root is computed as the sum of the singular values of
    `A D^T`, where `A` and `D` are the centered rows divided by `sqrt(batch - 1)`.

    Use it for graded relevance. There is one loss for the whole batch.

    Args:
      scores: scores of the items, float `[batch, items]`. Items of other queries count as items
        with label 0.
      labels: graded relevance, for example 3 to 0, `[batch, items]`, without a gradient; its scale
        matters.
      temperature: divisor `T` of the scores, above 0.
      where: mask, bool `[batch]` or `[batch, items]`. False items have probability 0, and a list
        without any item is left out.

    Returns:
      Losses, float32 `[batch]`: the one loss of the batch, repeated, so that the mean over the
      lists that count is the loss; 0 for lists that do not count. Near the optimum the loss is a
      difference of equal numbers and may be negative by a float32 rounding. A batch of one list
      gives `|P - Q|^2`.

    Raises:
      ValueError: if the temperature is out of range, or the shapes do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import wasserstein_list_loss
      >>> labels = jnp.array([[3.0, 1.0, 0.0], [0.0, 3.0, 1.0]])
      >>> print(wasserstein_list_loss(jnp.zeros((2, 3)), labels, temperature=1.0).round(3))
      [0.689 0.689]

    Reference:
      Esfandiarpoor et al., 2025, "Beyond Contrastive Learning: Synthetic Data Enables List-wise
      Training with Multiple Levels of Relevance" (SyCL), arXiv 2503.23239; as in the released code,
      with singular values in place of its eigenvalues. The paper's temperature is unconfirmed.
    """
    check_number("wasserstein_list_loss", "temperature", temperature, "(0, inf)")
    valid, scores, labels = read_lists("wasserstein_list_loss", where, scores=scores, labels=labels)
    rows = jnp.any(valid, axis=-1)
    count = jnp.sum(rows)
    scores /= jnp.float32(temperature)
    predicted, mean_predicted = _centered_rows(scores, valid, rows, count)
    wanted, mean_wanted = _centered_rows(jax.lax.stop_gradient(labels), valid, rows, count)
    cross = jnp.matmul(predicted, wanted.T, precision=jax.lax.Precision.HIGHEST)
    spread = jnp.sum(predicted**2) + jnp.sum(wanted**2)
    overlap = jnp.sum(jnp.linalg.svd(cross, compute_uv=False))
    loss = jnp.sum((mean_predicted - mean_wanted) ** 2) + spread - 2 * overlap
    return jnp.where(rows, loss, 0)


def _centered_rows(logits, valid, rows, count):
    """Returns the softmax rows minus their mean, divided by `sqrt(count - 1)`, and the mean row."""
    probabilities = jax.nn.softmax(logits, where=valid)
    mean = jnp.sum(probabilities, axis=0) / jnp.maximum(count, 1)
    centered = jnp.where(rows[:, None], probabilities - mean, 0)
    return centered / jnp.sqrt(jnp.maximum(count - 1, 1).astype(jnp.float32)), mean


def wasserstein1_ordinal_loss(
    logits: chex.Array, labels: chex.Array, *, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """Computes the Wasserstein distance between predicted and true class, for ordered classes.

    `sum_k |cdf_p(k) - cdf_q(k)|` with `p = softmax(logits)` and `q` the target distribution. For a
    single label `y` this is `sum_k p_k |k - y|`, the expected number of classes by which the
    prediction is off.

    Use it for grades, ages and other classes that have an order.

    Args:
      logits: model outputs, float `[..., classes]`.
      labels: classes, int `[...]` in `0 .. classes - 1`, or `IGNORE_LABEL`; or a target
        distribution, float `[..., classes]`, without a gradient.
      where: mask, bool `[...]` or its leading axes, such as `[batch]`; False entries do not count.

    Returns:
      Losses, float32 `[...]`, with value 0 and gradient 0 for entries that do not count.

    Raises:
      ValueError: if the shapes do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import wasserstein1_ordinal_loss
      >>> print(wasserstein1_ordinal_loss(jnp.zeros((3, 4)), jnp.array([0, 1, 2])))
      [1.5 1.  1. ]

    Reference:
      Ours. The 1-Wasserstein distance on a line is textbook material.
    """
    shape = jnp.shape(logits)
    if jnp.ndim(labels) == len(shape):
        check_shape("wasserstein1_ordinal_loss", "labels", labels, shape)
        valid = valid_entries(where, shape[:-1])
        target = jax.lax.stop_gradient(jnp.asarray(labels, jnp.float32))
    else:
        valid, labels = read_labels("wasserstein1_ordinal_loss", logits, labels, where)
        target = jax.nn.one_hot(labels, shape[-1], dtype=jnp.float32)
    logits = jnp.where(valid[..., None], jnp.asarray(logits, jnp.float32), 0)
    target = jnp.where(valid[..., None], target, 0)
    to_move = jnp.cumsum(jax.nn.softmax(logits) - target, axis=-1)
    # The last of the sums is 1 - 1, that is, only a rounding error.
    return jnp.where(valid, jnp.sum(jnp.abs(to_move[..., :-1]), axis=-1), 0)
