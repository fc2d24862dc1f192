"""Weights of domains that are learned from a validation loss, by first-order bilevel optimization.

>>> import jax.numpy as jnp
>>> import numpy as np
>>> from cgar_jax import weighting
>>> bilevel = weighting.first_order_bilevel_weighting(num_domains=2, learning_rate=0.5)
>>> losses, domain_ids = jnp.array([3.0, 1.0]), jnp.array([0, 1])
>>> weights, state = bilevel.update(
...     jnp.ones(2), bilevel.init(losses), losses, domain_ids=domain_ids,
...     shadow_losses=jnp.ones(2),
... )
>>> print(np.asarray(weights).round(2))
[0.76 1.24]

Weights of domains that are learned from a reference model are in `domains.py`.
"""

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_shape, static_number
from cgar_jax._core.ids import known_ids
from cgar_jax._core.masking import align, mean_one_softmax, valid_entries
from cgar_jax._core.ranges import check_number
from cgar_jax.weighting.base import Extras, Term, stateful
from cgar_jax.weighting.domains import means_by_domain


def bilevel_domain_gradient(
    logits: chex.Array,
    losses: chex.Array,
    shadow_losses: chex.Array,
    domain_ids: chex.Array,
    *,
    where: chex.Array | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Computes the gradient of the penalty of the bilevel problem with respect to domain logits.

    `d (L_tr(lam, w) - L_tr(lam, u)) / d lam_k = p_k (x_k - sum_j p_j x_j)`, where
    `p = softmax(lam)`, `x_k` is the mean of `loss - shadow_loss` over domain k, and `L_tr` is the
    mean of the domains' mean losses, weighted by `p`. A domain that is absent from the batch counts
    as average, so that its gradient is 0.

    Use it for a bilevel method of your own; `first_order_bilevel_weighting` descends this gradient.
    A step against the gradient lowers the logits of all domains whose `x_k` is above average. With
    two domains, the share `p_k` of such a domain falls. With more domains it may rise, at the
    expense of a domain with a larger share that is further above average.

    Args:
      logits: `lam`, float `[num_domains]`.
      losses: losses of the model `w`, float `[batch]` or `[batch, steps]`.
      shadow_losses: losses of the shadow model `u` on the same examples, float `[batch]` or the
        shape of the losses.
      domain_ids: int in [0, num_domains), `[batch]` or the shape of the losses; a loss with another
        id is excluded.
      where: mask, bool `[batch]` or the shape of the losses; masked losses are excluded.
      axis_name: mesh axis of the batch, for `jax.shard_map`.

    Returns:
      Gradient, float32 `[num_domains]`, whose sum is 0. No gradient flows through it.

    Raises:
      ValueError: if an array has another shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> gradient = weighting.bilevel_domain_gradient(
      ...     jnp.zeros(2), jnp.array([3.0, 1.0]), jnp.array([1.0, 1.0]), jnp.array([0, 1])
      ... )
      >>> print(gradient)
      [ 0.5 -0.5]

    Reference:
      Pan et al., 2024, "ScaleBiO: Scalable Bilevel Optimization for LLM Data Reweighting", arXiv
      2406.19976.
    """
    name = "bilevel_domain_gradient"
    check_shape(name, "logits", logits, ("num_domains",))
    shadow_losses = align(f"{name}: shadow_losses", shadow_losses, losses.shape)
    domain, known = known_ids(name, "domain_ids", domain_ids, jnp.shape(logits)[0])
    domain, known = (align(f"{name}: domain_ids", array, losses.shape) for array in (domain, known))
    valid = valid_entries(where, losses.shape) & known
    gaps = jnp.where(valid, losses.astype(jnp.float32) - shadow_losses.astype(jnp.float32), 0)
    gap, present = means_by_domain(gaps, domain, valid, jnp.shape(logits)[0], axis_name)
    logits = jnp.asarray(logits, jnp.float32)
    among_present = mean_one_softmax(logits, present) / jnp.maximum(present.sum(), 1)
    centered = jnp.where(present, gap - jnp.sum(among_present * gap), 0)
    return jax.lax.stop_gradient(jax.nn.softmax(logits) * centered)


def first_order_bilevel_weighting(
    num_domains: int,
    learning_rate: chex.Numeric,
    clip: chex.Numeric | None = 1.0,
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Weights each loss by its domain, with domain weights that a validation loss determines.

    `w_i = K p_k` for a loss of domain `k`, with `p = softmax(lam)`. The logits `lam` start at 0 and
    descend the penalty form of the bilevel problem, `min over lam and w, max over u, of
    L_val(w) + alpha (L_tr(lam, w) - L_tr(lam, u))`, without second derivatives:
    `lam <- lam - learning_rate * bilevel_domain_gradient`.

    Use it when training data comes from several domains and the target is a validation loss. The
    shadow model has parameters `u`, which start as a copy of the model's parameters `w`. In a
    training loop:

        def penalized(w):
            training, aux = weighting.weighted_mean(
                bilevel, example_losses(w, batch), state, domain_ids=batch["domain_ids"],
                shadow_losses=example_losses(u, batch),
            )
            return validation_loss(w) + alpha * training, aux

        def shadow_loss(u):
            return weighting.weighted_mean(
                bilevel, example_losses(u, batch), state, domain_ids=batch["domain_ids"]
            )[0]

        w_gradient, (state, info) = jax.grad(penalized, has_aux=True)(w)  # updates lam first
        u_gradient = jax.grad(shadow_loss)(u)  # with the new state

    An update with `shadow_losses` first moves the logits and then computes the weights; an update
    without them does not change the logits. The logits are `state.terms`, or, for example,
    `state.terms["answer"]` for losses that are a dictionary. If several mixtures of domains lead to
    the parameters with the best validation loss, the weights need not favor the domain of the
    validation loss.

    Args:
      num_domains: number `K` of domains, at least 1. The logit of a domain that is absent from the
        batch does not change. Name it in the `static_args` of `optax.inject_hyperparams`.
      learning_rate: learning rate of the logits, at least 0: the learning rate of the paper times
        its `alpha`. If `alpha` follows a schedule, this setting should follow it, too.
      clip: largest change of a logit in one update, above 0, or None. This setting is ours, because
        weights that one batch has moved to a single domain hardly recover.
      axis_name: mesh axis of the batch, for `jax.shard_map`.

    Extra arguments:
      - `domain_ids`: int in [0, num_domains), `[batch]` or the shape of the losses; a loss with
        another id gets weight 0 and is excluded from the gradient.
      - `shadow_losses`: losses of the shadow model on the same examples, float `[batch]` or the
        shape of the losses; optional. They belong to one loss term: use `optax.masked` with
        several.
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0 and are
        excluded from the gradient.

    Returns:
      A weighting whose state contains the logits of each loss term. The mean of its factors over
      domains is 1. Over the batch, the mean is 1, and the weighted mean is the paper's `L_tr`, if
      every domain has the same number of losses.

    Raises:
      ValueError: if a setting is out of range; at the first update (trace time), if an extra
        argument is missing or has another shape, or `shadow_losses` is passed with several loss
        terms.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from cgar_jax import weighting
      >>> bilevel = weighting.first_order_bilevel_weighting(num_domains=3, learning_rate=1.0)
      >>> losses, domain_ids = jnp.array([5.0, 1.0, 1.0]), jnp.arange(3)
      >>> _, state = bilevel.update(
      ...     jnp.ones(3), bilevel.init(losses), losses, domain_ids=domain_ids,
      ...     shadow_losses=jnp.ones(3),
      ... )
      >>> print(np.asarray(state.terms).round(2))
      [-0.89  0.44  0.44]

    Reference:
      Pan et al., 2024, "ScaleBiO: Scalable Bilevel Optimization for LLM Data Reweighting", arXiv
      2406.19976. The paper's `alpha` is unconfirmed. Its memory-saving training method (LISA) is
      not included.
    """
    name = "first_order_bilevel_weighting"
    num_domains = static_number(name, "num_domains", num_domains, "[1, inf)")
    check_number(name, "learning_rate", learning_rate, "[0, inf)")
    if clip is not None:
        check_number(name, "clip", clip, "(0, inf)")

    def weigh(term: Term, extras: Extras, logits: jax.Array, count: jax.Array) -> tuple:
        del count
        meaning = f"int in [0, {num_domains})"
        domain, known = extras.ids("domain_ids", meaning, num_domains, term)
        if "shadow_losses" in extras:
            meaning = "losses of the shadow model"
            shadow_losses = extras.of_one_term("shadow_losses", meaning, term)
            gradient = bilevel_domain_gradient(
                logits, term.losses, shadow_losses, domain, where=known, axis_name=axis_name
            )
            step = -jnp.asarray(learning_rate, jnp.float32) * gradient
            if clip is not None:
                largest = jnp.asarray(clip, jnp.float32)
                step = jnp.clip(step, -largest, largest)
            logits = logits + step
        relative = mean_one_softmax(logits, jnp.ones(num_domains, bool))
        return jnp.where(known, relative[domain], 0), logits

    return stateful(name, lambda loss: jnp.zeros(num_domains, jnp.float32), weigh)
