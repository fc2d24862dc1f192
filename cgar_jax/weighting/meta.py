"""Weights from what a step on each example would do to the loss on a clean batch.

`meta_alignment` and `look_ahead_gradient` are the derivatives, pure functions that fit any training
loop; `meta_weighting` makes weights of the first.
"""

from collections.abc import Callable
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.masking import masked_mean, valid_entries
from cgar_jax._core.registry import check_name
from cgar_jax.weighting._transform import Extras, Term, stateful


def meta_alignment(
    per_example_loss_fn: Callable[..., jax.Array],
    params: chex.ArrayTree,
    clean_gradient: chex.ArrayTree,
    *batch: chex.ArrayTree,
    mode: Literal["forward", "reverse"] = "forward",
) -> jax.Array:
    """How much a step on each example helps a clean batch: inner products of gradients.

    ``e_i = <clean_gradient, grad l_i(params)>``. A gradient step of size eta on example i alone
    lowers the clean loss by ``eta e_i``, to first order.

    The clean gradient is ``jax.grad(clean_loss)(params)``; over several clean batches, sum the
    gradients: inner products are linear. Losses should be without dropout, or share its key with
    the clean loss. ``params`` may be a part of the parameters, the last layer for one, if the
    function closes over the others.

    Args:
      per_example_loss_fn: ``(params, *batch) -> losses``, unreduced, ``[batch]`` or
        ``[batch, steps]``.
      params: a pytree of float arrays.
      clean_gradient: in the structure and shapes of ``params``.
      *batch: arrays or pytrees of arrays, handed on; may be left out in forward mode, if the
        function closes over its batch.
      mode: ``"forward"`` takes one `jax.jvp`, at about the cost of two forward passes, without
        holding any example's gradient. ``"reverse"`` is ``jax.vmap(jax.grad)``, for models
        without forward-mode rules (`jax.custom_vjp` kernels): it calls the function on batches of
        one, whose losses have shape ``[1]``, and holds the gradients of all examples.

    Returns:
      float32, the shape of the losses.

    Raises:
      ValueError: an unknown ``mode``; a clean gradient of another structure or other shapes;
        reverse mode without ``batch``.

    Source: Ren et al., Learning to Reweight Examples for Robust Deep Learning, 2018, arXiv
    1803.09050; certain. That it is one forward-mode derivative is ours.
    """
    check_name("mode", mode, ("forward", "reverse"))
    if jax.tree.map(jnp.shape, clean_gradient) != jax.tree.map(jnp.shape, params):
        raise ValueError(
            f"meta_alignment: clean_gradient has shapes {jax.tree.map(jnp.shape, clean_gradient)}, "
            f"but params has {jax.tree.map(jnp.shape, params)}; pass jax.grad(clean_loss)(params)"
        )
    if mode == "forward":
        direction = jax.tree.map(lambda g, p: jnp.asarray(g, p.dtype), clean_gradient, params)
        _, alignment = jax.jvp(lambda p: per_example_loss_fn(p, *batch), (params,), (direction,))
        return alignment.astype(jnp.float32)
    if not batch:
        raise ValueError(
            "meta_alignment: mode 'reverse' takes the examples one by one; pass the batch after "
            "clean_gradient, as what per_example_loss_fn takes after params"
        )

    def align_one(*example):
        one = jax.tree.map(lambda column: column[None], example)
        gradient = jax.grad(lambda p: per_example_loss_fn(p, *one)[0])(params)
        return optax.tree.vdot(
            optax.tree.cast(gradient, jnp.float32), optax.tree.cast(clean_gradient, jnp.float32)
        )

    return jax.vmap(align_one)(*batch)


def look_ahead_gradient(
    per_example_loss_fn: Callable[..., jax.Array],
    params: chex.ArrayTree,
    weights: chex.Array,
    meta_loss_fn: Callable[[chex.ArrayTree], jax.Array],
    learning_rate: chex.Numeric,
    *batch: chex.ArrayTree,
    where: chex.Array | None = None,
    mode: Literal["forward", "reverse"] = "forward",
) -> jax.Array:
    """The derivative, by each example's weight, of a meta loss after one step of weighted descent.

    ``d L_meta(theta') / d w_i = -lr <grad l_i(theta), grad L_meta(theta')> / n``, where
    ``theta' = theta - lr grad mean_i(w_i l_i(theta))`` over the ``n`` losses that count. Weights
    enter the step linearly, so this is exact, and needs no second derivative.

    Args:
      per_example_loss_fn: as in `meta_alignment`; of other weightings that are in a chain with the
        one that learns, it should hold the factors.
      params: theta, a pytree of float arrays.
      weights: the shape of the losses.
      meta_loss_fn: ``params -> scalar``, on a clean batch, or on one that `draw_meta_batch` drew.
      learning_rate: of the look-ahead, ``lr``.
      *batch: as in `meta_alignment`.
      where: bool, the losses' shape or ``[batch]``; False is in no step.
      mode: as in `meta_alignment`.

    Returns:
      float32, the shape of the losses; 0 where masked.

    Raises:
      ValueError: weights or ``where`` of another shape than the losses; as `meta_alignment`.

    Source: Ren et al., 2018, arXiv 1803.09050, at weights that need not be zero; certain.
    """

    def step_loss(params):
        losses = per_example_loss_fn(params, *batch)
        check_shape("look_ahead_gradient", "weights", weights, losses.shape)
        valid = valid_entries(where, losses.shape)
        # A masked weight may be NaN, and multiplies the losses' gradient.
        return masked_mean(jnp.where(valid, weights, 0) * losses, valid), valid

    rate = jnp.asarray(learning_rate, jnp.float32)
    gradient, valid = jax.grad(step_loss, has_aux=True)(params)
    ahead = jax.tree.map(lambda p, g: (p - rate * g).astype(p.dtype), params, gradient)
    meta_gradient = jax.grad(meta_loss_fn)(ahead)
    alignment = meta_alignment(per_example_loss_fn, params, meta_gradient, *batch, mode=mode)
    return jnp.where(valid, -rate * alignment / jnp.maximum(valid.sum(), 1), 0)


def meta_weighting(
    fallback: Literal["uniform", "zero"] = "uniform",
    ema_decay: chex.Numeric | None = None,
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Weight each loss by how much a step on it lowers the loss on a clean batch.

    ``w_i = n max(e_i, 0) / sum_j max(e_j, 0)``, mean 1 over the n losses that count, with ``e`` the
    `meta_alignment`: an example whose gradient opposes the clean one weighs nothing. In a loop::

        clean_gradient = jax.grad(clean_loss)(params)
        alignment = weighting.meta_alignment(example_losses, params, clean_gradient, batch)
        weights, state = weigh.update(weights, state, losses, alignment=alignment)

    Extra arguments of ``update``:
      alignment: `meta_alignment`, the losses' shape or ``[batch]``; any positive multiple of it
        gives the same weights.
      where: bool, the losses' shape or ``[batch]``; False gets weight 0 and is in no statistic.

    Args:
      fallback: what a batch without a positive alignment gets: ``"uniform"``, the weights as they
        are, or ``"zero"`` (Ren et al., and LiST, where a 1e-6 in the denominator does it).
      ema_decay: in [0, 1): divide by a debiased moving average of the batches' mean
        ``max(e, 0)`` in place of this batch's own; then a batch that helps little counts little,
        and the mean is 1 only over time. Ours. None takes each batch by itself.
      axis_name: the mesh axis that the batch is spread over; for `jax.shard_map`.

    Returns:
      A transformation whose state counts its updates, and holds the moving average if there is
      one; it multiplies the weights it is given.

    Raises:
      ValueError: a setting out of its range; at the first update (trace time), an ``alignment``
        that is missing or of another shape.

    Source: Wang et al., LiST, 2021, arXiv 2110.06274, and the rule it takes from Ren et al., 2018,
    arXiv 1803.09050; certain (released code). LiST's weights sum to 1, these to n.
    """
    name = "meta_weighting"
    check_name("fallback", fallback, ("uniform", "zero"))
    average = None
    if ema_decay is not None:
        check_number(name, "ema_decay", ema_decay, "[0, 1)")
        average = optax.ema(jnp.asarray(ema_decay, jnp.float32))

    def init_term(loss: jax.Array) -> Any:
        del loss
        return () if average is None else average.init(jnp.zeros([], jnp.float32))

    def weigh(term: Term, extras: Extras, memory: Any, count: jax.Array) -> tuple:
        del count
        alignment = extras.per_loss("alignment", "from weighting.meta_alignment", term)
        helpful = jnp.maximum(alignment.astype(jnp.float32), 0)
        scale = masked_mean(helpful, term.valid, axis_name=axis_name)
        some = scale > 0
        if average is not None:
            seen = masked_mean(jnp.ones_like(helpful), term.valid, axis_name=axis_name) > 0
            scale, updated = average.update(scale, memory)
            memory = jax.tree.map(lambda new, old: jnp.where(seen, new, old), updated, memory)
        otherwise = {"uniform": 1, "zero": 0}[fallback]
        return jnp.where(some, helpful / jnp.where(some, scale, 1), otherwise), memory

    return stateful(name, init_term, weigh)
