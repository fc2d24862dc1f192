"""Weightings of the steps of deep supervision, for losses of shape [batch, steps].

>>> import jax.numpy as jnp
>>> from cgar_jax import weighting
>>> exits, losses = weighting.sorted_exit_weighting(exits=[2, 4]), jnp.ones((1, 4))
>>> print(exits.update(losses, exits.init(losses), losses)[0])
[[0. 2. 0. 2.]]

`weighted_mean` takes the mean over the steps. A weighting that keeps a few of the `S` steps
therefore gives them weights that sum to `S`, so that the mean weight is 1. The geometric weighting
of CGAR has a file of its own, `hierarchical_supervision.py`.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cgar_jax._core.checks import check_static
from cgar_jax._core.random import own_key
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name
from cgar_jax.weighting.base import Extras, Term, stateless

# Discounts of a position that counts from 1.
_DISCOUNTS = {
    "log2": lambda position: 1 / jnp.log2(position + 1),
    "reciprocal": lambda position: 1 / position,
}


def sorted_exit_weighting(
    exits: Sequence[int] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Keeps the losses of some steps, the exits, and weights them equally (SoFT).

    `w_s = S / |E|` for a step `s` in the set `E` of exits, and 0 for others, where `S` is the
    number of steps. The mean over the steps is then the mean over the exits.

    Use it when the model should give an answer at each of several depths. With masked steps, follow
    it by `unit_mean_weighting` to get the mean over the valid exits.

    Args:
      exits: different step numbers, counted from 1; None means all steps. `[S]` trains only the
        last step, which is standard fine-tuning.

    Extra arguments:
      - `where`: mask, bool `[batch]` or `[batch, steps]`; masked losses get weight 0.

    Returns:
      A weighting without state, for losses `[batch, steps]`.

    Raises:
      ValueError: if `exits` is empty, or has numbers below 1 or duplicates; at the first update
        (trace time), if an exit is beyond the last step, or the losses have no axis of steps.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> exits, losses = weighting.sorted_exit_weighting(exits=[3]), jnp.ones((1, 3))
      >>> print(exits.update(losses, exits.init(losses), losses)[0])
      [[0. 0. 3.]]

    Reference:
      Kavehzadeh et al., 2023, "Sorted LLaMA", arXiv 2309.08968. The paper's set of exits is
      unconfirmed, so the default is all steps.
    """
    if exits is not None:
        check_static("sorted_exit_weighting", "exits", exits)
        exits = tuple(exits)
        are_steps = all(exit_step >= 1 and exit_step == int(exit_step) for exit_step in exits)
        if not exits or not are_steps or len(set(exits)) < len(exits):
            raise ValueError(
                f"sorted_exit_weighting: exits is {exits}, but it must be one or more different "
                "step numbers, counted from 1"
            )

    def weigh(term: Term, extras: Extras) -> jax.Array:
        del extras
        steps = _number_of_steps("sorted_exit_weighting", term)
        if exits is None:
            return jnp.ones_like(term.losses)
        if max(exits) > steps:
            raise ValueError(
                f"sorted_exit_weighting: exits is {exits}, but losses of shape "
                f"{term.losses.shape} have only {steps} steps; remove the exits beyond them"
            )
        factor = np.zeros(steps, np.float32)
        factor[np.asarray(exits, int) - 1] = steps / len(exits)
        return _for_each_example(factor, term)

    return stateless("sorted_exit_weighting", weigh)


def nested_depth_weighting(
    probabilities: Sequence[float] | chex.Array | None = None,
    draws: chex.Numeric = 1,
    per_example: bool = False,
    always_last: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Keeps the losses of randomly drawn steps, so that every depth becomes a model (SortedNet).

    `w_s = S c_s / g`, where step `s` is drawn `c_s` times in `g` draws. The mean over the steps is
    then the mean loss of the draws, with expectation `sum_s p_s l_s`. For equal probabilities, the
    expectation is the unweighted mean, whatever is masked.

    Use it to train models of several depths at once. The draws of one update are spread: `c_s` is
    `g p_s` rounded up or down, so that `S` draws with equal probabilities draw each step once. All
    loss terms share the draws. The model still runs all its steps: the weighting chooses which
    losses to train on, but saves no forward pass.

    Args:
      probabilities: probability `p` of each step, float `[steps]`, at least 0, rescaled to sum to
        1; None means equal probabilities.
      draws: number `g` of draws, at least 1.
      per_example: whether to draw for each example, which has less noise (ours), or for the whole
        batch.
      always_last: whether to add one draw of the last step, so that every update trains the full
        depth (ours). The expectation then includes this draw.

    Extra arguments:
      - `key`: random key for this update, made by `jax.random.key`. Under `jax.shard_map` with
        `per_example`, pass a different key to each shard.
      - `where`: mask, bool `[batch]` or `[batch, steps]`; masked losses get weight 0.

    Returns:
      A weighting without state, for losses `[batch, steps]`.

    Raises:
      ValueError: if `draws` is below 1, or a probability is negative or not finite, or all are 0;
        at the first update (trace time), if `key` is missing, or the losses or probabilities have
        another shape.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> nested, losses = weighting.nested_depth_weighting(draws=3), jnp.ones((1, 3))
      >>> print(nested.update(losses, nested.init(losses), losses, key=jax.random.key(0))[0])
      [[1. 1. 1.]]

    Reference:
      Valipour et al., 2023, "SortedNet", arXiv 2309.00255. The distribution and the number of the
      draws are unconfirmed.
    """
    name = "nested_depth_weighting"
    check_number(name, "draws", draws, "[1, inf)")
    if probabilities is not None and not isinstance(probabilities, jax.Array):
        probabilities = np.asarray(probabilities, np.float64)
        total = probabilities.sum()
        if not (np.isfinite(total) and total > 0 and probabilities.min() >= 0):
            raise ValueError(
                f"{name}: probabilities is {probabilities}, but it must be one number of 0 or more "
                "for each step, not all 0"
            )

    def weigh(term: Term, extras: Extras) -> jax.Array:
        steps = _number_of_steps(name, term)
        key = own_key(
            name, extras.get("key", "a random key for this update from jax.random.key(...)")
        )
        rows = term.losses.shape[:1] if per_example else ()
        num_draws = jnp.asarray(draws, jnp.float32)
        counts = _spread_draws(key, rows, _cumulative(name, probabilities, steps), num_draws)
        if always_last:
            counts, num_draws = counts.at[..., -1].add(1), num_draws + 1
        return _for_each_example(counts * steps / num_draws, term)

    return stateless(name, weigh)


def position_importance_weighting(
    offset: chex.Numeric = 1.0,
    discount: Literal["log2", "reciprocal"] | Callable[[jax.Array], jax.Array] = "log2",
) -> optax.GradientTransformationExtraArgs:
    """Weights early positions in a ranking, or early supervision steps, more than late ones.

    `w = offset + 1 / log2(i + 1)` for position `i`, counted from 1; 1 for structural tokens.

    Use it for generated rankings, where early items matter most. For deep supervision, it is an
    alternative to `hierarchical_supervision_weighting` with a slower decay: the position is the
    step. The weights are not rescaled; follow it by `unit_mean_weighting` to do that.

    Args:
      offset: limit of the weights for late positions, at least 0; 1 in the paper.
      discount: term that is added to the offset: `"log2"` (the paper), `"reciprocal"` for `1 / i`,
        or a function of the positions (float32). Name a function in the `static_args` of
        `optax.inject_hyperparams`, which would take it for a schedule.

    Extra arguments:
      - `position`: int from 1, `[batch]` or the shape of the losses: the target rank of the item
        that a token belongs to. The default is `supervision_step`, and without that, for losses
        `[batch, steps]`, the index along the second axis.
      - `supervision_step`: int from 1, `[batch]` or the shape of the losses; used without
        `position`.
      - `is_structural`: bool `[batch]` or the shape of the losses, True for separators and similar
        tokens, whose weight is 1 at any position; optional.
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0.

    Returns:
      A weighting without state. A position below 1 has weight 0.

    Raises:
      ValueError: if the offset is negative, or the discount is unknown; at the first update (trace
        time), if the position is missing or has another shape; outside of `jax.jit`, if a position
        that counts is below 1 (the usual cause is counting from 0).

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from cgar_jax import weighting
      >>> importance, losses = weighting.position_importance_weighting(), jnp.ones((1, 3))
      >>> print(np.asarray(importance.update(losses, importance.init(losses), losses)[0]).round(2))
      [[2.   1.63 1.5 ]]

    Reference:
      "Sliding Windows Are Not the End: Exploring Full Ranking with Long-Context Large Language
      Models", 2024. Offset 1, `"log2"` and the structural tokens follow the released code.
    """
    check_number("position_importance_weighting", "offset", offset, "[0, inf)")
    if not callable(discount):
        check_static("position_importance_weighting", "discount", discount)
        check_name("discount", discount, _DISCOUNTS)
    discount_of = discount if callable(discount) else _DISCOUNTS[discount]

    def weigh(term: Term, extras: Extras) -> jax.Array:
        if "is_structural" in extras:
            structural = extras.per_loss("is_structural", "bool [batch]", term).astype(bool)
        else:
            structural = jnp.zeros_like(term.valid)
        position, ranked = _positions(term._replace(valid=term.valid & ~structural), extras)
        weight = jnp.asarray(offset, jnp.float32) + discount_of(position.astype(jnp.float32))
        return jnp.where(structural, 1, jnp.where(ranked, weight, 0))

    return stateless("position_importance_weighting", weigh)


def _number_of_steps(name: str, term: Term) -> int:
    if term.losses.ndim != 2:
        raise ValueError(
            f"{name}: the losses have shape {term.losses.shape}, but the weighting needs an axis "
            "of steps; pass the losses as [batch, steps]"
        )
    return term.losses.shape[1]


def _for_each_example(factor: chex.Array, term: Term) -> jax.Array:
    return jnp.broadcast_to(jnp.asarray(factor, jnp.float32), term.losses.shape)


def _cumulative(name: str, probabilities: chex.Array | None, steps: int) -> chex.Array:
    """Returns `sum_{r <= s} p_r` for each step s, which is 1 for the last step."""
    if probabilities is None:
        probabilities = np.ones(steps)
    if isinstance(probabilities, jax.Array):
        probabilities = probabilities.astype(jnp.float32)
    if probabilities.shape != (steps,):
        raise ValueError(
            f"{name}: probabilities has shape {probabilities.shape}, but the losses have {steps} "
            f"steps; pass it with shape {(steps,)}"
        )
    cumulative = probabilities.cumsum()
    return cumulative / cumulative[-1:]


def _spread_draws(
    key: jax.Array, rows: tuple[int, ...], cumulative: chex.Array, draws: jax.Array
) -> jax.Array:
    """Returns the number of draws of each step, [*rows, steps], by systematic sampling.

    Step s gets the points among `u, u + 1, u + 2, ...` that lie between `g cumulative_{s-1}` and
    `g cumulative_s`. With `u` uniform in (0, 1), their expected number is `g p_s`.
    """
    # The offset keeps a distance of 2^-17 from 0 and 1, where rounding errors would add or remove a
    # draw.
    offset = (jax.random.randint(key, (*rows, 1), 0, 2**16) + 0.5) / 2**16
    upper = jnp.ceil(draws * jnp.asarray(cumulative, jnp.float32) - offset)
    return jnp.diff(upper, axis=-1, prepend=0)


def _positions(term: Term, extras: Extras) -> tuple[jax.Array, jax.Array]:
    """Returns the position of each loss, counted from 1, and which losses have one."""
    shape = term.losses.shape
    meaning = (
        "the position of each loss, counted from 1, int [batch] or [batch, steps], or "
        "'supervision_step', or use losses of shape [batch, steps]; losses of shape "
        f"{shape} have no axis of positions"
    )
    if "position" in extras or ("supervision_step" not in extras and len(shape) != 2):
        return extras.steps("position", meaning, term)
    if "supervision_step" in extras:
        return extras.steps("supervision_step", meaning, term)
    return jnp.broadcast_to(jnp.arange(1, shape[1] + 1), shape), term.valid
