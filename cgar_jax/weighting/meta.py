"""Weights from the effect of a step on each example on another loss.

>>> import jax
>>> import jax.numpy as jnp
>>> from cgar_jax import weighting
>>> def example_losses(params, targets):
...     return jnp.square(params - targets)
>>> params, targets = jnp.float32(0), jnp.array([1.0, 3.0, -1.0])
>>> clean_gradient = jax.grad(lambda p: example_losses(p, 2.0))(params)
>>> alignment = weighting.meta_alignment(example_losses, params, clean_gradient, targets)
>>> meta, losses = weighting.meta_weighting(), example_losses(params, targets)
>>> print(meta.update(jnp.ones(3), meta.init(losses), losses, alignment=alignment)[0])
[0.75 2.25 0.  ]

`meta_alignment` and `look_ahead_gradient` are pure functions that compute the derivatives in any
training loop. `meta_weighting` turns alignments into weights.
"""

from collections.abc import Callable
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import masked_mean, valid_entries
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name
from cgar_jax.weighting.base import Extras, Term, stateful


def meta_alignment(
    per_example_loss_fn: Callable[..., jax.Array],
    params: chex.ArrayTree,
    clean_gradient: chex.ArrayTree,
    *batch: chex.ArrayTree,
    mode: Literal["forward", "reverse"] = "forward",
) -> jax.Array:
    """Computes the inner product of each example's gradient with the gradient of a clean loss.

    `e_i = <clean_gradient, grad l_i(params)>`. To first order, a gradient step of size `eta` on
    example `i` lowers the clean loss by `eta e_i`.

    Use it to compute the extra argument of `meta_weighting`. The clean gradient is
    `jax.grad(clean_loss)(params)`; for several clean batches, pass the sum of their gradients. Use
    no dropout, or the same dropout key in both losses. `params` may be a part of the parameters,
    such as the last layer, if `per_example_loss_fn` closes over the rest.

    Args:
      per_example_loss_fn: function `(params, *batch) -> losses`, unreduced, float `[batch]` or
        `[batch, steps]`.
      params: pytree of float arrays.
      clean_gradient: gradient of the clean loss, with the structure and shapes of `params`.
      *batch: arrays, or pytrees of arrays, that `per_example_loss_fn` takes; optional in forward
        mode, if the function closes over its batch.
      mode: `"forward"` uses one `jax.jvp`, at the cost of about two forward passes and without
        storing a gradient per example. `"reverse"` is `jax.vmap(jax.grad)`, for models without
        forward-mode rules (`jax.custom_vjp` kernels). It calls the function on batches of one,
        whose losses have shape [1], and stores the gradients of all examples.

    Returns:
      Alignments, float32, with the shape of the losses.

    Raises:
      ValueError: if the mode is unknown, the clean gradient has another structure or other shapes,
        or `batch` is missing in reverse mode.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> def example_losses(params, inputs, labels):
      ...     return jnp.square(inputs @ params - labels)
      >>> params, inputs = jnp.zeros(2), jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> labels, clean_gradient = jnp.array([1.0, 1.0]), jnp.array([-1.0, 0.5])
      >>> print(weighting.meta_alignment(example_losses, params, clean_gradient, inputs, labels))
      [ 2. -1.]

    Reference:
      Ren et al., 2018, "Learning to Reweight Examples for Robust Deep Learning", arXiv 1803.09050.
      The computation by one forward-mode derivative is ours.
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
            "meta_alignment: mode 'reverse' needs the examples one by one, but no batch is given; "
            "pass the batch after clean_gradient, with the arrays that per_example_loss_fn takes "
            "after params"
        )

    def align_one(*example):
        one = jax.tree.map(lambda column: column[None], example)
        gradient = jax.grad(lambda p: per_example_loss_fn(p, *one)[0])(params)
        gradients = (optax.tree.cast(tree, jnp.float32) for tree in (gradient, clean_gradient))
        return jnp.asarray(optax.tree.vdot(*gradients))

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
    """Computes the gradient, by each example's weight, of a meta loss after one weighted step.

    `d L_meta(theta') / d w_i = -lr <grad l_i(theta), grad L_meta(theta')> / n`, where
    `theta' = theta - lr grad mean_i(w_i l_i(theta))` and the mean is over the `n` valid losses. As
    the step is linear in the weights, the formula is exact and needs no second derivatives.

    Use it for weightings that learn, such as `cgar_jax.contrib.self_taught_weighting`.

    Args:
      per_example_loss_fn: function `(params, *batch) -> losses`, as in `meta_alignment`. If the
        weighting that learns is in a chain, the losses should include the factors of the others.
      params: `theta`, a pytree of float arrays.
      weights: weights of the losses, float of their shape.
      meta_loss_fn: function `params -> scalar`, the loss on a clean batch, or on a batch that
        `cgar_jax.contrib.draw_meta_batch` has drawn.
      learning_rate: learning rate `lr` of the look-ahead step.
      *batch: arrays, or pytrees of arrays, that `per_example_loss_fn` takes, as in
        `meta_alignment`.
      where: mask, bool `[batch]` or the shape of the losses; masked losses are not part of the
        step.
      mode: `"forward"` or `"reverse"`, as in `meta_alignment`.

    Returns:
      Gradient, float32, with the shape of the losses; 0 where masked.

    Raises:
      ValueError: if the weights or `where` do not have the shape of the losses, or `meta_alignment`
        raises an error.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> def example_losses(params, targets):
      ...     return jnp.square(params - targets)
      >>> meta_loss_fn = lambda params: example_losses(params, 1.0)
      >>> print(weighting.look_ahead_gradient(
      ...     example_losses, jnp.float32(0), jnp.ones(2), meta_loss_fn, 0.1, jnp.array([1.0, -1.0])
      ... ))
      [-0.2  0.2]

    Reference:
      Ren et al., 2018, "Learning to Reweight Examples for Robust Deep Learning", arXiv 1803.09050,
      generalized to weights other than zero.
    """

    def step_loss(params):
        losses = per_example_loss_fn(params, *batch)
        check_shape("look_ahead_gradient", "weights", weights, losses.shape)
        valid = valid_entries(where, losses.shape)
        # A masked weight may be NaN and must not multiply the gradient of the losses.
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
    """Weights each loss by how much a gradient step on it lowers the loss on clean data.

    `w_i = n max(e_i, 0) / sum_j max(e_j, 0)`, with mean 1 over the `n` valid losses, where `e` is
    the `meta_alignment`: an example whose gradient opposes the clean gradient has weight 0.

    Use it when much data is noisy and a little clean data is available. In a training loop:

        clean_gradient = jax.grad(clean_loss)(params)
        alignment = weighting.meta_alignment(example_losses, params, clean_gradient, batch)
        weights, state = meta.update(weights, state, losses, alignment=alignment)

    Args:
      fallback: weights of a batch without a positive alignment: `"uniform"` leaves them unchanged,
        `"zero"` sets them to 0 (as Ren et al. do, and LiST through a 1e-6 in the denominator).
      ema_decay: decay, in [0, 1), of a bias-corrected moving average over batches, which replaces
        the current batch's mean of `max(e, 0)`; None uses the current batch. With the average, a
        batch that helps little counts little, and the mean weight is 1 only over time. This setting
        is ours.
      axis_name: mesh axis of the batch, for `jax.shard_map`.

    Extra arguments:
      - `alignment`: result of `meta_alignment`, or a positive multiple of it, float `[batch]` or
        the shape of the losses.
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0 and are
        excluded from the mean.

    Returns:
      A weighting that counts its updates and, with `ema_decay`, has a moving average for each loss
      term.

    Raises:
      ValueError: if a setting is out of range; at the first update (trace time), if `alignment` is
        missing or has another shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> meta, losses = weighting.meta_weighting(), jnp.ones(3)
      >>> alignment = jnp.array([2.0, -1.0, 4.0])
      >>> print(meta.update(jnp.ones(3), meta.init(losses), losses, alignment=alignment)[0])
      [1. 0. 2.]

    Reference:
      Wang et al., 2021, "LiST: Lite Prompted Self-training Makes Parameter-Efficient Few-shot
      Learners", arXiv 2110.06274, following the released code, with the rule of Ren et al., 2018,
      arXiv 1803.09050. The weights of LiST sum to 1 instead of n.
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
        meaning = "the result of weighting.meta_alignment"
        alignment = extras.per_loss("alignment", meaning, term)
        helpful = jnp.maximum(alignment.astype(jnp.float32), 0)
        scale = masked_mean(helpful, term.valid, axis_name=axis_name)
        any_helpful = scale > 0
        if average is not None:
            any_valid = masked_mean(jnp.ones_like(helpful), term.valid, axis_name=axis_name) > 0
            averaged, updated = average.update(scale, memory)
            scale = jnp.asarray(averaged)
            memory = jax.tree.map(lambda new, old: jnp.where(any_valid, new, old), updated, memory)
        without_help = {"uniform": 1, "zero": 0}[fallback]
        factor = helpful / jnp.where(any_helpful, scale, 1)
        return jnp.where(any_helpful, factor, without_help), memory

    return stateful(name, init_term, weigh)
