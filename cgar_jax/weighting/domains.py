"""Weightings by the domain that an example comes from."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_number
from cgar_jax._core.masking import mean_one_softmax
from cgar_jax.weighting._transform import Extras, Term, stateful


class DomainWeights(NamedTuple):
    """What `doremi_domain_weighting` remembers of one loss term, float32 ``[num_domains]`` each.

    Attributes:
      weights: of the domains, summing to 1.
      average: of the weights over the updates so far: DoReMi's result, the mixture to train with.
      scores: the excess loss of each domain when it was last in a batch.
      seen: bool, whether it ever was.
    """

    weights: jax.Array
    average: jax.Array
    scores: jax.Array
    seen: jax.Array


def doremi_domain_weighting(
    num_domains: int,
    step_size: chex.Numeric = 1.0,
    smoothing: chex.Numeric = 1e-3,
    clip: chex.Numeric | None = 5.0,
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Weight each loss by its domain: more where the model lags furthest behind a reference.

    With ``x_k`` the mean of ``max(loss - reference, 0)`` over the losses of domain k,
    ``a_k <- (1 - c) a_k exp(s x_k) / sum_j a_j exp(s x_j) + c / K``, and ``w = K a_k``: ``s`` the
    ``step_size``, ``c`` the ``smoothing``, ``K`` the ``num_domains``. The losses are weighed with
    the weights that they have just changed.

    The state's ``terms`` hold a `DomainWeights` for each loss term; its ``average`` is the result:
    ``state.terms["answer"].average``, or ``state.terms.average`` where the losses are one array.

    Extra arguments of ``update``:
      reference_losses: of a model trained before, on the same examples; the losses' shape, or
        ``[batch]``.
      domain_ids: int in ``0 .. num_domains - 1``, the losses' shape or ``[batch]``.
      where: bool, the losses' shape or ``[batch]``; False gets weight 0 and is in no statistic.

    Args:
      num_domains: at least 1. A domain without a loss in the batch keeps the score it had; one that
        has never had a loss counts as average; a batch without any loss changes nothing.
      step_size: 0 or more, ``eta`` in the paper.
      smoothing: in [0, 1], ``c`` in the paper: the share that is spread evenly; 1 leaves the
        weights as they are.
      clip: above 0, how far a score may lie from the mean over domains; as in DataFlex. None does
        not clip, as in the paper. (Without a clip, taking the mean off the scores changes nothing.)
      axis_name: the mesh axis that the batch is spread over; for `jax.shard_map`.

    Returns:
      A transformation whose state holds the weights of the domains; it multiplies the weights it
      is given. Over domains the factors have mean 1; over a batch they do if it has as much of each
      domain, as in the paper.

    Raises:
      ValueError: a setting out of its range; at the first update (trace time), an extra argument
        that is missing or of another shape.

    Source: Xie et al., DoReMi, 2023, arXiv 2305.10429; certain. The clip is DataFlex's, certain
    (released code); it leaves the weight of an absent domain as it is, up to normalization.
    """
    name = "doremi_domain_weighting"
    check_number(name, "num_domains", num_domains, "[1, inf)")
    check_number(name, "step_size", step_size, "[0, inf)")
    check_number(name, "smoothing", smoothing, "[0, 1]")
    if clip is not None:
        check_number(name, "clip", clip, "(0, inf)")

    def init_term(loss: jax.Array) -> DomainWeights:
        del loss
        # Two arrays, not one twice: a state is donated, and no buffer can be donated twice.
        weights, average = (jnp.full(num_domains, 1 / num_domains, jnp.float32) for _ in range(2))
        zeros = jnp.zeros(num_domains, jnp.float32)
        return DomainWeights(weights, average, zeros, jnp.zeros(num_domains, bool))

    def weigh(term: Term, extras: Extras, memory: DomainWeights, count: jax.Array) -> tuple:
        reference = extras.per_loss("reference_losses", "of the reference model", term)
        domain = extras.per_loss("domain_ids", f"int in 0 .. {num_domains - 1}", term)
        excess = jnp.where(term.valid, jnp.maximum(term.losses - reference, 0), 0)
        scores, present = means_by_domain(excess, domain, term.valid, num_domains, axis_name)
        scores = jnp.where(present, scores, memory.scores)
        seen = memory.seen | present
        relative = _relative_weights(memory.weights, scores, seen, step_size, smoothing, clip)
        relative = jnp.where(present.any(), relative, num_domains * memory.weights)
        weights = relative / num_domains
        average = memory.average + (weights - memory.average) / (count + 1)
        return relative[domain], DomainWeights(weights, average, scores, seen)

    return stateful(name, init_term, weigh)


def means_by_domain(values, domain, valid, num_domains, axis_name):
    """Return the mean of each domain's values, and whether it has any."""
    totals, counts = (
        jax.ops.segment_sum(array.ravel().astype(jnp.float32), domain.ravel(), num_domains)
        for array in (values, valid)
    )
    if axis_name is not None:
        totals, counts = jax.lax.psum((totals, counts), axis_name)
    return totals / jnp.maximum(counts, 1), counts > 0


def _relative_weights(weights, scores, seen, step_size, smoothing, clip):
    """Return the new weights with mean 1: of equal weights and equal scores, ones exactly."""
    center = jnp.sum(jnp.where(seen, scores, 0)) / jnp.maximum(jnp.sum(seen), 1)
    scores = jnp.where(seen, scores - center, 0)
    if clip is not None:
        scores = jnp.clip(scores, -clip, clip)
    powers = jnp.log(weights) + jnp.asarray(step_size, jnp.float32) * scores
    share = jnp.asarray(smoothing, jnp.float32)
    return (1 - share) * mean_one_softmax(powers, jnp.ones_like(seen)) + share
