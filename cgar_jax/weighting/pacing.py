"""A curriculum that trains on a growing part of each batch.

>>> import jax.numpy as jnp
>>> from cgar_jax import weighting
>>> pacing = weighting.pacing_subset_weighting(end_step=10_000, start_fraction=0.5)
>>> losses = jnp.array([3.0, 1.0, 2.0, 0.1])
>>> print(pacing.update(jnp.ones(4), pacing.init(losses), losses)[0])
[0. 2. 0. 2.]

The counterpart that selects a part of the training set before batches are drawn is
`cgar_jax.curricula.pacing_subset_curriculum`.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.random import own_key
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name
from cgar_jax._core.shares import ceil_of_share
from cgar_jax.weighting.base import Extras, Term, stateful
from cgar_jax.weighting.difficulty import training_progress


def pacing_subset_weighting(
    end_step: chex.Numeric,
    start_fraction: chex.Numeric = 0.2,
    power: chex.Numeric = 1.0,
    order: Literal["curriculum", "anti", "random"] = "curriculum",
    by: Literal["losses", "difficulty"] = "losses",
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Keeps the easiest part of each batch; the part grows until the whole batch is kept.

    `w = n / k` for the `k = ceil(n fraction)` easiest of the `n` valid losses, and 0 for the
    others, so that the mean weight is 1. `fraction = min(1, b + (1 - b) (updates / end_step)^p)`,
    where `b` is `start_fraction` and `p` is `power`. At least one loss is kept; of equal losses,
    the first are kept.

    Use it as a curriculum without difficulty labels, by the current losses, or with difficulty
    labels.

    Args:
      end_step: number of updates after which all losses are kept, above 0 (`a T` in the paper).
      start_fraction: fraction at the start, in [0, 1] (`b` in the paper); 1 leaves the weights
        unchanged.
      power: exponent of the growth, above 0 (`p` in the paper): 1 is linear, 1/2 is a square root,
        2 is quadratic.
      order: the kept examples: `"curriculum"` for the easiest, `"anti"` for the hardest, `"random"`
        for random ones.
      by: the measure of difficulty: the current `"losses"`, or the extra argument `"difficulty"`.
      axis_name: mesh axis of the batch, for `jax.shard_map`.

    Extra arguments:
      - `difficulty`: number on any scale, larger for harder examples, `[batch]` or the shape of the
        losses; required with `by="difficulty"` and unused without it.
      - `key`: random key, made by `jax.random.key`; required with `order="random"` and unused
        without it. The same key at every update keeps all examples that were kept before.
      - `progress`: training progress in [0, 1], scalar, which replaces `updates / end_step`;
        optional.
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0 and do
        not count as part of the batch.

    Returns:
      A weighting that counts its updates.

    Raises:
      ValueError: if a setting is out of range; at the first update (trace time), if `difficulty` or
        `key` is missing, or `progress` is not a scalar.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from cgar_jax import weighting
      >>> pacing = weighting.pacing_subset_weighting(end_step=10)
      >>> losses = jnp.array([3.0, 1.0, 2.0, 0.1])
      >>> for progress in (0.0, 0.5, 1.0):
      ...     weights, _ = pacing.update(
      ...         jnp.ones(4), pacing.init(losses), losses, progress=progress
      ...     )
      ...     print(np.asarray(weights).round(2))
      [0. 0. 0. 4.]
      [0.   1.33 1.33 1.33]
      [1. 1. 1. 1.]

    Reference:
      Vahidian et al., 2023, "When Do Curricula Work in Federated Learning?", ICCV, arXiv
      2212.12712. The form of the fraction is likely, not confirmed. The paper keeps a part of a
      client's data set; keeping a part of the batch, and the defaults, are ours.
    """
    name = "pacing_subset_weighting"
    check_number(name, "end_step", end_step, "(0, inf)")
    check_number(name, "start_fraction", start_fraction, "[0, 1]")
    check_number(name, "power", power, "(0, inf)")
    check_name("order", order, ("curriculum", "anti", "random"))
    check_name("by", by, ("losses", "difficulty"))

    def weigh(term: Term, extras: Extras, memory: tuple, count: jax.Array) -> tuple:
        if order == "random":
            scores = _random_scores(name, extras, term, axis_name)
        elif by == "losses":
            scores = term.losses
        else:
            meaning = "a number that is larger for harder examples"
            scores = extras.per_loss("difficulty", meaning, term)
        rank = _ranks(-scores if order == "anti" else scores, term.valid, axis_name)
        num_valid = jnp.sum(term.valid, dtype=jnp.int32)
        num_valid = num_valid if axis_name is None else jax.lax.psum(num_valid, axis_name)
        start = jnp.asarray(start_fraction, jnp.float32)
        growth = training_progress(extras, count, end_step) ** jnp.asarray(power, jnp.float32)
        partial = ceil_of_share(start + (1 - start) * growth, num_valid)
        keep_all = (start == 1) | (growth == 1)
        num_kept = jnp.where(keep_all, num_valid, jnp.maximum(partial, 1))
        return jnp.where(rank < num_kept, num_valid / jnp.maximum(num_kept, 1), 0), memory

    return stateful(name, lambda loss: (), weigh)


def _random_scores(name: str, extras: Extras, term: Term, axis_name: str | None) -> jax.Array:
    """Returns one random number per loss, independent between shards."""
    key = own_key(name, extras.get("key", "a random key from jax.random.key(...)"))
    if axis_name is not None:
        key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))
    return jax.random.uniform(key, term.losses.shape)


def _ranks(scores: jax.Array, valid: jax.Array, axis_name: str | None) -> jax.Array:
    """Returns the rank of each score, 0 for the smallest; masked entries come last."""
    all_scores, all_valid = scores, valid
    if axis_name is not None:
        all_scores, all_valid = jax.lax.all_gather((scores, valid), axis_name, tiled=True)
    order = jnp.lexsort((all_scores.ravel(), ~all_valid.ravel()))
    ranks = jnp.argsort(order).reshape(all_scores.shape)
    if axis_name is None:
        return ranks
    rows = scores.shape[0]
    return jax.lax.dynamic_slice_in_dim(ranks, jax.lax.axis_index(axis_name) * rows, rows)
