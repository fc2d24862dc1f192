"""Ranking losses: scores of the items of a list, compared with the order that they should have.

>>> import jax.numpy as jnp
>>> from cgar_jax import losses
>>> scores, labels = jnp.array([[3.0, 1.0, 2.0]]), jnp.array([[2.0, 1.0, 0.0]])
>>> print(losses.weighted_ranknet_loss(scores, labels).round(3))
[0.128]

Each list has one loss. This file adds losses that `rax` lacks, on top of its pairwise losses. As in
`rax`, higher labels are better, and only their order matters unless a docstring says otherwise.
"""

import functools
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
import rax

from cgar_jax._core.checks import check_shape
from cgar_jax._core.ids import known_ids
from cgar_jax._core.lists import both, dense_ranks, differences, read_lists
from cgar_jax._core.masking import valid_entries
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name

# Typed `Any`, because the protocols of rax declare arguments that these functions do not have.
_sum_over_pairs: Any = functools.partial(jnp.sum, axis=-1)


def inverse_rank_sum_lambdaweight(
    scores: chex.Array,
    labels: chex.Array,
    *,
    where: chex.Array | None = None,
    segments: chex.Array | None = None,
    weights: chex.Array | None = None,
) -> jax.Array:
    """Computes weights of pairs that are largest at the top of a list.

    `1 / (r_i + r_j)` with `r` the rank by label, 1 for the best. Items with equal labels share a
    rank, and no rank is left out.

    Pass it as `lambdaweight_fn` to any pairwise loss of `rax`.

    Args:
      scores: scores of the items `[..., items]`, unused.
      labels: labels of the items, `[..., items]`.
      where: mask, bool `[..., items]`; False items count in no rank. None means all True.
      segments: segment of each item, int `[..., items]`; items of different segments form no pair,
        and ranks are counted within a segment. None means one segment.
      weights: unused.

    Returns:
      Weights, float32 `[..., items * items]` in the order of pairs that `rax` uses, 0 for pairs
      that do not count.

    Example:
      >>> import jax.numpy as jnp, rax
      >>> from cgar_jax.losses import inverse_rank_sum_lambdaweight
      >>> scores, labels = jnp.array([3.0, 1.0, 2.0]), jnp.array([2.0, 1.0, 0.0])
      >>> loss = rax.pairwise_hinge_loss(
      ...     scores, labels, lambdaweight_fn=inverse_rank_sum_lambdaweight)
      >>> print(loss.round(3))
      0.133

    Reference:
      Gangi Reddy et al., 2024, "FIRST: Faster Improved Listwise Reranking with Single Token
      Decoding", arXiv 2406.15657; as in the released code, which breaks ties by position and ranks
      one list per call.
    """
    del scores, weights
    labels = jnp.asarray(labels)
    comparable = both(valid_entries(where, labels.shape))
    if segments is not None:
        comparable &= differences(jnp.asarray(segments)) == 0
    ranks = dense_ranks(labels, comparable)
    rank_sums = (ranks[..., :, None] + ranks[..., None, :]).astype(jnp.float32)
    pairs = jnp.where(comparable, 1 / rank_sums, 0)
    return pairs.reshape(*labels.shape[:-1], labels.shape[-1] ** 2)


def weighted_ranknet_loss(
    scores: chex.Array,
    labels: chex.Array,
    pair_weight: Literal["inverse_rank_sum", "none"] = "inverse_rank_sum",
    reduction: Literal["mean", "sum"] = "mean",
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes RankNet's loss with weights by target rank: mistakes at the top count most.

    The mean over the pairs with `r_i < r_j` of `softplus(-(s_i - s_j)) / (r_i + r_j)`, with `r` the
    rank by label, 1 for the best.

    Use it for reranking, where the first items matter most.

    Args:
      scores: scores of the items, float `[batch, items]`.
      labels: relevance of the items `[batch, items]`; pass negated ranks to give target ranks.
      pair_weight: weight of each pair; `"none"` gives RankNet.
      reduction: reduction over the pairs of a list. The released code takes one mean over the pairs
        of all lists together.
      where: mask, bool `[batch]` or `[batch, items]`; False items do not count.

    Returns:
      Losses, float32 `[batch]`. The released code adds 10 times this loss to its language-model
      loss; the factor is not applied here.

    Raises:
      ValueError: if a setting is unknown, or the shapes do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import weighted_ranknet_loss
      >>> labels = jnp.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
      >>> scores = jnp.array([[2.0, 3.0, 1.0], [3.0, 1.0, 2.0]])  # mistake at the top, at the end
      >>> print(weighted_ranknet_loss(scores, labels).round(3))
      [0.18  0.128]

    Reference:
      Gangi Reddy et al., 2024, "FIRST: Faster Improved Listwise Reranking with Single Token
      Decoding", arXiv 2406.15657; as in the released code. The ranks of equal labels are our
      choice, see `inverse_rank_sum_lambdaweight`.
    """
    check_name("pair_weight", pair_weight, ("inverse_rank_sum", "none"))
    check_name("reduction", reduction, ("mean", "sum"))
    valid, scores, labels = read_lists("weighted_ranknet_loss", where, scores=scores, labels=labels)
    lambdaweight: Any = None if pair_weight == "none" else inverse_rank_sum_lambdaweight
    total = rax.pairwise_logistic_loss(
        scores,
        labels,
        where=valid,
        lambdaweight_fn=lambdaweight,
        reduce_fn=_sum_over_pairs,
    )
    if reduction == "sum":
        return total
    pairs = jnp.sum((differences(labels) > 0) & both(valid), axis=(-2, -1))
    return total / jnp.maximum(pairs, 1)


def lambda_preference_loss(
    log_probabilities: chex.Array,
    labels: chex.Array,
    beta: chex.Numeric,
    reference_log_probabilities: chex.Array | None = None,
    *,
    label_gain: Literal["exp2", "linear"] = "exp2",
    log_base: chex.Numeric = 2.0,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes the LiPO-lambda loss: preferences over a list of answers, weighted as in LambdaRank.

        sum over y_i > y_j of Delta_ij softplus(-(s_i - s_j)),  s = beta (log pi - log pi_ref)
        Delta_ij = |2^y_i - 2^y_j| |1 / log(1 + r_i) - 1 / log(1 + r_j)|

    with `r` the rank by score, 1 for the highest. `Delta` has no gradient.

    Use it to train a policy on several graded answers per prompt.

    Args:
      log_probabilities: log-probability of each answer under the policy, float `[batch, items]`.
      labels: quality of each answer, `psi` in the paper, `[batch, items]`. Rescale raw rewards, for
        example to [0, 4], because `2^y` overflows.
      beta: factor of the scores, above 0, tuned in the paper.
      reference_log_probabilities: log-probability of each answer under the reference policy, float
        `[batch, items]`, without a gradient. None means zeros, so that the first argument is a
        score.
      label_gain: gain of a label; `"linear"` replaces `|2^y_i - 2^y_j|` by `|y_i - y_j|`.
      log_base: base of the logarithm in `Delta`, above 1. Another base changes the loss by a
        constant factor.
      where: mask, bool `[batch]` or `[batch, items]`; False items do not count.

    Returns:
      Losses, float32 `[batch]`: the pairwise logistic loss of `rax` with `rax.dcg_lambdaweight`,
      divided by the list size by which `rax` multiplies.

    Raises:
      ValueError: if a setting is out of range, or the shapes do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import lambda_preference_loss
      >>> log_probabilities, labels = jnp.array([[-3.0, -1.0, -2.0]]), jnp.array([[2.0, 1.0, 0.0]])
      >>> print(lambda_preference_loss(log_probabilities, labels, beta=0.5).round(3))
      [1.871]

    Reference:
      Liu et al., 2024, "LiPO: Listwise Preference Optimization through Learning-to-Rank", arXiv
      2402.01878. The base of the logarithm is unconfirmed.
    """
    check_number("lambda_preference_loss", "beta", beta, "(0, inf)")
    check_number("lambda_preference_loss", "log_base", log_base, "(1, inf)")
    check_name("label_gain", label_gain, ("exp2", "linear"))
    if reference_log_probabilities is None:
        reference_log_probabilities = jnp.zeros_like(log_probabilities)
    valid, policy, labels, reference = read_lists(
        "lambda_preference_loss",
        where,
        log_probabilities=log_probabilities,
        labels=labels,
        reference_log_probabilities=reference_log_probabilities,
    )
    base = jnp.asarray(log_base, jnp.float32)
    lambdaweight: Any = functools.partial(
        rax.dcg_lambdaweight,
        gain_fn=jnp.exp2 if label_gain == "exp2" else jnp.asarray,
        # rax ranks in integers, whose logarithm would be float64 if JAX has 64 bits enabled.
        discount_fn=lambda rank: jnp.log(base) / jnp.log1p(jnp.asarray(rank, jnp.float32)),
    )
    total = rax.pairwise_logistic_loss(
        jnp.float32(beta) * (policy - jax.lax.stop_gradient(reference)),
        jax.lax.stop_gradient(labels),
        where=valid,
        lambdaweight_fn=lambdaweight,
        reduce_fn=_sum_over_pairs,
    )
    return total / max(labels.shape[-1], 1)


def plackett_luce_distillation_loss(
    student_logits: chex.Array,
    teacher_logits: chex.Array,
    labels: chex.Array,
    temperature: chex.Numeric = 1.0,
    top_k: chex.Numeric | None = None,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes the loss of learning a teacher's order of the classes (PLD).

    `sum_k q_k (logsumexp_{l >= k} s_l - s_k)`, over the classes ordered with the label first and
    the others by decreasing teacher logit, with `s` the student's logits and
    `q = softmax(teacher / T)`. The first term is the softmax cross-entropy times the teacher's
    probability of the label. The loss is convex in `s`.

    Use it for distillation where the order of the wrong classes carries information.

    Args:
      student_logits: outputs of the student, float `[..., classes]`.
      teacher_logits: outputs of the teacher, float `[..., classes]`, without a gradient. A class
        with `-inf` is ruled out; if the student has `-inf`, too, the class is treated as masked.
      labels: classes, int `[...]` in `0 .. classes - 1`, or `IGNORE_LABEL`.
      temperature: divisor `T` of the teacher's logits in the weights, above 0. Infinity gives all
        places the same weight (ListMLE divided by the number of classes).
      top_k: number of first terms that count, at least 1; None means all.
      where: mask, bool `[..., classes]` or its leading axes, such as `[batch]`. False classes are
        left out; an example whose label is left out does not count.

    Returns:
      Losses, float32 `[...]`, with value 0 and gradient 0 for examples that do not count.

    Raises:
      ValueError: if a setting is out of range, or the shapes do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import plackett_luce_distillation_loss
      >>> student, teacher = jnp.array([[2.0, 0.0, 1.0]]), jnp.array([[2.0, 1.0, 0.0]])
      >>> print(plackett_luce_distillation_loss(student, teacher, jnp.array([0])).round(3))
      [0.593]

    Reference:
      Bassam, Zhu and Bian, 2025, "PLD: A Choice-Theoretic List-Wise Knowledge Distillation", arXiv
      2506.12542. The weights are derived from the abstract and a summary, and the paper's
      temperature is unconfirmed.
    """
    check_number("plackett_luce_distillation_loss", "temperature", temperature, "(0, inf]")
    check_number("plackett_luce_distillation_loss", "top_k", top_k, "[1, inf]")
    shape = jnp.shape(student_logits)
    check_shape("plackett_luce_distillation_loss", "teacher_logits", teacher_logits, shape)
    check_shape("plackett_luce_distillation_loss", "labels", labels, shape[:-1])
    labels, known = known_ids("plackett_luce_distillation_loss", "labels", labels, shape[-1])
    is_label = jax.nn.one_hot(labels, shape[-1], dtype=bool) & known[..., None]
    valid = valid_entries(where, shape)
    valid &= jnp.any(is_label & valid, axis=-1, keepdims=True)

    teacher = jnp.where(valid, jnp.asarray(teacher_logits, jnp.float32), 0)
    teacher = jax.lax.stop_gradient(teacher)
    weights = jax.nn.softmax(teacher / jnp.float32(temperature), where=valid)
    # The gradient of cumlogsumexp is NaN at -inf, so the lowest finite number stands in for it.
    lowest = jnp.finfo(jnp.float32).min
    student = jnp.where(valid, jnp.asarray(student_logits, jnp.float32), lowest)
    keys = (~is_label, ~valid, -teacher)
    *_, student, weights = jax.lax.sort(
        (*keys, jnp.maximum(student, lowest), weights), num_keys=len(keys)
    )

    # The term of the last class is zero by definition.
    terms = jnp.sum(valid, axis=-1, keepdims=True) - 1
    place = jnp.arange(shape[-1])
    counts = place < terms
    if top_k is not None:
        counts &= place < top_k
    below = jax.lax.cumlogsumexp(student, axis=student.ndim - 1, reverse=True)
    return jnp.sum(jnp.where(counts, weights * (below - student), 0), axis=-1)
