"""Sampling among the candidates of one user, by their losses.

>>> import jax
>>> import jax.numpy as jnp
>>> from cgar_jax import sampling
>>> losses = jnp.array([[0.1, 5.0, 5.0], [9.0, 8.0, 0.5]])
>>> print(sampling.personal_loss_sampling(jax.random.key(0), losses))
[0 2]

This file selects among several noisy candidates for the same example; the examples of a batch are
chosen in `samplings.py`.
"""

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import valid_entries
from cgar_jax._core.random import own_key
from cgar_jax._core.ranges import check_number


def personal_loss_sampling(
    key: jax.Array,
    pool_losses: chex.Array,
    *,
    temperature: chex.Numeric = 0.1,
    num_draws: int | None = None,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Draws one of each user's candidates, with a higher probability for lower losses.

        P(j) = softmax_j(-loss_j / temperature)   over the pool of one user

    Use it against noisy labels or augmentations: noise stands out within the pool of one user
    rather than among all users, and a constant added to all losses of a user changes nothing. A
    user may be a puzzle, and its pool several augmentations or doubtful labels.

    By default, the released code fills each pool with five random candidates, and takes the first
    of them for five epochs before it begins to draw. An infinite temperature draws uniformly, so
    `temperature=jnp.where(epoch < 5, jnp.inf, 0.1)` reproduces that schedule.

    Args:
      key: random key.
      pool_losses: loss of each candidate, float `[users, candidates]`.
      temperature: temperature of the softmax, above 0. Infinity draws uniformly, a small value
        takes the lowest loss.
      num_draws: number of different candidates to draw for each user; None draws one.
      where: mask, bool `[users, candidates]` or `[users]`; False candidates are never drawn.

    Returns:
      Indices of the drawn candidates, int32 `[users]`, or `[users, num_draws]` in the order of the
      draws, without replacement. The index is -1 where a user has no candidate left, so mask with
      `indices >= 0`.

    Raises:
      ValueError: if the losses or the mask have the wrong shape, `temperature` is not positive, or
        `num_draws` is not between 1 and the number of candidates.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from cgar_jax import sampling
      >>> losses = jnp.array([[0.1, 5.0, 5.0], [9.0, 8.0, 0.5]])
      >>> print(sampling.personal_loss_sampling(jax.random.key(0), losses))
      [0 2]

    Reference:
      Zhang et al., 2025, "Personalized Denoising Implicit Feedback for Robust Recommender System"
      (PLD), arXiv 2502.00348, and its released code, whose default temperature is 0.1. Several
      draws, by the Gumbel top-k trick, are our addition.
    """
    owner = "personal_loss_sampling"
    losses = jnp.asarray(pool_losses)
    check_shape(owner, "pool_losses", losses, ("users", "candidates"))
    check_number(owner, "temperature", temperature, "(0, inf]")
    check_number(owner, "num_draws", num_draws, f"[1, {losses.shape[1]}]")
    valid = valid_entries(where, losses.shape)
    losses = jnp.where(valid, losses, jnp.inf).astype(jnp.float32)
    least = jnp.min(losses, axis=-1, keepdims=True, initial=jnp.inf)
    above = jnp.where(valid, losses - least, 0)
    # A valid candidate must rank above masked ones even if its logit overflows float32.
    logits = jnp.maximum(
        -above / jnp.asarray(temperature, jnp.float32), jnp.finfo(jnp.float32).min / 2
    )
    noise = jax.random.gumbel(own_key(owner, key), losses.shape)
    ranked = jnp.where(valid, logits + noise, -jnp.inf)
    best, drawn = jax.lax.top_k(ranked, num_draws or 1)
    drawn = jnp.where(jnp.isneginf(best), -1, drawn)
    return drawn if num_draws else drawn[:, 0]
