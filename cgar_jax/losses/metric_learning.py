"""Metric learning: similar embeddings for examples that belong together.

>>> import jax, jax.numpy as jnp
>>> from cgar_jax import losses
>>> embeddings, labels = jax.random.normal(jax.random.key(0), (6, 8)), jnp.array([0, 0, 1, 1, 2, 2])
>>> print(losses.multi_similarity_loss(embeddings, labels).shape)
(6,)

Losses of embeddings and of their similarities belong here; losses of scores in a list are in
`ranking`. Cosines are computed at full precision.
"""

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_shape
from cgar_jax._core.ids import widen
from cgar_jax._core.lists import both, log_one_plus_sum_exp, read_lists
from cgar_jax._core.masking import masked_max, valid_entries
from cgar_jax._core.ranges import check_number
from cgar_jax._core.vectors import products, read_vectors, unit_vectors


def multi_similarity_pair_loss(
    similarities: chex.Array,
    is_positive: chex.Array,
    *,
    alpha: chex.Numeric = 2.0,
    beta: chex.Numeric = 50.0,
    base: chex.Numeric = 0.5,
    mining_margin: chex.Numeric | None = 0.1,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes the multi-similarity loss of anchors from the similarities to their own items.

        log(1 + sum_P exp(-alpha (s - base))) / alpha + log(1 + sum_N exp(beta (s - base))) / beta

    `P` and `N` are the selected positives and negatives: negatives more similar than the least
    similar positive minus `mining_margin`, positives less similar than the most similar negative
    plus `mining_margin`.

    Use it if the items of an anchor come from a memory; `multi_similarity_loss` takes them from the
    batch.

    Args:
      similarities: similarities of each anchor to its items, such as cosines, float
        `[batch, items]`.
      is_positive: whether an item belongs to its anchor, bool `[batch, items]`.
      alpha: sharpness for positives, above 0.
      beta: sharpness for negatives, above 0.
      base: similarity at which a pair begins to count as wrong, `lambda` in the paper.
      mining_margin: margin of the selection of hard pairs, `epsilon` in the paper. None keeps every
        pair; infinity keeps every pair of an anchor that has both positives and negatives.
      where: mask, bool `[batch]` or `[batch, items]`; False items do not count.

    Returns:
      Losses, float32 `[batch]`, 0 for anchors without any selected pair.

    Raises:
      ValueError: if a setting is out of range, or the shapes do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import multi_similarity_pair_loss
      >>> similarities = jnp.array([[0.9, 0.1, 0.2], [0.2, 0.7, 0.1]])
      >>> is_positive = jnp.array([[True, False, False], [True, False, False]])
      >>> print(multi_similarity_pair_loss(similarities, is_positive).round(3))
      [0.    0.719]

    Reference:
      Wang et al., 2019, "Multi-Similarity Loss with General Pair Weighting for Deep Metric
      Learning", arXiv 1904.06627; as in the released code. The defaults are unconfirmed in part:
      alpha 2 and the margin are probably the paper's, base 0.5 is that of the released code (the
      paper probably has 1), and beta 50 is that of pytorch-metric-learning (the released
      configuration has 40).
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
    *,
    alpha: chex.Numeric = 2.0,
    beta: chex.Numeric = 50.0,
    base: chex.Numeric = 0.5,
    mining_margin: chex.Numeric | None = 0.1,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes the multi-similarity loss of a batch in which every example is an anchor.

    This is `multi_similarity_pair_loss` of the cosines between all pairs of different examples.
    Pairs with equal labels are positive.

    Use it to learn embeddings from class labels.

    Args:
      embeddings: vectors of any length, float `[batch, features]`.
      labels: classes, int `[batch]` from 0 on, or `IGNORE_LABEL`.
      alpha: sharpness for positives, above 0.
      beta: sharpness for negatives, above 0.
      base: similarity at which a pair begins to count as wrong, `lambda` in the paper.
      mining_margin: margin of the selection of hard pairs, `epsilon` in the paper. None keeps every
        pair; infinity keeps every pair of an anchor that has both positives and negatives.
      where: mask, bool `[batch]`; a False example, like one without a class, is neither an anchor
        nor part of any pair.

    Returns:
      Losses, float32 `[batch]`, one per anchor. The released code also excludes duplicates (cosine
      1) from the positives; here only the example itself is excluded.

    Raises:
      ValueError: if a setting is out of range, or the shapes do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import multi_similarity_loss
      >>> embeddings = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6], [0.6, 0.8]])
      >>> print(multi_similarity_loss(embeddings, jnp.array([0, 0, 1, 1])).round(2))
      [0.96 0.96 0.   0.  ]

    Reference:
      Wang et al., 2019, "Multi-Similarity Loss with General Pair Weighting for Deep Metric
      Learning", arXiv 1904.06627; as in the released code. The defaults are unconfirmed in part:
      alpha 2 and the margin are probably the paper's, base 0.5 is that of the released code (the
      paper probably has 1), and beta 50 is that of pytorch-metric-learning (the released
      configuration has 40).
    """
    check_shape("multi_similarity_loss", "embeddings", embeddings, ("batch", "features"))
    batch, _ = jnp.shape(embeddings)
    check_shape("multi_similarity_loss", "labels", labels, (batch,))
    labels = widen("multi_similarity_loss", "labels", labels)
    valid = valid_entries(where, (batch,)) & (labels >= 0)
    units = unit_vectors(read_vectors(embeddings, valid))
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
    """Computes the InfoNCE loss: each query must find its own key among the keys of the batch.

        -log(exp(c_ii / T) / (sum_j exp(c_ij / T) + sum_k exp(cos(q_i, n_ik) / T)))

    with `c_ij = cos(q_i, k_j)` and optional further negatives `n_ik`.

    Use it for two views of the same thing, without labels.

    Args:
      queries: vectors of any length, float `[batch, features]`.
      keys: the key of each query, float `[batch, features]`.
      negatives: further negatives of each query, float `[batch, negatives, features]`, or None. See
        `contrib.online_negative_mixing`.
      temperature: divisor `T` of the cosines, above 0.
      negatives_where: mask, bool `[batch, negatives]`; False negatives do not count.
      where: mask, bool `[batch]`; a False example is neither a query nor a key for others.

    Returns:
      Losses, float32 `[batch]`.

    Raises:
      ValueError: if the temperature is out of range, or the shapes do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import info_nce_loss
      >>> print(info_nce_loss(jnp.eye(3), jnp.eye(3), temperature=1.0).round(3))
      [0.551 0.551 0.551]

    Reference:
      van den Oord, Li and Vinyals, 2018, "Representation Learning with Contrastive Predictive
      Coding", arXiv 1807.03748; with in-batch negatives as in Yao et al., 2020, "Self-supervised
      Learning for Large-scale Item Recommendations", arXiv 2007.12865. That the latter has
      temperature 0.1 is unconfirmed.
    """
    check_number("info_nce_loss", "temperature", temperature, "(0, inf]")
    check_shape("info_nce_loss", "queries", queries, ("batch", "features"))
    batch, features = jnp.shape(queries)
    check_shape("info_nce_loss", "keys", keys, (batch, features))
    valid = valid_entries(where, (batch,))
    query = unit_vectors(read_vectors(queries, valid))
    cosines = products("ad,bd->ab", query, unit_vectors(read_vectors(keys, valid)))
    # A masked query keeps its own key, so that its softmax is never over an empty set.
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
