"""Ranking losses: scores of the items of a list, against what their order should be.

One loss per list. `rax` does what it can; here is what it lacks. Labels are rax's: the higher, the
better; only their order matters unless a docstring says otherwise.
"""

import functools
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import rax

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.lists import both, dense_ranks, differences, read_lists
from cgar_jax._core.masking import valid_entries
from cgar_jax._core.registry import check_name

_sum_over_pairs = functools.partial(jnp.sum, axis=-1)


def inverse_rank_sum_lambdaweight(
    scores: chex.Array,
    labels: chex.Array,
    *,
    where: chex.Array | None = None,
    segments: chex.Array | None = None,
    weights: chex.Array | None = None,
) -> jax.Array:
    """Weight of a pair by the target ranks of its items: mistakes at the top count most.

    ``1 / (r_i + r_j)``, with ``r`` the rank by label, 1 for the best. Items with equal labels share
    a rank, and no rank is left out. To be passed to any pairwise loss of rax as its
    ``lambdaweight_fn``.

    Args:
      scores: ``[..., items]``, not used.
      labels: ``[..., items]``.
      where: bool ``[..., items]``; False counts in no rank. None counts all.
      segments: int ``[..., items]``; items of different segments form no pair, and ranks are those
        within a segment.
      weights: not used.

    Returns:
      float32 ``[..., items * items]``, rax's order of pairs; 0 for a pair that does not count.

    Source: Gangi Reddy et al., FIRST, 2024, arXiv 2406.15657; certain (released code), which breaks
    ties by place and ranks one list per call.
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
    """RankNet whose pairs are weighted by their target ranks: mistakes at the top count most.

    ``mean over pairs with r_i < r_j of softplus(-(s_i - s_j)) / (r_i + r_j)``, with ``r`` the rank
    by label, 1 for the best.

    Args:
      scores: ``[batch, items]``, any float dtype.
      labels: ``[batch, items]``; of target ranks, pass the negative.
      pair_weight: ``"none"`` is RankNet.
      reduction: over the pairs of a list. The released code takes one mean over the pairs of all
        lists together.
      where: bool ``[batch]`` or ``[batch, items]``; False does not count.

    Returns:
      float32 ``[batch]``. The released code adds 10 times this to its language-model loss; that 10
      is not applied here.

    Raises:
      ValueError: an unknown setting; shapes that do not fit.

    Source: Gangi Reddy et al., FIRST, 2024, arXiv 2406.15657; certain (released code). How equal
    labels are ranked is ours, see `inverse_rank_sum_lambdaweight`.
    """
    check_name("pair_weight", pair_weight, ("inverse_rank_sum", "none"))
    check_name("reduction", reduction, ("mean", "sum"))
    valid, scores, labels = read_lists("weighted_ranknet_loss", where, scores=scores, labels=labels)
    total = rax.pairwise_logistic_loss(
        scores,
        labels,
        where=valid,
        lambdaweight_fn=None if pair_weight == "none" else inverse_rank_sum_lambdaweight,
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
    label_gain: Literal["exp2", "linear"] = "exp2",
    log_base: chex.Numeric = 2.0,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """LiPO-lambda: preference optimization over a list of answers, weighted as in LambdaRank.

    ``sum over y_i > y_j of Delta_ij softplus(-(s_i - s_j))``, with the scores
    ``s = beta (log pi - log pi_ref)`` and
    ``Delta_ij = |2^y_i - 2^y_j| |1 / log(1 + r_i) - 1 / log(1 + r_j)|``, ``r`` the rank by score, 1
    for the highest. ``Delta`` has no gradient.

    Args:
      log_probabilities: ``[batch, items]``, any float dtype, of each answer under the policy.
      labels: ``[batch, items]``, the quality of each answer, ``psi`` in the paper; rescale raw
        rewards, to [0, 4] for example: ``2^y`` overflows.
      beta: above 0; the paper tunes it.
      reference_log_probabilities: ``[batch, items]``, of each answer under the reference; it gets
        no gradient. None is all zeros: the first argument then is a score.
      label_gain: ``"linear"`` takes ``|y_i - y_j|`` in place of the powers of 2.
      log_base: above 1, of the logarithm in ``Delta``. Another base is one constant factor.
      where: bool ``[batch]`` or ``[batch, items]``; False does not count.

    Returns:
      float32 ``[batch]``. It is rax's pairwise logistic loss with `rax.dcg_lambdaweight`, without
      the list size by which rax multiplies.

    Raises:
      ValueError: a setting out of its range; shapes that do not fit.

    Source: Liu et al., LiPO, 2024, arXiv 2402.01878; certain but for the base of the logarithm.
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
    lambdaweight = functools.partial(
        rax.dcg_lambdaweight,
        gain_fn=jnp.exp2 if label_gain == "exp2" else jnp.asarray,
        discount_fn=lambda rank: jnp.log(jnp.float32(log_base)) / jnp.log1p(rank),
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
    """Plackett-Luce distillation (PLD): the student learns the teacher's order of the classes.

    ``sum_k q_k (logsumexp_{l >= k} s_l - s_k)``: the classes in the order label first, then by
    teacher logit downwards; ``s`` the student's logits, ``q = softmax(teacher / temperature)``.
    The first term is the softmax cross-entropy times ``q`` of the label. Convex in ``s``. The
    teacher gets no gradient.

    Args:
      student_logits: ``[..., classes]``, any float dtype.
      teacher_logits: ``[..., classes]``, any float dtype; ``-inf`` is a class that the teacher
        rules out, and where the student's is ``-inf``, too, it is as if masked.
      labels: ``[...]``, int. What is no class, `IGNORE_LABEL` for one, does not count.
      temperature: above 0, of the weights alone; infinity weighs every place alike (ListMLE over
        the number of classes).
      top_k: 1 or more; only the first ``top_k`` terms count. None takes all.
      where: bool, ``[..., classes]`` or its leading axes, such as ``[batch]``. A class that is
        False takes no part; where that is the label's, the example does not count.

    Returns:
      float32 ``[...]``, value 0 and gradient 0 for an example that does not count.

    Raises:
      ValueError: a setting out of its range; shapes that do not fit.

    Source: Bassam, Zhu, Bian, 2025, arXiv 2506.12542; likely: the weights are derived from the
    abstract and a summary, and the paper's temperature, here 1 (ours), is not known.
    """
    check_number("plackett_luce_distillation_loss", "temperature", temperature, "(0, inf]")
    check_number("plackett_luce_distillation_loss", "top_k", top_k, "[1, inf]")
    shape = jnp.shape(student_logits)
    check_shape("plackett_luce_distillation_loss", "teacher_logits", teacher_logits, shape)
    check_shape("plackett_luce_distillation_loss", "labels", labels, shape[:-1])
    is_label = jax.nn.one_hot(labels, shape[-1], dtype=bool)
    valid = valid_entries(where, shape)
    valid &= jnp.any(is_label & valid, axis=-1, keepdims=True)

    teacher = jnp.where(valid, jnp.asarray(teacher_logits, jnp.float32), 0)
    teacher = jax.lax.stop_gradient(teacher)
    weights = jax.nn.softmax(teacher / jnp.float32(temperature), where=valid)
    # The gradient of cumlogsumexp is NaN at -inf.
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
