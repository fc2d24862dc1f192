"""Data order: in which order examples are trained on, and a score to order them by."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax.scores.gradient_norms import map_examples

# The norm of a gradient that is not taken to be zero.
_SMALLEST_NORM = 1e-8


def folding_order(scores: chex.Array, folds: int = 3, ascending: bool = True) -> jax.Array:
    """Order examples by score several times over, each time a part of them that spans all scores.

    Of the sorted examples, fold l holds those at the positions ``l, l + folds, l + 2 folds, ...``;
    the folds follow one another. So training goes from low to high ``folds`` times, no example is
    repeated, and all folds have about the same scores: the means of two folds of m examples each
    are at most ``(highest - lowest) / m`` apart.

    Args:
      scores: ``[n]``. Examples of equal score keep their order.
      folds: 1 or more, ``L`` in the paper; with 1, or with n and more, the order is sorted.
      ascending: from the lowest score to the highest; False is ours.

    Returns:
      int32 ``[n]``, a permutation of the examples' indices. Keep it in the checkpoint, or make it
      again from the same scores.

    Raises:
      ValueError: scores of another shape; less than one fold.

    Source: Dai et al., Data Efficacy for Language Model Training (DELT), 2025, arXiv 2506.21545;
    certain (released code). The three folds are ours.
    """
    scores = jnp.asarray(scores)
    check_shape("folding_order", "scores", scores, ("examples",))
    check_number("folding_order", "folds", folds, "[1, inf)")
    order = jnp.argsort(scores, stable=True, descending=not ascending)
    fold_of_position = np.arange(order.shape[0]) % folds
    return order[np.argsort(fold_of_position, kind="stable")]


def learnability_quality_score(
    loss_fn: Callable[[chex.ArrayTree, chex.ArrayTree], jax.Array],
    dev_loss_fn: Callable[[chex.ArrayTree], jax.Array],
    checkpoints: chex.ArrayTree,
    batches: chex.ArrayTree,
    examples: chex.ArrayTree,
    learning_rate: chex.Numeric,
    *,
    learnability: bool = True,
    chunk_size: int | None = None,
) -> jax.Array:
    """Score examples by how much training on them would have helped a small proxy run.

    The run was T steps of plain gradient descent, from ``theta_t`` to ``theta_(t+1)`` by the mean
    loss ``L_t`` of batch t. With ``g_t = grad loss(theta_t, example)`` ::

        score = sum over t of lr_t <c_(t+1), g_t> / ||g_(t+1)||
        c_t = c_(t+1) + grad L_dev(theta_t) - lr_t H_t c_(t+1),   c_T = grad L_dev(theta_T)

    The costates c carry back what a change of the parameters does to the held-out loss at all steps
    after it; ``H_t`` is the Hessian of ``L_t``, only ever applied to a vector. The score is

    - quality, ``lr_t <c_(t+1), g_t> / ||g_t||``: how well the example's direction serves the
      held-out loss. Not divided by the norm and summed over t, as with ``learnability=False``, it
      is exactly by how much ``sum over t of L_dev(theta_t)``, t = 0 .. T, falls for each unit of
      weight that the example's loss is given in all ``L_t``;
    - times learnability, ``||g_t|| / ||g_(t+1)||``: a gradient that shrinks has been learned from.

    To stack parameters: ``jax.tree.map(lambda *leaves: jnp.stack(leaves), *list_of_params)``.

    Args:
      loss_fn: ``(params, example) -> scalar``, twice differentiable.
      dev_loss_fn: ``params -> scalar``, the held-out loss.
      checkpoints: the parameters ``theta_0 .. theta_T``, float arrays ``[T + 1, ...]``.
      batches: what each step was trained on, examples ``[T, batch, ...]``.
      examples: those to score, ``[n, ...]``.
      learning_rate: of the run; a number, or float ``[T]``.
      learnability: False scores ``sum over t of lr_t <c_(t+1), g_t>``, the influence alone.
      chunk_size: how many gradients to hold in memory at once; None holds all of them.

    Returns:
      float32 ``[n]``; the higher, the better. `folding_order` takes it as it is.

    Raises:
      ValueError: not one batch for each step from one checkpoint to the next; a learning rate of
        another shape; a ``chunk_size`` less than 1.

    Source: Inspired by Learnability-Quality Scoring of Dai et al., Data Efficacy for Language Model
    Training (DELT), 2025, arXiv 2506.21545. The recursion and the ratio of norms are as read in the
    released code; that the paper's equation is the same is not confirmed. The code divides the last
    step by 1 for want of a later norm, where this takes that of the last checkpoint.
    """
    owner = "learnability_quality_score"
    checkpoints = optax.tree.cast(checkpoints, jnp.float32)
    steps = jax.tree.leaves(checkpoints)[0].shape[0] - 1
    if any(jnp.shape(batch)[0] != steps for batch in jax.tree.leaves(batches)):
        raise ValueError(
            f"{owner}: {steps + 1} checkpoints are {steps} steps, but the batches have shapes "
            f"{jax.tree.map(jnp.shape, batches)}; pass [{steps}, batch, ...]"
        )
    if jnp.ndim(learning_rate):
        check_shape(owner, "learning_rate", learning_rate, (steps,))
    rates = jnp.broadcast_to(jnp.asarray(learning_rate, jnp.float32), (steps,))

    def products_and_norms(params, costate):
        def one(example):
            gradient = jax.grad(loss_fn)(params, example)
            return optax.tree.vdot(costate, gradient), optax.tree.norm(gradient)

        return map_examples(owner, one, examples, chunk_size)

    def step_back(carry, step):
        costate, next_norms, scores = carry
        params, batch, rate = step
        products, norms = products_and_norms(params, costate)
        if learnability:
            products = products / jnp.maximum(next_norms, _SMALLEST_NORM)
        costate = jax.tree.map(
            lambda c, dev, curvature: c + dev - rate * curvature,
            costate,
            jax.grad(dev_loss_fn)(params),
            _hessian_product(loss_fn, params, batch, costate),
        )
        return (costate, norms, scores + rate * products), None

    last = jax.tree.map(lambda leaf: leaf[-1], checkpoints)
    earlier = jax.tree.map(lambda leaf: leaf[:-1], checkpoints)
    costate = jax.grad(dev_loss_fn)(last)
    _, norms = products_and_norms(last, costate)
    start = (costate, norms, jnp.zeros_like(norms))
    (_, _, scores), _ = jax.lax.scan(step_back, start, (earlier, batches, rates), reverse=True)
    return jax.lax.stop_gradient(scores)


def _hessian_product(loss_fn, params, batch, vector):
    """Return the Hessian of the batch's mean loss times ``vector``, a tree like ``params``."""

    def mean_loss(params):
        return jnp.mean(jax.vmap(loss_fn, (None, 0))(params, batch))

    return jax.jvp(jax.grad(mean_loss), (params,), (vector,))[1]
