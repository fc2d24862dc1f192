"""Wasserstein losses: how far what is predicted must be moved to be what was asked for."""

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.lists import read_lists
from cgar_jax._core.masking import valid_labels


def wasserstein_list_loss(
    scores: chex.Array,
    labels: chex.Array,
    temperature: chex.Numeric,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Wasserstein distance between the lists as scored and as labeled: one loss for the batch.

    ``|m_P - m_Q|^2 + tr(C_P + C_Q - 2 (C_P C_Q)^(1/2))``: the squared 2-Wasserstein distance
    between Gaussians with the mean and covariance of the rows of ``P = softmax(scores / T)`` and of
    ``Q = softmax(labels)``. With ``A``, ``D`` the centered rows over ``sqrt(B - 1)``, the trace of
    the root is the sum of the singular values of ``A D^T``, and is computed so.

    Args:
      scores: ``[batch, items]``, any float dtype. An item that is another query's counts as one
        with label 0.
      labels: ``[batch, items]``, graded relevance, 3 to 0 for example; their size matters. They
        get no gradient.
      temperature: above 0, ``T``; the paper's is not known.
      where: bool ``[batch]`` or ``[batch, items]``; False does not count: the item has probability
        0, and a list without any item is no row.

    Returns:
      float32 ``[batch]``: the one loss of the batch, repeated, so that its mean over the lists that
      count is the loss; 0 for a list that does not. Near the optimum it is a difference of equal
      numbers, and may be below 0 by a float32 rounding. A batch of one list gives
      ``|P - Q|^2``.

    Raises:
      ValueError: a setting out of its range; shapes that do not fit.

    Source: Esfandiarpoor et al., Beyond Contrastive Learning (SyCL), 2025, arXiv 2503.23239;
    certain (released code; its eigenvalues are replaced by singular values).
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
    """Softmax of each row less the mean row, over ``sqrt(count - 1)``; and the mean row."""
    probabilities = jax.nn.softmax(logits, where=valid)
    mean = jnp.sum(probabilities, axis=0) / jnp.maximum(count, 1)
    centered = jnp.where(rows[:, None], probabilities - mean, 0)
    return centered / jnp.sqrt(jnp.maximum(count - 1, 1).astype(jnp.float32)), mean


def wasserstein1_ordinal_loss(
    logits: chex.Array, labels: chex.Array, *, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """Wasserstein distance between predicted and true class, for classes that have an order.

    ``sum_k |cdf_p(k) - cdf_q(k)|`` with ``p = softmax(logits)`` and ``q`` the target; for one label
    ``y``, ``sum_k p_k |k - y|``: the expected number of classes to go.

    Args:
      logits: ``[..., classes]``, any float dtype.
      labels: ``[...]``, int, in ``0 .. classes - 1`` or `IGNORE_LABEL`; or ``[..., classes]``, a
        target distribution, which gets no gradient.
      where: bool, ``[...]`` or its leading axes, such as ``[batch]``; False does not count.

    Returns:
      float32 ``[...]``, value 0 and gradient 0 where it does not count.

    Raises:
      ValueError: shapes that do not fit.

    Source: ours. The 1-Wasserstein distance on a line is textbook material.
    """
    shape = jnp.shape(logits)
    if jnp.ndim(labels) == len(shape):
        check_shape("wasserstein1_ordinal_loss", "labels", labels, shape)
        valid = valid_labels(jnp.zeros(shape[:-1], jnp.int32), where)
        target = jax.lax.stop_gradient(jnp.asarray(labels, jnp.float32))
    else:
        check_shape("wasserstein1_ordinal_loss", "labels", labels, shape[:-1])
        valid = valid_labels(jnp.asarray(labels), where)
        target = jax.nn.one_hot(labels, shape[-1])
    logits = jnp.where(valid[..., None], jnp.asarray(logits, jnp.float32), 0)
    target = jnp.where(valid[..., None], target, 0)
    to_move = jnp.cumsum(jax.nn.softmax(logits) - target, axis=-1)
    # The last of the sums is 1 - 1, and only rounding.
    return jnp.where(valid, jnp.sum(jnp.abs(to_move[..., :-1]), axis=-1), 0)
