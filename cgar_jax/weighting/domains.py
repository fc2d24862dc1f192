"""Weights of domains that follow the excess loss over a reference model.

>>> import jax.numpy as jnp
>>> import numpy as np
>>> from cgar_jax import weighting
>>> doremi = weighting.doremi_domain_weighting(num_domains=2)
>>> losses = jnp.array([3.0, 1.0])
>>> weights, _ = doremi.update(
...     jnp.ones(2), doremi.init(losses), losses,
...     reference_losses=jnp.ones(2), domain_ids=jnp.array([0, 1]),
... )
>>> print(np.asarray(weights).round(2))
[1.76 0.24]

Weights of domains that are learned from a validation loss are in `bilevel.py`. Samplers that change
how often a domain is drawn are in `cgar_jax.sampling`.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import static_number
from cgar_jax._core.masking import mean_one_softmax
from cgar_jax._core.ranges import check_number
from cgar_jax.weighting.base import Extras, Term, stateful


class DomainWeights(NamedTuple):
    """Memory of `doremi_domain_weighting` for one loss term.

    Attributes:
      weights: weights of the domains, which sum to 1, float32 `[num_domains]`.
      average: average of the weights over all updates, float32 `[num_domains]`. It is the result of
        DoReMi: the mixture to train with.
      scores: excess loss of each domain in the last batch that contained it, float32
        `[num_domains]`.
      seen: whether any batch contained the domain, bool `[num_domains]`.
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
    """Weights each loss by its domain: more where the model is further behind a reference model.

    `w = K a_k` for a loss of domain `k`, and
    `a_k <- (1 - c) a_k exp(s x_k) / sum_j a_j exp(s x_j) + c / K`, where `x_k` is the mean of
    `max(loss - reference, 0)` over domain `k`, `s` is `step_size`, `c` is `smoothing` and `K` is
    `num_domains`. An update first changes the domain weights and then applies them.

    Use it with a small model to find the mixture of domains for the training of a large one. The
    result is the average of the domain weights: `state.terms.average`, or, for example,
    `state.terms["answer"].average` for losses that are a dictionary.

    Args:
      num_domains: number of domains, at least 1. A domain that is absent from the batch keeps its
        score, a domain that has never been present counts as average, and a batch without valid
        losses changes nothing. Name it in the `static_args` of `optax.inject_hyperparams`.
      step_size: rate of change of the domain weights, at least 0 (`eta` in the paper).
      smoothing: share of the weights that is uniform, in [0, 1] (`c` in the paper); 1 leaves the
        weights unchanged.
      clip: largest distance of a score from the mean over domains, above 0, as in DataFlex. None
        does not clip, as in the paper. (Subtracting the mean has no effect without the clip.)
      axis_name: mesh axis of the batch, for `jax.shard_map`.

    Extra arguments:
      - `reference_losses`: losses of a previously trained reference model on the same examples,
        float `[batch]` or the shape of the losses.
      - `domain_ids`: int in [0, num_domains), `[batch]` or the shape of the losses; a loss with
        another id gets weight 0 and is excluded from the scores.
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0 and are
        excluded from the scores.

    Returns:
      A weighting with a `DomainWeights` for each loss term. The mean of its factors over domains
      is 1. As in the paper, the mean over the batch is 1 if every domain has the same number of
      losses.

    Raises:
      ValueError: if a setting is out of range; at the first update (trace time), if an extra
        argument is missing or has another shape.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from cgar_jax import weighting
      >>> doremi = weighting.doremi_domain_weighting(num_domains=2, step_size=0.5)
      >>> losses, domain_ids = jnp.array([3.0, 1.0]), jnp.array([0, 1])
      >>> _, state = doremi.update(
      ...     jnp.ones(2), doremi.init(losses), losses, reference_losses=jnp.ones(2),
      ...     domain_ids=domain_ids,
      ... )
      >>> print(np.asarray(state.terms.average).round(3))
      [0.731 0.269]

    Reference:
      Xie et al., 2023, "DoReMi: Optimizing Data Mixtures Speeds Up Language Model Pretraining",
      arXiv 2305.10429. The clip follows the released code of DataFlex, where it keeps the weight of
      an absent domain constant up to normalization.
    """
    name = "doremi_domain_weighting"
    num_domains = static_number(name, "num_domains", num_domains, "[1, inf)")
    check_number(name, "step_size", step_size, "[0, inf)")
    check_number(name, "smoothing", smoothing, "[0, 1]")
    if clip is not None:
        check_number(name, "clip", clip, "(0, inf)")

    def init_term(loss: jax.Array) -> DomainWeights:
        del loss
        # Two arrays instead of one used twice: a donated state must not repeat a buffer.
        weights, average = (jnp.full(num_domains, 1 / num_domains, jnp.float32) for _ in range(2))
        zeros = jnp.zeros(num_domains, jnp.float32)
        return DomainWeights(weights, average, zeros, jnp.zeros(num_domains, bool))

    def weigh(term: Term, extras: Extras, memory: DomainWeights, count: jax.Array) -> tuple:
        meaning = "losses of the reference model, float [batch]"
        reference = extras.per_loss("reference_losses", meaning, term)
        meaning = f"int in [0, {num_domains})"
        domain, known = extras.ids("domain_ids", meaning, num_domains, term)
        excess = jnp.where(known, jnp.maximum(term.losses - reference, 0), 0)
        scores, present = means_by_domain(excess, domain, known, num_domains, axis_name)
        scores = jnp.where(present, scores, memory.scores)
        seen = memory.seen | present
        relative = _relative_weights(memory.weights, scores, seen, step_size, smoothing, clip)
        relative = jnp.where(present.any(), relative, num_domains * memory.weights)
        weights = relative / num_domains
        average = memory.average + (weights - memory.average) / (count + 1)
        weight = jnp.where(known, relative[domain], 0)
        return weight, DomainWeights(weights, average, scores, seen)

    return stateful(name, init_term, weigh)


def means_by_domain(values, domain, valid, num_domains, axis_name):
    """Computes the mean of each domain's values.

    Args:
      values: values to average, float `[batch]` or `[batch, steps]`.
      domain: domain of each value, int in [0, num_domains), the shape of `values`.
      valid: mask, bool, the shape of `values`.
      num_domains: number of domains.
      axis_name: mesh axis of the batch, or None.

    Returns:
      Means, float32 `[num_domains]`, 0 for absent domains, and whether each domain is present, bool
      `[num_domains]`.
    """
    totals, counts = (
        jax.ops.segment_sum(array.ravel().astype(jnp.float32), domain.ravel(), num_domains)
        for array in (values, valid)
    )
    if axis_name is not None:
        totals, counts = jax.lax.psum((totals, counts), axis_name)
    return totals / jnp.maximum(counts, 1), counts > 0


def _relative_weights(weights, scores, seen, step_size, smoothing, clip):
    """Returns the new weights with mean 1; exactly ones for equal weights and equal scores."""
    center = jnp.sum(jnp.where(seen, scores, 0)) / jnp.maximum(jnp.sum(seen), 1)
    scores = jnp.where(seen, scores - center, 0)
    if clip is not None:
        scores = jnp.clip(scores, -clip, clip)
    powers = jnp.log(weights) + jnp.asarray(step_size, jnp.float32) * scores
    share = jnp.asarray(smoothing, jnp.float32)
    return (1 - share) * mean_one_softmax(powers, jnp.ones_like(seen)) + share
