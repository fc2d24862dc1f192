"""Lists to rank, the pairs in them, and rax's losses per list, which several tests compare with."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import rax
from hypothesis import strategies as st

BATCH, ITEMS = 4, 6
seeds = st.integers(0, 2**31)


@functools.partial(jax.jit, static_argnames="loss")
def by_rax(loss, scores, labels, **kwargs):
    """Computes a loss of rax, one value per list."""
    return jax.vmap(functools.partial(loss, reduce_fn=jnp.sum, **kwargs))(scores, labels)


rax_dcg_logistic_loss = functools.partial(
    rax.pairwise_logistic_loss, lambdaweight_fn=rax.dcg_lambdaweight
)
rax_unique_softmax_loss = functools.partial(rax.unique_softmax_loss, gain_fn=None)


def scores_and(labels, seed):
    """Returns random scores, and labels with ties ("grades") or without ("order")."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(scale=2, size=(BATCH, ITEMS)).astype(np.float32)
    if labels == "grades":
        return scores, rng.integers(0, 4, (BATCH, ITEMS)).astype(np.float32)
    return scores, rng.permuted(np.tile(np.arange(ITEMS, dtype=np.float32), (BATCH, 1)), axis=1)


def softplus(x):
    return np.logaddexp(0, x)


def pairs_of(scores, labels):
    """Yields the pairs `(s_i, s_j, r_i, r_j)` of each list with item i better than item j."""
    for list_scores, list_labels in zip(np.float64(scores), labels, strict=True):
        levels = sorted(set(list_labels), reverse=True)
        ranks = [1 + levels.index(label) for label in list_labels]
        items = list(zip(list_scores, ranks, strict=True))
        yield [(s, t, r, q) for s, r in items for t, q in items if r < q]
