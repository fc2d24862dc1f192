"""Weightings of the steps of deep supervision: which steps are trained, and how much each counts.

`weighted_mean`, the reduction, is a *mean* over the steps of losses ``[batch, steps]``: a weight of
S on one of S steps makes its loss the mean. So a weighting that keeps a few steps gives them S over
their number, and its weights average to 1.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cgar_jax._core.checks import check_number
from cgar_jax._core.random import own_key
from cgar_jax._core.registry import check_name
from cgar_jax.weighting._transform import Extras, Term, stateless

# The discount of the 1-based position i.
_DISCOUNTS = {
    "log2": lambda position: 1 / jnp.log2(position + 1),
    "reciprocal": lambda position: 1 / position,
}


def sorted_exit_weighting(
    exits: Sequence[int] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Train some of the steps, the exits, all of them at once and all alike (SoFT).

    ``w_s = S / |E|`` for a step s in the set E of exits, 0 for others; S is the number of steps.
    The mean over the steps then is the mean over the exits. Where some steps are masked,
    `unit_mean_weighting` after this makes it the mean over the exits that count.

    Extra arguments of ``update``:
      where: bool, the losses' shape or ``[batch]``; False gets weight 0.

    Args:
      exits: step numbers, 1-based, each once; None is every step. ``[S]`` trains the last step
        alone, which is standard fine-tuning.

    Returns:
      A transformation without state; it multiplies the weights it is given. It takes losses
      ``[batch, steps]``.

    Raises:
      ValueError: exits that are none, below 1 or repeated; at the first update (trace time), exits
        beyond the last step, or losses without an axis of steps.

    Source: Kavehzadeh et al., Sorted LLaMA, 2023, arXiv 2309.08968 (id from memory); likely: which
    exits the paper takes is not confirmed, so that all is the default here.
    """
    if exits is not None:
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
                f"{term.losses.shape} have only {steps} steps; leave out the exits beyond"
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
    """Train a few steps drawn at random, so that each depth becomes a model of its own (SortedNet).

    ``w_s = S c_s / g``, where step s is drawn ``c_s`` times in g draws. The mean over the steps
    then is the mean loss of the draws, in expectation ``sum_s p_s l_s``. For equal probabilities
    that is, whatever is masked, the mean that there would be without this weighting.

    The draws of one update are spread: ``c_s`` is ``g p_s`` rounded up or down, so that S draws of
    equal probability are each step once. All loss terms get the same draws. The model still runs
    all its steps: this chooses what is trained, and saves no forward pass.

    Extra arguments of ``update``:
      key: a random key of this update, `jax.random.key`. Under `jax.shard_map` with
        ``per_example``, one for each shard.
      where: bool, the losses' shape or ``[batch]``; False gets weight 0.

    Args:
      probabilities: p, one for each step, rescaled to sum 1; None is equal ones.
      draws: g, 1 or more.
      per_example: draw for each example: less noise, ours. False draws for the whole batch.
      always_last: one draw more, g + 1 in all, which is the last step, so that no update leaves out
        the full depth; ours. The expectation is that of the g draws and the last step together.

    Returns:
      A transformation without state; it multiplies the weights it is given. It takes losses
      ``[batch, steps]``.

    Raises:
      ValueError: draws below 1; probabilities that are negative, not finite or all 0; at the first
        update (trace time), a ``key`` that is missing, or probabilities or losses of another shape.

    Source: Valipour et al., SortedNet, 2023, arXiv 2309.00255 (id from memory); likely: the law of
    the draws and their number are not confirmed.
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
        key = own_key(name, extras.get("key", "a random key of this update, jax.random.key(...)"))
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
    """Weight what stands early in a ranking, or at an early step, above what comes late.

    ``w = offset + 1 / log2(i + 1)`` for the 1-based position i, and 1 for structural tokens. The
    weights are not rescaled; `unit_mean_weighting` after this does that.

    For deep supervision it is an alternative to `hierarchical_supervision_weighting`, whose weights
    fall geometrically: let the position be the step.

    Extra arguments of ``update``:
      position: int, 1-based, the losses' shape or ``[batch]``: the target rank of the item that a
        token belongs to. Left out, it is ``supervision_step``; and with neither, for losses
        ``[batch, steps]``, the place along the second axis.
      supervision_step: int, 1-based, the losses' shape or ``[batch]``; if there is no ``position``.
      is_structural: bool, the losses' shape or ``[batch]``, may be left out: separators and the
        like, whose weight is 1, whatever their position.
      where: bool, the losses' shape or ``[batch]``; False gets weight 0.

    Args:
      offset: what the weights tend to; 0 or more, 1 in the paper.
      discount: ``"log2"`` (the paper), ``"reciprocal"`` for ``1 / i`` in its place, or a function
        of the positions, float32, which gives what is added to the offset. Under
        `optax.inject_hyperparams` name it in ``static_args``: a function is a schedule there.

    Returns:
      A transformation without state; it multiplies the weights it is given. A position below 1 gets
      weight NaN: it is a mistake, counting from 0 most likely, that cannot be raised in a jit.

    Raises:
      ValueError: a negative offset; an unknown discount; at the first update (trace time), a
        position that is missing or of another shape.

    Source: Sliding Windows Are Not the End: Exploring Full Ranking with Long-Context LLMs, 2024;
    certain (released code) for offset 1, ``"log2"`` and the structural tokens.
    """
    check_number("position_importance_weighting", "offset", offset, "[0, inf)")
    if not callable(discount):
        check_name("discount", discount, _DISCOUNTS)
    discount_of = discount if callable(discount) else _DISCOUNTS[discount]

    def weigh(term: Term, extras: Extras) -> jax.Array:
        position = _positions(term, extras)
        if "is_structural" in extras:
            structural = extras.per_loss("is_structural", "True for separators", term).astype(bool)
        else:
            structural = jnp.zeros_like(term.valid)
        ranked = term.valid & ~structural
        discounts = discount_of(jnp.where(ranked & (position >= 1), position, 1))
        weight = jnp.asarray(offset, jnp.float32) + discounts
        return jnp.where(ranked, jnp.where(position >= 1, weight, jnp.nan), 1)

    return stateless("position_importance_weighting", weigh)


def _number_of_steps(name: str, term: Term) -> int:
    if term.losses.ndim != 2:
        raise ValueError(
            f"{name}: the losses have shape {term.losses.shape}, but it weighs the steps of each "
            "example; pass the losses as [batch, steps]"
        )
    return term.losses.shape[1]


def _for_each_example(factor: chex.Array, term: Term) -> jax.Array:
    return jnp.broadcast_to(jnp.asarray(factor, jnp.float32), term.losses.shape)


def _cumulative(name: str, probabilities: chex.Array | None, steps: int) -> chex.Array:
    """Return ``sum_{r <= s} p_r`` for each step s; 1 for the last."""
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
    """Return how often each step is drawn, ``[*rows, steps]``: systematic sampling.

    Of the points ``u, u + 1, u + 2 ...`` step s gets those between ``g cumulative_{s-1}`` and
    ``g cumulative_s``; with u uniform in (0, 1) they are ``g p_s`` in expectation.
    """
    # Never within 2^-17 of 0 or 1: so close, rounding would make it a draw too many or too few.
    offset = (jax.random.randint(key, (*rows, 1), 0, 2**16) + 0.5) / 2**16
    upper = jnp.ceil(draws * jnp.asarray(cumulative, jnp.float32) - offset)
    return jnp.diff(upper, axis=-1, prepend=0)


def _positions(term: Term, extras: Extras) -> jax.Array:
    """Return the 1-based position of each loss, float32, with the losses' shape."""
    shape = term.losses.shape
    meaning = (
        "the 1-based position of each loss, int [batch] or [batch, steps], or 'supervision_step', "
        f"or losses of shape [batch, steps]; losses of shape {shape} have no axis of positions"
    )
    if "position" in extras or ("supervision_step" not in extras and len(shape) != 2):
        position = extras.per_loss("position", meaning, term)
    elif "supervision_step" in extras:
        position = extras.per_loss("supervision_step", meaning, term)
    else:
        position = jnp.arange(1, shape[1] + 1)
    return jnp.broadcast_to(position, shape).astype(jnp.float32)
