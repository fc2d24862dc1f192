"""Weights of domains learned from a validation loss, by first-order bilevel optimization."""

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.masking import align, mean_one_softmax, valid_entries
from cgar_jax.weighting._transform import Extras, Term, stateful
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
    """The gradient by the domains' logits of how much the model loses on its shadow.

    ``d (L_tr(lam, w) - L_tr(lam, u)) / d lam_k = p_k (x_k - sum_j p_j x_j)``, ``p = softmax(lam)``,
    ``x_k`` the mean of ``loss - shadow_loss`` over domain k, ``L_tr`` the means by domain weighed
    by ``p``. A domain that is not in the batch counts as average: its gradient is 0.

    A step against the gradient lowers the logit of each domain whose ``x_k`` is above the average.
    Its share ``p_k`` falls with two domains; with more it may rise, at the cost of a domain that is
    further above and has a larger share.

    Args:
      logits: ``lam``, ``[num_domains]``.
      losses: of the model ``w``, ``[batch]`` or ``[batch, steps]``.
      shadow_losses: of the shadow ``u`` on the same examples; the losses' shape or ``[batch]``.
      domain_ids: int in ``0 .. num_domains - 1``, the losses' shape or ``[batch]``.
      where: bool, the losses' shape or ``[batch]``; False does not count.
      axis_name: the mesh axis that the batch is spread over; for `jax.shard_map`.

    Returns:
      float32 ``[num_domains]``; it sums to 0. No gradient flows through it.

    Raises:
      ValueError: an array of another shape.

    Source: Pan et al., ScaleBiO, 2024, arXiv 2406.19976; certain.
    """
    name = "bilevel_domain_gradient"
    check_shape(name, "logits", logits, ("num_domains",))
    shadow_losses = align(f"{name}: shadow_losses", shadow_losses, losses.shape)
    domain = align(f"{name}: domain_ids", domain_ids, losses.shape)
    valid = valid_entries(where, losses.shape)
    gaps = jnp.where(valid, losses.astype(jnp.float32) - shadow_losses.astype(jnp.float32), 0)
    gap, present = means_by_domain(gaps, domain, valid, len(logits), axis_name)
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
    """Weight each loss by its domain, as suits a validation loss: the weights are learned.

    ``w_i = K p_k`` for a loss of domain k, ``p = softmax(lam)``. The logits ``lam`` start at 0, all
    domains alike, and descend the penalty form of the bilevel problem, ``min over lam and w, max
    over u, of L_val(w) + alpha (L_tr(lam, w) - L_tr(lam, u))``, without second derivatives:
    ``lam <- lam - learning_rate bilevel_domain_gradient``. The shadow ``u``, a second set of
    parameters, starts as a copy of the model's, ``w``. In a loop::

        def penalized(w):
            training, aux = weighting.weighted_mean(
                weigh, example_losses(w, batch), state, domain_ids=batch["domain_ids"],
                shadow_losses=example_losses(u, batch),
            )
            return validation_loss(w) + alpha * training, aux

        def shadowed(u):
            losses = example_losses(u, batch)
            return weighting.weighted_mean(weigh, losses, state, domain_ids=batch["domain_ids"])[0]

        w_gradient, (state, _) = jax.grad(penalized, has_aux=True)(w)  # lam steps, then w
        u_gradient = jax.grad(shadowed)(u)  # with the state that has just been returned

    Where the training loss of another mixture has the same best parameters as the validation loss,
    nothing tells the two apart, and the weights need not favor the domain of the validation loss.

    An update with ``shadow_losses`` moves the logits and weighs with what they have become; one
    without weighs, and leaves them. The state's ``terms`` are the logits: ``state.terms``, or
    ``state.terms["answer"]`` for losses that are a dict.

    Extra arguments of ``update``:
      domain_ids: int in ``0 .. num_domains - 1``, the losses' shape or ``[batch]``.
      shadow_losses: of the shadow on the same examples, the losses' shape or ``[batch]``; may be
        left out. They belong to one loss term: with several, use `optax.masked`.
      where: bool, the losses' shape or ``[batch]``; False gets weight 0 and is in no statistic.

    Args:
      num_domains: ``K``, at least 1; a domain without a loss in the batch keeps its logit. Name it
        among the ``static_args`` of `optax.inject_hyperparams`.
      learning_rate: 0 or more, of the logits: the paper's, times its ``alpha``. If ``alpha``
        follows a schedule, so should this.
      clip: above 0, how far one update may move a logit; ours: a softmax that a single batch has
        driven to one domain hardly ever leaves it. None does not clip.
      axis_name: the mesh axis that the batch is spread over; for `jax.shard_map`.

    Returns:
      A transformation whose state holds the logits; it multiplies the weights it is given. Over
      domains the factors have mean 1; over a batch they do if it has as much of each domain, and
      only then is the weighted mean the ``L_tr`` of the paper.

    Raises:
      ValueError: a setting out of its range; at the first update (trace time), an extra argument
        that is missing or of another shape, or ``shadow_losses`` with several loss terms.

    Source: Pan et al., ScaleBiO, 2024, arXiv 2406.19976. The penalty form is certain; the paper's
    ``alpha`` is not confirmed, and its memory saving (LISA) is not part of this.
    """
    name = "first_order_bilevel_weighting"
    check_number(name, "num_domains", num_domains, "[1, inf)")
    check_number(name, "learning_rate", learning_rate, "[0, inf)")
    if clip is not None:
        check_number(name, "clip", clip, "(0, inf)")

    def weigh(term: Term, extras: Extras, logits: jax.Array, count: jax.Array) -> tuple:
        del count
        domain = extras.per_loss("domain_ids", f"int in 0 .. {num_domains - 1}", term)
        if "shadow_losses" in extras:
            shadow_losses = extras.of_one_term("shadow_losses", "of the shadow", term)
            gradient = bilevel_domain_gradient(
                logits, term.losses, shadow_losses, domain, where=term.valid, axis_name=axis_name
            )
            step = -jnp.asarray(learning_rate, jnp.float32) * gradient
            logits = logits + (step if clip is None else jnp.clip(step, -clip, clip))
        return mean_one_softmax(logits, jnp.ones(num_domains, bool))[domain], logits

    return stateful(name, lambda loss: jnp.zeros(num_domains, jnp.float32), weigh)
