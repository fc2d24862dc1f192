"""Resampling: which of a group's candidates to train on."""

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.masking import valid_entries
from cgar_jax._core.random import own_key


def personal_loss_resampler(
    key: jax.Array,
    pool_losses: chex.Array,
    *,
    temperature: chex.Numeric = 0.1,
    num_draws: int | None = None,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Draw for each user one of a pool of candidates, the likelier the lower its loss.

    ``P(j) = softmax_j(-loss / temperature)`` over the user's own pool: noise is what stands out
    there, not what stands out among all users, and a constant added to all losses of a user changes
    nothing. A user may be a puzzle, and the pool its augmentations or labels of doubtful worth.

    The paper fills each pool with five candidates at random, and takes the first of them for five
    epochs before it begins to draw. A draw at an infinite temperature is even::

        temperature = jnp.where(epoch < 5, jnp.inf, 0.1)

    Args:
      key: random key.
      pool_losses: ``[users, candidates]``, any float dtype.
      temperature: above 0; infinity draws evenly, a small one takes the lowest loss.
      num_draws: how many different candidates to draw for each user; None draws one.
      where: bool ``[users, candidates]`` or ``[users]``; False is never drawn.

    Returns:
      int32 ``[users]``, or ``[users, num_draws]`` in the order in which they were drawn, without
      replacement. -1 where a user has no candidate left: mask those with ``indices >= 0``.

    Raises:
      ValueError: losses or a mask of another shape; a temperature out of its range; ``num_draws``
        not from 1 to the number of candidates.

    Source: Zhang et al., Personalized Denoising Implicit Feedback for Robust Recommender System
    (PLD), WWW 2025, arXiv 2502.00348; certain (released code). The temperature of 0.1 is its
    default. Several draws, by the Gumbel top-k trick, are ours.
    """
    owner = "personal_loss_resampler"
    losses = jnp.asarray(pool_losses)
    check_shape(owner, "pool_losses", losses, ("users", "candidates"))
    check_number(owner, "temperature", temperature, "(0, inf]")
    check_number(owner, "num_draws", num_draws, f"[1, {losses.shape[1]}]")
    valid = valid_entries(where, losses.shape)
    losses = jnp.where(valid, losses, jnp.inf).astype(jnp.float32)
    least = jnp.min(losses, axis=-1, keepdims=True, initial=jnp.inf)
    above = jnp.where(valid, losses - least, 0)
    # What is too large for float32 must still come before what is masked.
    logits = jnp.maximum(
        -above / jnp.asarray(temperature, jnp.float32), jnp.finfo(jnp.float32).min / 2
    )
    noise = jax.random.gumbel(own_key(owner, key), losses.shape)
    ranked = jnp.where(valid, logits + noise, -jnp.inf)
    best, drawn = jax.lax.top_k(ranked, num_draws or 1)
    drawn = jnp.where(jnp.isneginf(best), -1, drawn)
    return drawn if num_draws else drawn[:, 0]
