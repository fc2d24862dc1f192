"""Metric learning: embeddings of what belongs together near each other, of the rest far apart."""

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.lists import both, log_one_plus_sum_exp, read_lists
from cgar_jax._core.masking import masked_max, valid_entries
from cgar_jax._core.vectors import products, read_vectors, unit_vectors


def multi_similarity_pair_loss(
    similarities: chex.Array,
    is_positive: chex.Array,
    alpha: chex.Numeric = 2.0,
    beta: chex.Numeric = 50.0,
    base: chex.Numeric = 0.5,
    mining_margin: chex.Numeric | None = 0.1,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Multi-similarity loss of anchors, each with its own items, from their similarities.

    ``log(1 + sum_P exp(-alpha (s - base))) / alpha + log(1 + sum_N exp(beta (s - base))) / beta``,
    over the positives ``P`` and negatives ``N`` that are kept: a negative if it is more similar
    than the least similar positive less ``mining_margin``, a positive if it is less similar than
    the most similar negative plus ``mining_margin``.

    Args:
      similarities: ``[batch, items]``, any float dtype, such as cosines: of each anchor with its
        items, from the batch or from a memory.
      is_positive: bool ``[batch, items]``.
      alpha: above 0, the sharpness for positives.
      beta: above 0, the sharpness for negatives.
      base: ``lambda``, the similarity from which on a pair counts as wrong.
      mining_margin: ``epsilon``; None, or infinity, keeps every pair of an anchor that has both
        positives and negatives; None also those of the others.
      where: bool ``[batch]`` or ``[batch, items]``; False does not count.

    Returns:
      float32 ``[batch]``; 0 for an anchor of which no pair is kept.

    Raises:
      ValueError: a setting out of its range; shapes that do not fit.

    Source: Wang et al., CVPR 2019, arXiv 1904.06627; certain (released code). Of the settings,
    alpha 2 and the margin are the paper's, likely; base 0.5 is that of the released code and of
    pytorch-metric-learning (the paper's is 1, as remembered), and beta 50 that of the paper and of
    pytorch-metric-learning (the released configuration has 40).
    """
    for name, value in (("alpha", alpha), ("beta", beta)):
        check_number("multi_similarity_pair_loss", name, value, "(0, inf)")
    alpha, beta, base = (jnp.asarray(value, jnp.float32) for value in (alpha, beta, base))
    valid, similarities, positive = read_lists(
        "multi_similarity_pair_loss", where, similarities=similarities, is_positive=is_positive
    )
    positives, negatives = valid & (positive > 0), valid & (positive == 0)
    if mining_margin is not None:
        margin = jnp.asarray(mining_margin, jnp.float32)
        hardest_positive = -masked_max(-similarities, positives, axis=-1)
        hardest_negative = masked_max(similarities, negatives, axis=-1)
        positives &= similarities < hardest_negative + margin
        negatives &= similarities > hardest_positive - margin
    excess = similarities - base
    pull = log_one_plus_sum_exp(-alpha * excess, positives) / alpha
    push = log_one_plus_sum_exp(beta * excess, negatives) / beta
    return pull + push


def multi_similarity_loss(
    embeddings: chex.Array,
    labels: chex.Array,
    alpha: chex.Numeric = 2.0,
    beta: chex.Numeric = 50.0,
    base: chex.Numeric = 0.5,
    mining_margin: chex.Numeric | None = 0.1,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Multi-similarity loss: each example is the anchor of its pairs with the rest of the batch.

    `multi_similarity_pair_loss` of the cosines ``s_ij`` of all pairs but that of an example with
    itself; those with equal labels are positive.

    Args:
      embeddings: ``[batch, features]``, any float dtype and length.
      labels: ``[batch]``, int.
      alpha: as all settings, that of `multi_similarity_pair_loss`.
      beta: the same.
      base: the same.
      mining_margin: the same.
      where: bool ``[batch]``; False is neither an anchor nor in any pair.

    Returns:
      float32 ``[batch]``, one loss per anchor. The released code leaves duplicates (cosine 1) out
      of the positives; here only the example itself is.

    Raises:
      ValueError: a setting out of its range; shapes that do not fit.

    Source: Wang et al., CVPR 2019, arXiv 1904.06627; certain, see `multi_similarity_pair_loss` for
    its settings.
    """
    check_shape("multi_similarity_loss", "embeddings", embeddings, ("batch", "features"))
    batch = len(embeddings)
    check_shape("multi_similarity_loss", "labels", labels, (batch,))
    valid = valid_entries(where, (batch,))
    units = unit_vectors(read_vectors(embeddings, valid))
    labels = jnp.asarray(labels)
    return multi_similarity_pair_loss(
        products("ad,bd->ab", units, units),
        labels[:, None] == labels,
        alpha=alpha,
        beta=beta,
        base=base,
        mining_margin=mining_margin,
        where=both(valid) & ~jnp.eye(batch, dtype=bool),
    )


def info_nce_loss(
    queries: chex.Array,
    keys: chex.Array,
    negatives: chex.Array | None = None,
    temperature: chex.Numeric = 0.1,
    *,
    negatives_where: jax.typing.ArrayLike | None = None,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """InfoNCE: each query is to find its own key among those of the batch.

    ``-log(exp(c_ii / T) / (sum_j exp(c_ij / T) + sum_k exp(cos(q_i, n_ik) / T)))``,
    ``c_ij = cos(q_i, k_j)``.

    Args:
      queries: ``[batch, features]``, any float dtype and length.
      keys: ``[batch, features]``, that of each query.
      negatives: ``[batch, negatives, features]``, more to tell apart, of each query; None for none.
        See `online_negative_mixing`.
      temperature: above 0, ``T``.
      negatives_where: bool ``[batch, negatives]``; False does not count.
      where: bool ``[batch]``; False is neither a query nor a key of others.

    Returns:
      float32 ``[batch]``.

    Raises:
      ValueError: a setting out of its range; shapes that do not fit.

    Source: van den Oord et al., 2018, arXiv 1807.03748, in the form with in-batch negatives of Yao
    et al., Self-supervised Learning for Large-scale Item Recommendations, 2020, arXiv 2007.12865
    (id from memory); certain. Temperature 0.1 is that of the latter, likely.
    """
    check_number("info_nce_loss", "temperature", temperature, "(0, inf]")
    check_shape("info_nce_loss", "queries", queries, ("batch", "features"))
    batch, features = jnp.shape(queries)
    check_shape("info_nce_loss", "keys", keys, (batch, features))
    valid = valid_entries(where, (batch,))
    query = unit_vectors(read_vectors(queries, valid))
    cosines = products("ad,bd->ab", query, unit_vectors(read_vectors(keys, valid)))
    # A query that does not count keeps its own key, so that there is something to normalize.
    counts = both(valid) | jnp.eye(batch, dtype=bool)
    if negatives is not None:
        check_shape("info_nce_loss", "negatives", negatives, (batch, "negatives", features))
        harder = valid_entries(negatives_where, jnp.shape(negatives)[:-1]) & valid[:, None]
        further = products("ad,and->an", query, unit_vectors(read_vectors(negatives, harder)))
        cosines = jnp.concatenate([cosines, further], axis=-1)
        counts = jnp.concatenate([counts, harder], axis=-1)
    losses = optax.softmax_cross_entropy_with_integer_labels(
        cosines / jnp.asarray(temperature, jnp.float32), jnp.arange(batch), where=counts
    )
    return jnp.where(valid, losses, 0)
