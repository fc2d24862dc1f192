"""Synthetic negatives for contrastive losses, mixed from existing ones.

>>> import jax
>>> from cgar_jax import contrib
>>> queries = jax.random.normal(jax.random.key(0), (2, 8))
>>> negatives = jax.random.normal(jax.random.key(1), (2, 5, 8))
>>> print(contrib.online_negative_mixing(jax.random.key(2), queries, negatives, 3).shape)
(2, 1, 8)

The results are the `negatives` of `losses.info_nce_loss`.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import valid_entries
from cgar_jax._core.random import own_key
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name
from cgar_jax._core.vectors import products, read_vectors, unit_vectors


def online_negative_mixing(
    key: chex.PRNGKey,
    queries: chex.Array,
    negatives: chex.Array,
    num_hardest: int,
    *,
    num_mixed: int = 1,
    form: Literal["pair", "list"] = "pair",
    share: chex.Numeric | None = None,
    temperature: chex.Numeric = 1.0,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Mixes new negatives from the hardest negatives of each query.

    Of the `num_hardest` negatives with the largest cosine to the query:

    - `"pair"`: `unit(a n_i + (1 - a) n_j)` for two different random ones, with `a` from 0 to 1;
    - `"list"`: `unit(sum_i w_i n_i)` with `w = softmax(cos(q, n_i) / temperature)`.

    Use it if the negatives of a batch are too easy. The gradient flows into the negatives, but
    neither into their choice nor into the mixing coefficients.

    Args:
      key: random key from `jax.random.key`; unused by `"list"`.
      queries: vectors, float `[batch, features]`.
      negatives: negatives of each query, of any length, float `[batch, negatives, features]`.
      num_hardest: number of negatives to mix from, between 1 and the number of negatives.
      num_mixed: number of mixtures for each query, at least 1; `"list"` makes one.
      form: kind of mixture.
      share: coefficient `a` of `"pair"` in [0, 1], a number or `[batch, num_mixed]`, for example
        from `jax.random.beta`. None draws it uniformly.
      temperature: divisor of the cosines in `"list"`, above 0; towards 0 the mixture becomes the
        hardest negative.
      where: mask, bool `[batch]` or `[batch, negatives]`; False negatives are not mixed. A query
        without negatives gets zeros.

    Returns:
      Vectors of length 1, float32 `[batch, num_mixed, features]`.

    Raises:
      ValueError: if a setting is out of range, or the shapes do not fit each other.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from cgar_jax.contrib import online_negative_mixing
      >>> queries, negatives = jnp.array([[1.0, 0.0]]), jnp.array([[[0.6, 0.8], [0.0, -1.0]]])
      >>> mixed = online_negative_mixing(jax.random.key(0), queries, negatives, 1, form="list")
      >>> print(mixed.round(1))
      [[[0.6 0.8]]]

    Reference:
      Inspired by Zhao et al., 2025, "KaLM-Embedding-V2", arXiv 2506.20923. The formula is
      reconstructed from the abstract and unconfirmed; the distribution of `a` and the temperature
      are ours.
    """
    check_name("form", form, ("pair", "list"))
    check_shape(
        "online_negative_mixing", "negatives", negatives, ("batch", "negatives", "features")
    )
    batch, count, features = jnp.shape(negatives)
    check_shape("online_negative_mixing", "queries", queries, (batch, features))
    check_number("online_negative_mixing", "num_hardest", num_hardest, f"[1, {count}]")
    limit = "[1, inf)" if form == "pair" else "[1, 1]"
    check_number("online_negative_mixing", "num_mixed", num_mixed, limit)
    check_number("online_negative_mixing", "share", share, "[0, 1]")
    check_number("online_negative_mixing", "temperature", temperature, "(0, inf]")

    valid = valid_entries(where, (batch, count))
    units = unit_vectors(read_vectors(negatives, valid))
    query = unit_vectors(read_vectors(queries, jnp.any(valid, axis=-1)))
    cosines = jnp.where(valid, products("bd,bnd->bn", query, units), -jnp.inf)
    cosines, chosen = jax.lax.top_k(cosines, num_hardest)
    hardest = jnp.take_along_axis(units, chosen[..., None], axis=1)
    found = ~jnp.isneginf(cosines)
    if form == "pair":
        mixture = _random_pairs(key, jnp.sum(found, axis=-1), num_hardest, num_mixed, share)
    else:
        scores = jnp.where(found, cosines, 0) / jnp.asarray(temperature, jnp.float32)
        mixture = jax.nn.softmax(scores, where=found)[:, None, :]
    return unit_vectors(products("bmk,bkd->bmd", jax.lax.stop_gradient(mixture), hardest))


def _random_pairs(key, found, num_hardest, num_mixed, share):
    """Draws pairs of the first `found` negatives, as coefficients `[batch, mixed, hardest]`."""
    shape = (*found.shape, num_mixed)
    keys = jax.random.split(own_key("online_negative_mixing", key), 3)
    found = jnp.maximum(found, 1)[:, None]
    first = jax.random.randint(keys[0], shape, 0, found, jnp.int32)
    # A different negative, or the same one if there is only one.
    offset = jax.random.randint(keys[1], shape, 1, jnp.maximum(found, 2), jnp.int32)
    other = (first + offset) % found
    share = jax.random.uniform(keys[2], shape, jnp.float32) if share is None else share
    share = jnp.broadcast_to(jnp.asarray(share, jnp.float32), shape)[..., None]
    one_hot = jax.nn.one_hot(jnp.stack([first, other]), num_hardest, dtype=jnp.float32)
    return share * one_hot[0] + (1 - share) * one_hot[1]
