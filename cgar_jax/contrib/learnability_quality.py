"""A score of how much training on each example would have helped a small proxy run.

>>> import jax.numpy as jnp
>>> from cgar_jax import contrib
>>> run = contrib.ProxyRun(jnp.array([0.0, 0.2]), jnp.array([[1.0]]), learning_rate=0.1)
>>> score = contrib.learnability_quality_score(
...     lambda params, example: (params - example) ** 2, lambda params: (params - 1) ** 2, run,
...     jnp.array([1.0, -1.0]))
>>> [round(float(value), 2) for value in score]
[0.2, -0.13]

Scores whose formula is confirmed are in `cgar_jax.scores`.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_shape
from cgar_jax._core.examples import map_examples
from cgar_jax._core.vectors import tree_length

# Smaller gradient norms are treated as this value, so that no quotient overflows.
_SMALLEST_NORM = 1e-8


class ProxyRun(NamedTuple):
    """A small training run of T steps of gradient descent, from which examples are scored.

    Attributes:
      checkpoints: parameters before each step and after the last, a pytree of float arrays
        `[T + 1, ...]`. To stack a list of them:
        `jax.tree.map(lambda *leaves: jnp.stack(leaves), *list_of_params)`.
      batches: examples of each step, a pytree of arrays `[T, batch, ...]`.
      learning_rate: learning rate of the run, a number or float `[T]`.
    """

    checkpoints: chex.ArrayTree
    batches: chex.ArrayTree
    learning_rate: chex.Numeric


def learnability_quality_score(
    loss_fn: Callable[[chex.ArrayTree, chex.ArrayTree], jax.Array],
    dev_loss_fn: Callable[[chex.ArrayTree], jax.Array],
    run: ProxyRun,
    examples: chex.ArrayTree,
    *,
    learnability: bool = True,
    chunk_size: int | None = None,
) -> jax.Array:
    """Returns how much training on each example would have helped a small proxy run.

    The run consists of T steps of plain gradient descent, from `theta_t` to `theta_(t+1)` by the
    mean loss `L_t` of batch t. With `g_t = grad loss(theta_t, example)`,

        score = sum over t of lr_t <c_(t+1), g_t> / ||g_(t+1)||
        c_t = c_(t+1) + grad L_dev(theta_t) - lr_t H_t c_(t+1),   c_T = grad L_dev(theta_T)

    The costates c carry back how a change of the parameters affects the held-out loss at all later
    steps; `H_t` is the Hessian of `L_t`, which is only ever multiplied by a vector. The score is
    the product of

    - quality, `lr_t <c_(t+1), g_t> / ||g_t||`: how well the example's direction serves the held-out
      loss. Without the norm, and summed over t (`learnability=False`), this is exactly how much
      `sum over t of L_dev(theta_t)`, t = 0 .. T, falls per unit of weight that the example's loss
      is given in all `L_t`;
    - learnability, `||g_t|| / ||g_(t+1)||`: a gradient that shrinks has been learned from.

    Use it to order data, for example with `cgar_jax.sampling.folding_order`.

    Args:
      loss_fn: function `(params, example) -> scalar`, twice differentiable.
      dev_loss_fn: function `params -> scalar`, the held-out loss.
      run: checkpoints, batches and learning rate of the proxy run.
      examples: examples to score, a pytree of arrays `[n, ...]`.
      learnability: whether to multiply by the learnability. With False, the score is the influence
        only, `sum over t of lr_t <c_(t+1), g_t>`.
      chunk_size: number of gradients to hold in memory at once; None holds all of them.

    Returns:
      The score of each example, float32 `[n]`; higher is better.

    Raises:
      ValueError: if there is not one batch per step, the learning rate has the wrong shape, or
        `chunk_size` is less than 1.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import contrib
      >>> def loss_fn(params, example):
      ...     return (params - example) ** 2
      >>> checkpoints, batches = jnp.array([0.0, 0.2]), jnp.array([[1.0]])
      >>> run = contrib.ProxyRun(checkpoints, batches, learning_rate=0.1)
      >>> examples = jnp.array([1.0, -1.0])
      >>> score = contrib.learnability_quality_score(loss_fn, lambda p: (p - 1) ** 2, run, examples)
      >>> [round(float(value), 2) for value in score]
      [0.2, -0.13]

    Reference:
      Dai et al., 2025, "Data Efficacy for Language Model Training" (DELT), arXiv 2506.21545.
      Inspired by its Learnability-Quality Scoring: the recursion and the ratio of norms follow the
      released code; that the paper's equation agrees is unconfirmed. The code divides the last step
      by 1 for lack of a later norm, where this function uses the norm at the last checkpoint.
    """
    owner = "learnability_quality_score"
    checkpoints = optax.tree.cast(run.checkpoints, jnp.float32)
    steps = jax.tree.leaves(checkpoints)[0].shape[0] - 1
    if any(jnp.shape(batch)[0] != steps for batch in jax.tree.leaves(run.batches)):
        raise ValueError(
            f"{owner}: {steps + 1} checkpoints mean {steps} steps, but the batches have shapes "
            f"{jax.tree.map(jnp.shape, run.batches)}; pass [{steps}, batch, ...]"
        )
    if jnp.ndim(run.learning_rate):
        check_shape(owner, "learning_rate", run.learning_rate, (steps,))
    rates = jnp.broadcast_to(jnp.asarray(run.learning_rate, jnp.float32), (steps,))

    def products_and_norms(params, costate):
        def one(example):
            gradient = jax.grad(loss_fn)(params, example)
            return optax.tree.vdot(costate, gradient), tree_length(gradient)

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
    (_, _, scores), _ = jax.lax.scan(step_back, start, (earlier, run.batches, rates), reverse=True)
    return jax.lax.stop_gradient(scores)


def _hessian_product(loss_fn, params, batch, vector):
    """Returns the Hessian of the batch's mean loss times `vector`, a pytree like `params`."""

    def mean_loss(params):
        return jnp.mean(jax.vmap(loss_fn, (None, 0))(params, batch))

    return jax.jvp(jax.grad(mean_loss), (params,), (vector,))[1]
