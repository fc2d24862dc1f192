"""A curriculum of loss weights by the difficulty of the examples.

>>> import jax.numpy as jnp
>>> import numpy as np
>>> from cgar_jax import weighting
>>> curriculum = weighting.difficulty_curriculum_weighting(end_step=10_000)
>>> losses, rating = jnp.ones(3), jnp.array([0.0, 5.0, 80.0])
>>> weights, _ = curriculum.update(
...     jnp.ones(3), curriculum.init(losses), losses, difficulty=rating
... )
>>> print(np.asarray(weights).round(2))
[0.83 0.5  0.17]

The functions that turn difficulties into easiness are in `ease.py`. A curriculum that drops the
hard examples of a batch is in `pacing.py`.
"""

from collections.abc import Callable
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_shape, check_static
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name
from cgar_jax.weighting.base import Extras, Term, stateful
from cgar_jax.weighting.ease import min_max_ease, quantile_ease, reciprocal_rank_ease

_HEURISTICS = {
    "min_max": min_max_ease,
    "quantile": quantile_ease,
    "reciprocal_rank": reciprocal_rank_ease,
}


def difficulty_curriculum_weighting(
    end_step: chex.Numeric,
    heuristic: Literal["min_max", "quantile", "reciprocal_rank"] = "quantile",
    anti: bool = False,
    fade: Literal["linear"] | Callable[[jax.Array], chex.Numeric] = "linear",
    min_ease: chex.Numeric = 1e-8,
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Weights each loss by the easiness of its example at first, and all losses equally at the end.

    `w = ease (1 - t) + t` with `t = min(updates / end_step, 1)` and `ease` in [0, 1].

    Use it when a difficulty is known for each example, such as the rating of a puzzle, and training
    should begin with the easy examples.

    Args:
      end_step: number of updates after which all weights are equal, above 0 (`m` in the paper). The
        released code uses 20 epochs.
      heuristic: function that turns difficulties into easiness by comparison with the batch:
        `min_max_ease`, `quantile_ease` or `reciprocal_rank_ease`. The default is ours, because a
        few very hard examples do not change the quantiles of the others.
      anti: whether to begin with the hard examples, by replacing `ease` by `1 - ease`.
      fade: function that replaces `t` by another number in [0, 1], or `"linear"`. Name it in the
        `static_args` of `optax.inject_hyperparams`, which would take it for a schedule.
      min_ease: smallest easiness, in [0, 1], which keeps weights above 0; 1 leaves the weights
        unchanged. The released code adds 1e-8 instead.
      axis_name: mesh axis to include in the comparison, for `jax.shard_map`.

    Extra arguments:
      - `difficulty`: number on any scale, larger for harder examples, `[batch]` or the shape of the
        losses.
      - `ease`: easiness in [0, 1], which replaces `difficulty` and the heuristic, for example from
        `pair_ease`; `[batch]` or the shape of the losses.
      - `progress`: training progress in [0, 1], scalar, which replaces `updates / end_step`;
        optional. Pass it under gradient accumulation, where every micro-step counts as an update.
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0 and are
        excluded from the comparison.

    Returns:
      A weighting that counts its updates.

    Raises:
      ValueError: if a setting is out of range; at the first update (trace time), if `difficulty`
        and `ease` are both missing or have another shape, or `progress` is not a scalar.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> curriculum = weighting.difficulty_curriculum_weighting(end_step=10)
      >>> losses, ease = jnp.ones(2), jnp.array([1.0, 0.2])
      >>> for progress in (0.0, 0.5, 1.0):
      ...     weights, _ = curriculum.update(
      ...         jnp.ones(2), curriculum.init(losses), losses, ease=ease, progress=progress
      ...     )
      ...     print(weights)
      [1.  0.2]
      [1.  0.6]
      [1. 1.]

    Reference:
      MacAvaney et al., 2020, "Training Curricula for Open Domain Answer Re-Ranking", SIGIR, arXiv
      2004.14269. The released code weights the mean loss of a batch by its mean weight; here each
      example has its own weight.
    """
    name = "difficulty_curriculum_weighting"
    check_number(name, "end_step", end_step, "(0, inf)")
    check_number(name, "min_ease", min_ease, "[0, 1]")
    check_name("heuristic", heuristic, _HEURISTICS)
    if not callable(fade):
        check_static(name, "fade", fade)
        check_name("fade", fade, ("linear",))

    def weigh(term: Term, extras: Extras, memory: tuple, count: jax.Array) -> tuple:
        if "ease" in extras:
            ease = extras.per_loss("ease", "a number in [0, 1], 1 for the easiest", term)
        else:
            meaning = "a number that is larger for harder examples, or ease=..., in [0, 1]"
            difficulty = extras.per_loss("difficulty", meaning, term)
            ease = _HEURISTICS[heuristic](difficulty, term.valid, axis_name=axis_name)
        ease = jnp.asarray(ease, jnp.float32)
        ease = jnp.maximum(1 - ease if anti else ease, min_ease)
        progress = training_progress(extras, count, end_step)
        evenness = jnp.clip(fade(progress), 0, 1) if callable(fade) else progress
        return ease * (1 - evenness) + evenness, memory

    return stateful(name, lambda loss: (), weigh)


def training_progress(extras: Extras, count: jax.Array, end_step: chex.Numeric) -> jax.Array:
    """Returns the progress of a curriculum: the extra argument, or the share of its updates.

    Args:
      extras: the extra arguments of the update, with or without `progress`.
      count: number of earlier updates, int32 scalar.
      end_step: number of updates at which the progress is 1.

    Returns:
      A number in [0, 1], float32 scalar.

    Raises:
      ValueError: if `progress` is not a scalar.
    """
    if "progress" not in extras:
        return jnp.clip(count / jnp.asarray(end_step, jnp.float32), 0, 1)
    progress = extras.get("progress", "a scalar in [0, 1]")
    check_shape(extras.name, "the extra argument 'progress'", progress, ())
    return jnp.clip(jnp.asarray(progress, jnp.float32), 0, 1)
