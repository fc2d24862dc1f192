"""Negatives that are mixed from others, for contrastive losses."""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.masking import valid_entries
from cgar_jax._core.random import own_key
from cgar_jax._core.registry import check_name
from cgar_jax._core.vectors import products, read_vectors, unit_vectors


def online_negative_mixing(
    key: chex.PRNGKey,
    queries: chex.Array,
    negatives: chex.Array,
    num_hardest: int,
    num_mixed: int = 1,
    form: Literal["pair", "list"] = "pair",
    share: chex.Numeric | None = None,
    temperature: chex.Numeric = 1.0,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Harder negatives than there are, mixed from the hardest of each query.

    Of the ``num_hardest`` negatives with the largest cosine to the query:

    - ``"pair"``: ``unit(a n_i + (1 - a) n_j)``, two different ones at random, ``a`` from 0 to 1;
    - ``"list"``: ``unit(sum_i w_i n_i)``, ``w = softmax(cos(q, n_i) / temperature)``.

    The gradient flows into the negatives, not into the choice or the mixing numbers.

    Args:
      key: of `jax.random.key`; ``"list"`` does not use it.
      queries: ``[batch, features]``, any float dtype.
      negatives: ``[batch, negatives, features]``, any float dtype and length.
      num_hardest: int, 1 up to the number of negatives.
      num_mixed: int, 1 or more, how many to mix for each query; ``"list"`` gives one.
      form: what is mixed.
      share: ``a``, in [0, 1], a number or ``[batch, num_mixed]``, as drawn by `jax.random.beta`;
        None draws it evenly. For ``"pair"``.
      temperature: above 0; towards 0 the hardest negative is left as it is. For ``"list"``.
      where: bool ``[batch]`` or ``[batch, negatives]``; False is not mixed. A query without
        negatives gets zeros.

    Returns:
      float32 ``[batch, num_mixed, features]``, of length 1, for `info_nce_loss`.

    Raises:
      ValueError: a setting out of its range; shapes that do not fit.

    Source: Inspired by Zhao et al., KaLM-Embedding-V2, 2025, arXiv 2506.20923; reconstructed from
    its abstract, not the paper's equations. How ``a`` is drawn and the temperature are ours.
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
    """How much of each of the first ``found`` is in each mixture, ``[batch, mixed, hardest]``."""
    shape = (*found.shape, num_mixed)
    keys = jax.random.split(own_key("online_negative_mixing", key), 3)
    found = jnp.maximum(found, 1)[:, None]
    first = jax.random.randint(keys[0], shape, 0, found)
    # One of the others; where there is no other, itself.
    offset = jax.random.randint(keys[1], shape, 1, jnp.maximum(found, 2))
    other = (first + offset) % found
    share = jax.random.uniform(keys[2], shape) if share is None else share
    share = jnp.broadcast_to(jnp.asarray(share, jnp.float32), shape)[..., None]
    one_hot = jax.nn.one_hot(jnp.stack([first, other]), num_hardest)
    return share * one_hot[0] + (1 - share) * one_hot[1]
