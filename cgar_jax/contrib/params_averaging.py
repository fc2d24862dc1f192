"""Averages of parameters, and a learning-rate schedule, for curricula whose best data comes last.

>>> from cgar_jax import contrib
>>> schedule = contrib.moderate_decay_schedule(peak=1.0, total_steps=4)
>>> [round(float(schedule(index)), 2) for index in range(4)]
[0.9, 0.65, 0.4, 0.3]

Both replace a learning rate that decays to 0, which would learn least from the best data.
"""

from typing import Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name


class ParamsAverageState(NamedTuple):
    """State of `curriculum_params_averaging`; read it with `averaged_params`.

    Attributes:
      count: number of updates so far, int32 scalar.
      weights: weight of each slot in the average, summing to 1, float32 `[slots]`.
      snapshots: parameters in each slot, a pytree like the parameters, float32 `[slots, ...]`.
    """

    count: jax.Array
    weights: jax.Array
    snapshots: chex.ArrayTree


def curriculum_params_averaging(
    kind: Literal["uniform", "linear", "exponential"] = "uniform",
    window: int = 6,
    decay: chex.Numeric | None = None,
    every: int = 1,
) -> optax.GradientTransformationExtraArgs:
    """Returns a transformation that averages the parameters of the end of training.

        average = sum_k a_k theta_k,   sum_k a_k = 1

    over snapshots `theta_k` that are taken every `every` updates:

    - `"uniform"`: the last `window` snapshots with equal weights;
    - `"linear"`: the last `window` snapshots with weights proportional to 1, 2, ..., `window`, the
      last one highest;
    - `"exponential"`: all snapshots with weights proportional to `decay^age`, as `optax.ema` with
      bias correction, in the memory of one copy.

    Use it in place of a learning rate that decays to 0 when the best data comes last. Updates pass
    through unchanged. Place it at the end of an `optax.chain`, where the updates are the final
    ones. Before the first snapshot, the average is the initial parameters.

    Args:
      kind: weights of the snapshots.
      window: number of snapshots, at least 1; 1 keeps the last one. Each is a copy of the
        parameters.
      decay: decay of the weights, in [0, 1); required for `"exponential"`, and only valid for it.
      every: number of updates from one snapshot to the next, at least 1.

    Returns:
      A transformation with a `ParamsAverageState`, in float32 for parameters of any dtype; `update`
      needs the parameters. Batch statistics, if a model has them, must be recomputed for the
      average.

    Raises:
      ValueError: if a setting is out of range, or `update` is called without the parameters.

    Example:
      >>> import jax.numpy as jnp
      >>> import optax
      >>> from cgar_jax import contrib
      >>> optimizer = optax.chain(optax.sgd(1.0), contrib.curriculum_params_averaging(window=2))
      >>> params = jnp.array(0.0)
      >>> state = optimizer.init(params)
      >>> for _ in range(3):
      ...     updates, state = optimizer.update(jnp.array(-1.0), state, params)
      ...     params = optax.apply_updates(params, updates)
      >>> print(params, contrib.averaged_params(state))
      3.0 2.5

    Reference:
      Luo et al., 2025, "How Learning Rate Decay Wastes Your Best Data in Curriculum-Based LLM
      Pretraining", arXiv 2511.18903. Inspired by its abstract; the paper's equation is unconfirmed,
      and so is the default of 6 snapshots.
    """
    owner = "curriculum_params_averaging"
    check_name("kind", kind, ("uniform", "linear", "exponential"))
    check_number(owner, "window", window, "[1, inf)")
    check_number(owner, "every", every, "[1, inf)")
    check_number(owner, "decay", decay, "[0, 1)")
    if (decay is None) == (kind == "exponential"):
        raise ValueError(
            f"{owner}: kind is {kind!r} and decay is {decay}, but kind 'exponential' needs a decay "
            "and the other kinds accept none"
        )
    slots = 1 if kind == "exponential" else window

    def init(params):
        first = jnp.arange(slots) == 0
        return ParamsAverageState(
            jnp.zeros([], jnp.int32),
            first.astype(jnp.float32),
            jax.tree.map(lambda leaf: _in_slots(first, leaf), params),
        )

    def update(updates, state, params=None, **extra_args):
        del extra_args
        if params is None:
            raise ValueError(
                f"{owner}: params is None; pass the parameters, update(updates, state, params)"
            )
        count = jnp.asarray(optax.safe_increment(state.count))
        taken, remainder = count // every, count % every
        stepped = optax.tree.cast(optax.apply_updates(params, updates), jnp.float32)
        if kind == "exponential":
            rate = _debiased_rate(decay, taken)
            stepped = jax.tree.map(
                lambda x, new: x[0] + rate * (new - x[0]), state.snapshots, stepped
            )
        # Between snapshots the slot index is out of range, so that nothing is written.
        slot = jnp.where(remainder == 0, (taken - 1) % slots, slots)
        snapshots = jax.tree.map(
            lambda ring, new: ring.at[slot].set(new, mode="drop"), state.snapshots, stepped
        )
        weights = jnp.where(taken == 0, state.weights, _slot_weights(kind, taken, slots))
        return updates, ParamsAverageState(count, weights, snapshots)

    return optax.GradientTransformationExtraArgs(init, update)


def averaged_params(state: Any) -> chex.ArrayTree:
    """Returns the average that `curriculum_params_averaging` keeps.

    Args:
      state: state of the transformation, or one that contains it, such as that of an `optax.chain`.

    Returns:
      A pytree like the parameters, float32; `optax.tree.cast_like` casts it to their dtype.

    Raises:
      ValueError: if `state` does not contain exactly one `ParamsAverageState`.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import contrib
      >>> average = contrib.curriculum_params_averaging()
      >>> print(contrib.averaged_params(average.init(jnp.array([1.0, 2.0]))))
      [1. 2.]
    """

    def is_average(node):
        return isinstance(node, ParamsAverageState)

    found = [node for node in jax.tree.leaves(state, is_leaf=is_average) if is_average(node)]
    if len(found) != 1:
        raise ValueError(
            f"averaged_params: the state contains {len(found)} parameter averages, but it must "
            "contain exactly one; pass the state of an optimizer with one "
            "curriculum_params_averaging"
        )
    weights = found[0].weights
    return jax.tree.map(
        lambda ring: jnp.tensordot(weights, ring, 1, precision=jax.lax.Precision.HIGHEST),
        found[0].snapshots,
    )


def moderate_decay_schedule(
    peak: float, total_steps: int, final_fraction: float = 0.3, warmup_steps: int = 0
) -> optax.Schedule:
    """Returns a learning rate that decays only to a moderate fraction of its peak.

        k <= warmup_steps:  peak k / warmup_steps
        afterwards:         peak (f + (1 - f)(1 + cos(pi q)) / 2),   f = final_fraction

    where `k = 1, 2, ...` is the number of the update and `q = (k - warmup_steps) / (total_steps -
    warmup_steps)`. Use it when the data comes in the order of its quality: a rate that decays to 0
    learns least from the best data.

    Args:
      peak: highest learning rate, at least 0.
      total_steps: number of updates of the run, more than `warmup_steps`.
      final_fraction: fraction of the peak that remains at the last update, in [0, 1]; 1 keeps the
        rate constant.
      warmup_steps: number of updates until the peak; 0 starts the decay with the first update.

    Returns:
      An optax schedule, from the update's index (which optax counts from 0) to the learning rate.

    Raises:
      ValueError: if a setting is out of range, or the warm-up does not end before the run.

    Example:
      >>> from cgar_jax import contrib
      >>> schedule = contrib.moderate_decay_schedule(peak=1.0, total_steps=4)
      >>> [round(float(schedule(index)), 2) for index in range(4)]
      [0.9, 0.65, 0.4, 0.3]

    Reference:
      Luo et al., 2025, arXiv 2511.18903. Inspired by its abstract; the cosine and the default of
      0.3 are ours, and the paper's own schedule is unconfirmed.
    """
    owner = "moderate_decay_schedule"
    check_number(owner, "peak", peak, "[0, inf)")
    check_number(owner, "final_fraction", final_fraction, "[0, 1]")
    check_number(owner, "warmup_steps", warmup_steps, "[0, inf)")
    if warmup_steps >= total_steps:
        raise ValueError(
            f"{owner}: warmup_steps is {warmup_steps}, but it must be less than the {total_steps} "
            "steps of the run; shorten the warm-up or lengthen the run"
        )
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, peak, warmup_steps, total_steps, final_fraction * peak
    )
    # Update k, counted from 1, uses the rate at k: the first update is not wasted on a rate of 0,
    # and the last one has the final rate.
    return lambda index: schedule(index + 1)


def _in_slots(first: jax.Array, leaf: jax.Array) -> jax.Array:
    """Returns `leaf` in the first slot and zeros in the others, with the sharding of `leaf`."""
    first = first.reshape(-1, *[1] * jnp.ndim(leaf))
    return jnp.where(first, jnp.asarray(leaf)[None], 0).astype(jnp.float32)


def _slot_weights(kind: str, taken: jax.Array, slots: int) -> jax.Array:
    """Returns the weights of a ring buffer of `slots` after `taken` snapshots, at least one."""
    age = (taken - 1 - jnp.arange(slots)) % slots
    filled = jnp.minimum(taken, slots)
    weights = filled - age if kind == "linear" else jnp.ones(slots)
    weights = jnp.where(age < filled, weights, 0).astype(jnp.float32)
    return weights / jnp.maximum(jnp.sum(weights), 1)


def _debiased_rate(decay: chex.Numeric | None, taken: jax.Array) -> jax.Array:
    """Returns the weight of the last of `taken` snapshots in the bias-corrected average."""
    decay = jnp.asarray(decay, jnp.float32)
    return (1 - decay) / (1 - decay ** jnp.maximum(taken, 1).astype(jnp.float32))
