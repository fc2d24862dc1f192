"""Data orders: the examples to train on, in order, computed from a score per example.

>>> import jax.numpy as jnp
>>> from cgar_jax import sampling
>>> print(sampling.folding_order(jnp.array([0.1, 0.2, 0.3, 0.4]), folds=2))
[0 2 1 3]

An order is a pure function from scores to indices, computed once before training. The scores come
from `cgar_jax.scores` or any other source; drawing batches is done in `samplings.py`.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from cgar_jax._core.checks import check_shape
from cgar_jax._core.ranges import check_number


def folding_order(scores: chex.Array, folds: int = 3, ascending: bool = True) -> jax.Array:
    """Returns the examples in several passes, each of which spans all scores from low to high.

        fold l = positions l, l + folds, l + 2 folds, ... of the sorted examples

    and the folds follow one another. Training goes from low to high `folds` times, no example is
    repeated, and all folds have about the same scores: the means of two folds of m examples differ
    by at most `(highest - lowest) / m`. Use it for one pass over scored data.

    Args:
      scores: score of each example, `[n]`. Examples of equal score keep their order.
      folds: number of passes, at least 1 (`L` in the paper). With 1, or with n or more, the result
        is the sorted order.
      ascending: whether scores rise within a fold. False is our addition.

    Returns:
      A permutation of the examples' indices, int32 `[n]`. Save it in the checkpoint, or recompute
      it from the same scores.

    Raises:
      ValueError: if `scores` is not a vector, or `folds` is less than 1.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import sampling
      >>> scores = jnp.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
      >>> print(sampling.folding_order(scores, folds=2))
      [0 2 4 1 3 5]

    Reference:
      Dai et al., 2025, "Data Efficacy for Language Model Training" (DELT), arXiv 2506.21545, and
      its released code. The default of three folds is ours.
    """
    scores = jnp.asarray(scores)
    check_shape("folding_order", "scores", scores, ("examples",))
    check_number("folding_order", "folds", folds, "[1, inf)")
    order = jnp.argsort(scores, stable=True, descending=not ascending).astype(jnp.int32)
    fold_of_position = np.arange(order.shape[0]) % folds
    return order[np.argsort(fold_of_position, kind="stable")]


def score_pruned_order(scores: chex.Array, keep: float, drop_top: float = 0.0) -> jax.Array:
    """Returns the examples of the highest scores, optionally without the very highest.

    Of n examples, the `round(drop_top * n)` of the highest scores are dropped as likely label
    noise, and the `round(keep * n)` of the highest remaining scores are kept. Use it to train on
    fewer examples.

    Args:
      scores: score of each example, `[n]`, such as `cgar_jax.scores.el2n_score`. Among equal
        scores, the earlier example counts as higher.
      keep: fraction of all examples to keep, in (0, 1]; at least one example is kept.
      drop_top: fraction of all examples to drop at the top, in [0, 1 - keep].

    Returns:
      Indices of the kept examples in increasing order, int32 `[kept]`. To draw a batch:
      `kept[jax.random.randint(key, (batch,), 0, len(kept))]`.

    Raises:
      ValueError: if `scores` is not a vector, or a fraction is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import sampling
      >>> scores = jnp.array([0.1, 0.9, 0.5, 0.7])
      >>> print(sampling.score_pruned_order(scores, keep=0.5, drop_top=0.25))
      [2 3]

    Reference:
      Paul, Ganguli and Dziugaite, 2021, "Deep Learning on a Data Diet", arXiv 2107.07075.
    """
    owner = "score_pruned_order"
    scores = jnp.asarray(scores)
    check_shape(owner, "scores", scores, ("examples",))
    check_number(owner, "keep", keep, "(0, 1]")
    check_number(owner, "drop_top", drop_top, "[0, 1)")
    if keep + drop_top > 1 + 1e-9:
        raise ValueError(
            f"{owner}: keep is {keep} and drop_top is {drop_top}, but their sum must be at most 1"
        )
    total = scores.shape[0]
    kept = min(max(round(keep * total), 1), total)
    dropped = min(round(drop_top * total), total - kept)
    ranked = jnp.argsort(scores, stable=True, descending=True)
    return jnp.sort(ranked[dropped : dropped + kept]).astype(jnp.int32)
