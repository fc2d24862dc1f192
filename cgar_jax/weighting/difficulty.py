"""Weightings that begin with the easy examples and fade out, and how easy an example is."""

from collections.abc import Callable
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.masking import masked_max, masked_ranks, valid_entries
from cgar_jax._core.random import own_key
from cgar_jax._core.registry import check_name
from cgar_jax.weighting._transform import Extras, Term, stateful


def difficulty_curriculum_weighting(
    end_step: chex.Numeric,
    heuristic: Literal["min_max", "quantile", "reciprocal_rank"] = "quantile",
    anti: bool = False,
    fade: Literal["linear"] | Callable[[jax.Array], chex.Numeric] = "linear",
    min_ease: chex.Numeric = 1e-8,
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Weight each loss by how easy its example is at first, all alike at the end.

    ``w = ease (1 - t) + t``, ``t = min(updates / end_step, 1)``, ``ease`` in [0, 1].

    Extra arguments of ``update``:
      difficulty: number, the losses' shape or ``[batch]``: larger is harder, on any scale, for
        example a puzzle's rating. The ``heuristic`` makes it an ease, by comparison with the batch.
      ease: in its place, the ease itself, in [0, 1]: 1 is easy. See `pair_ease` for pairs.
      progress: scalar in [0, 1], in place of ``updates / end_step``; under gradient accumulation
        the updates that are counted are micro-steps.
      where: bool, the losses' shape or ``[batch]``; False gets weight 0 and is in no statistic.

    Args:
      end_step: above 0, ``m`` in the paper, in updates: from here on the weights stay as they are.
        The released code has 20 epochs.
      heuristic: `min_max_ease`, `quantile_ease` or `reciprocal_rank_ease`. The default is ours: a
        few very hard examples do not move the quantile of the others.
      anti: begin with the hard: ``1 - ease`` takes the place of ``ease``.
      fade: from ``t``, 0 to 1, to what takes its place in the weight, 0 to 1. One of the
        ``static_args`` of `optax.inject_hyperparams`, which takes functions for schedules.
      min_ease: in [0, 1], the least ease, so that no weight is 0; 1 leaves the weights as they are.
        The released code adds it, 1e-8, instead.
      axis_name: the mesh axis to compare the difficulty over, too; for `jax.shard_map`.

    Returns:
      A transformation whose state counts its updates; it multiplies the weights it is given.

    Raises:
      ValueError: a setting out of its range; at the first update (trace time), ``difficulty`` and
        ``ease`` both missing, or of another shape, or a ``progress`` that is no scalar.

    Source: MacAvaney, Nardini, Perego, Tonellotto, Goharian, Frieder, SIGIR 2020, arXiv 2004.14269;
    certain (released code), which weighs the mean loss of a batch by its mean weight; here each
    example has its own.
    """
    name = "difficulty_curriculum_weighting"
    check_number(name, "end_step", end_step, "(0, inf)")
    check_number(name, "min_ease", min_ease, "[0, 1]")
    check_name("heuristic", heuristic, _HEURISTICS)
    if not callable(fade):
        check_name("fade", fade, ("linear",))

    def weigh(term: Term, extras: Extras, memory: tuple, count: jax.Array) -> tuple:
        if "ease" in extras:
            ease = extras.per_loss("ease", "in [0, 1], 1 for easy", term)
        else:
            meaning = "larger for harder, or ease=..., in [0, 1]"
            difficulty = extras.per_loss("difficulty", meaning, term)
            ease = _HEURISTICS[heuristic](difficulty, term.valid, axis_name=axis_name)
        ease = jnp.asarray(ease, jnp.float32)
        ease = jnp.maximum(1 - ease if anti else ease, min_ease)
        even = _progress(extras, count, end_step)
        even = even if fade == "linear" else jnp.clip(fade(even), 0, 1)
        return ease * (1 - even) + even, memory

    return stateful(name, lambda loss: (), weigh)


def pacing_subset_weighting(
    end_step: chex.Numeric,
    start_fraction: chex.Numeric = 0.2,
    power: chex.Numeric = 1.0,
    order: Literal["curriculum", "anti", "random"] = "curriculum",
    by: Literal["losses", "difficulty"] = "losses",
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Keep the easiest part of each batch, a part that grows until it is all of it.

    ``w = n / k`` for the ``k = ceil(n fraction)`` easiest of the ``n`` losses that count, 0 for
    the others, so that the mean stays 1; ``fraction = min(1, b + (1 - b) (updates / end_step)^p)``,
    ``b`` the ``start_fraction``, ``p`` the ``power``. At least one is kept; of equals the first.

    Extra arguments of ``update``:
      difficulty: number, the losses' shape or ``[batch]``, larger is harder; needed, and used, with
        ``by="difficulty"``.
      key: `jax.random.key`, needed, and used, with ``order="random"``; the same key at each update
        keeps what it kept before.
      progress: scalar in [0, 1], in place of ``updates / end_step``.
      where: bool, the losses' shape or ``[batch]``; False gets weight 0 and is not in the batch.

    Args:
      end_step: above 0, in updates: from here on all are kept; ``a T`` in the paper.
      start_fraction: in [0, 1], ``b`` in the paper; 1 leaves the weights as they are.
      power: above 0, ``p`` in the paper: 1 is linear, 1/2 the root, 2 quadratic.
      order: ``"curriculum"``, the easiest; ``"anti"``, the hardest; ``"random"``, any.
      by: what says how hard an example is: its loss under the model as it is, or ``difficulty``.
      axis_name: the mesh axis that the batch is spread over; for `jax.shard_map`.

    Returns:
      A transformation whose state counts its updates; it multiplies the weights it is given.

    Raises:
      ValueError: a setting out of its range; at the first update (trace time), a ``difficulty`` or
        ``key`` that is missing, or a ``progress`` that is no scalar.

    Source: Vahidian et al., When Do Curricula Work in Federated Learning?, ICCV 2023, arXiv
    2212.12712; likely: the form of the fraction. There the data of a client is the set of which a
    part is kept; that it is the batch here, and the defaults, are ours.
    """
    name = "pacing_subset_weighting"
    check_number(name, "end_step", end_step, "(0, inf)")
    check_number(name, "start_fraction", start_fraction, "[0, 1]")
    check_number(name, "power", power, "(0, inf)")
    check_name("order", order, ("curriculum", "anti", "random"))
    check_name("by", by, ("losses", "difficulty"))

    def weigh(term: Term, extras: Extras, memory: tuple, count: jax.Array) -> tuple:
        if order == "random":
            scores = _draw(name, extras, term, axis_name)
        elif by == "losses":
            scores = term.losses
        else:
            scores = extras.per_loss("difficulty", "larger for harder", term)
        place = _places(-scores if order == "anti" else scores, term.valid, axis_name)
        number = jnp.sum(term.valid, dtype=jnp.float32)
        number = number if axis_name is None else jax.lax.psum(number, axis_name)
        start = jnp.asarray(start_fraction, jnp.float32)
        paced = _progress(extras, count, end_step) ** jnp.asarray(power, jnp.float32)
        # A fraction that is meant to give a whole number may be a rounding above it.
        some = jnp.ceil(number * (start + (1 - start) * paced - 1e-6))
        kept = jnp.where((start == 1) | (paced == 1), number, jnp.maximum(some, 1))
        return jnp.where(place < kept, number / jnp.maximum(kept, 1), 0), memory

    return stateful(name, lambda loss: (), weigh)


def min_max_ease(
    difficulty: chex.Array,
    where: jax.typing.ArrayLike | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """How easy each example is, by where it lies between the hardest and the easiest.

    ``(d_max - d) / (d_max - d_min)``; 1 where all are equally hard.

    Args:
      difficulty: any shape, larger is harder.
      where: bool, the shape of ``difficulty`` or its leading axes; False does not count.
      axis_name: the mesh axis to compare over, too; for `jax.shard_map`.

    Returns:
      float32, the shape of ``difficulty``, in [0, 1], 1 for the easiest, 0 where masked.

    Raises:
      ValueError: the axes of ``where`` are not the leading ones of ``difficulty``.

    Source: MacAvaney et al., 2020, arXiv 2004.14269, where it is the score of a cheap ranker;
    certain.
    """
    difficulty, valid = _countable(difficulty, where)
    hardest = masked_max(difficulty, valid, axis_name=axis_name)
    easiest = -masked_max(-difficulty, valid, axis_name=axis_name)
    spread = hardest > easiest
    ease = (hardest - difficulty) / jnp.where(spread, hardest - easiest, 1)
    return jnp.where(valid, jnp.where(spread, ease, 1), 0)


def quantile_ease(
    difficulty: chex.Array,
    where: jax.typing.ArrayLike | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """How easy each example is, by the share of examples that are harder.

    ``(harder + equal / 2) / n``, each example equal to itself.

    Args:
      difficulty: any shape, larger is harder.
      where: bool, the shape of ``difficulty`` or its leading axes; False does not count.
      axis_name: the mesh axis to compare over, too; for `jax.shard_map`.

    Returns:
      float32, the shape of ``difficulty``, in (0, 1), larger for easier; their mean is 1/2; 0 where
      masked. It stays the same under any increasing function of the difficulty.

    Raises:
      ValueError: the axes of ``where`` are not the leading ones of ``difficulty``.

    Source: MacAvaney et al., 2020, arXiv 2004.14269, where a kernel density estimate smooths the
    distribution; here it is that of the batch as it is.
    """
    difficulty, valid = _countable(difficulty, where)
    ranks = masked_ranks(difficulty, valid, axis_name)
    share = (ranks.smaller + ranks.no_larger) / jnp.maximum(2 * ranks.count, 1)
    return jnp.where(valid, 1 - share, 0)


def reciprocal_rank_ease(
    difficulty: chex.Array,
    where: jax.typing.ArrayLike | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """How easy each example is: one over its rank, from the easiest, 1, on; equals share a rank.

    ``1 / (1 + easier)``.

    Args:
      difficulty: any shape, larger is harder.
      where: bool, the shape of ``difficulty`` or its leading axes; False does not count.
      axis_name: the mesh axis to compare over, too; for `jax.shard_map`.

    Returns:
      float32, the shape of ``difficulty``, in (0, 1], 1 for the easiest, 0 where masked.

    Raises:
      ValueError: the axes of ``where`` are not the leading ones of ``difficulty``.

    Source: MacAvaney et al., 2020, arXiv 2004.14269; certain: there the rank is that of a cheap
    ranker among the answers to one question.
    """
    difficulty, valid = _countable(difficulty, where)
    return jnp.where(valid, 1 / (1 + masked_ranks(difficulty, valid, axis_name).smaller), 0)


def pair_ease(
    positive: chex.Array, negatives: chex.Array, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """How easy it is to rank an answer above others, for the extra argument ``ease``.

    ``min over negatives of (d_positive - d_negative + 1) / 2``, with ``d`` in [0, 1] how high a
    cheap ranker ranks each: `min_max_ease` and the like of the negated scores.

    Args:
      positive: ``[batch]``, of the answer that is right.
      negatives: ``[batch, negatives]``, of those that are wrong.
      where: bool, ``[batch, negatives]`` or ``[batch]``; False does not count.

    Returns:
      float32 ``[batch]``, in [0, 1], larger for easier; 0 where no negative counts.

    Raises:
      ValueError: the shapes do not fit together.

    Source: MacAvaney et al., 2020, arXiv 2004.14269; certain (released code).
    """
    check_shape("pair_ease", "positive", positive, ("batch",))
    check_shape("pair_ease", "negatives", negatives, (jnp.shape(positive)[0], "negatives"))
    negatives, valid = _countable(negatives, where)
    valid_rows = valid.any(-1)
    positive = jnp.where(valid_rows, positive, 0).astype(jnp.float32)
    hardest = jnp.where(valid_rows, masked_max(negatives, valid, axis=-1)[:, 0], 0)
    return jnp.where(valid_rows, (positive - hardest + 1) / 2, 0)


_HEURISTICS = {
    "min_max": min_max_ease,
    "quantile": quantile_ease,
    "reciprocal_rank": reciprocal_rank_ease,
}


def _countable(
    array: chex.Array, where: jax.typing.ArrayLike | None
) -> tuple[jax.Array, jax.Array]:
    """Return the array in float32, 0 where it does not count, and where it does."""
    array = jnp.asarray(array)
    valid = valid_entries(where, array.shape)
    return jnp.where(valid, array, 0).astype(jnp.float32), valid


def _progress(extras: Extras, count: jax.Array, end_step: chex.Numeric) -> jax.Array:
    """Return how far the curriculum is, in [0, 1]: as told, or by the updates so far."""
    if "progress" not in extras:
        return jnp.clip(count / jnp.asarray(end_step, jnp.float32), 0, 1)
    progress = extras.get("progress", "a scalar in [0, 1]")
    check_shape(extras.name, "the extra argument 'progress'", progress, ())
    return jnp.clip(jnp.asarray(progress, jnp.float32), 0, 1)


def _draw(name: str, extras: Extras, term: Term, axis_name: str | None) -> jax.Array:
    """Return one random number for each loss, this weighting's own for the key it is given."""
    key = own_key(name, extras.get("key", "a jax.random.key"))
    if axis_name is not None:
        key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))
    return jax.random.uniform(key, term.losses.shape)


def _places(scores: jax.Array, valid: jax.Array, axis_name: str | None) -> jax.Array:
    """Return the place of each score, 0 for the smallest; those that do not count come last."""
    everyone, counts = scores, valid
    if axis_name is not None:
        everyone, counts = jax.lax.all_gather((scores, valid), axis_name, tiled=True)
    order = jnp.lexsort((everyone.ravel(), ~counts.ravel()))
    places = jnp.argsort(order).reshape(everyone.shape)
    if axis_name is None:
        return places
    rows = scores.shape[0]
    return jax.lax.dynamic_slice_in_dim(places, jax.lax.axis_index(axis_name) * rows, rows)
