"""Weight averaging, for a curriculum whose best data comes last, and the learning rate with it."""

from typing import Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_number
from cgar_jax._core.registry import check_name


class WeightAverageState(NamedTuple):
    """State of `curriculum_weight_average`; read it with `averaged_params`.

    Attributes:
      count: int32 scalar, the updates so far.
      weights: float32 ``[slots]``, what each slot counts; they sum to 1.
      snapshots: like the parameters, float32 with an axis ``[slots]`` in front.
    """

    count: jax.Array
    weights: jax.Array
    snapshots: chex.ArrayTree


def curriculum_weight_average(
    kind: Literal["uniform", "linear", "exponential"] = "uniform",
    window: int = 6,
    decay: chex.Numeric | None = None,
    every: int = 1,
) -> optax.GradientTransformationExtraArgs:
    """Average the parameters of the end of training, in place of a learning rate that decays to 0.

    ``sum_k a_k theta_k``, ``sum_k a_k = 1``, over snapshots taken every so many updates:

    - ``"uniform"``: the last ``window``, all alike;
    - ``"linear"``: the last ``window``, ``a_k = 1, 2, .. window`` in proportion, the last most;
    - ``"exponential"``: all of them, ``a_k = decay^age`` in proportion, as `optax.ema` with its
      bias corrected, in the memory of one copy.

    The updates pass as they are. Put it last, where they are what is added to the parameters::

        optimizer = optax.chain(optax.adamw(1e-3), curriculum_weight_average(every=100))
        ...
        evaluate(averaged_params(optimizer_state))

    Before the first snapshot the average is the parameters that it began with.

    Args:
      kind: the weights.
      window: 1 or more, how many snapshots; 1 keeps the last. Each is a copy of the parameters.
      decay: in [0, 1); for ``"exponential"``, which needs it, and no other.
      every: 1 or more, the updates from one snapshot to the next.

    Returns:
      A transformation with a `WeightAverageState`, in float32 whatever the parameters are in;
      ``update`` needs the parameters. Statistics of batches, where a model has them, must be
      computed anew for the average.

    Raises:
      ValueError: a setting out of its range; an update without the parameters.

    Source: Inspired by Luo et al., How Learning Rate Decay Wastes Your Best Data in
    Curriculum-Based LLM Pretraining, 2025, arXiv 2511.18903; reconstructed from its abstract, not
    the paper's equation. The averages themselves are certain; the default of 6 snapshots is likely.
    """
    owner = "curriculum_weight_average"
    check_name("kind", kind, ("uniform", "linear", "exponential"))
    check_number(owner, "window", window, "[1, inf)")
    check_number(owner, "every", every, "[1, inf)")
    check_number(owner, "decay", decay, "[0, 1)")
    if (decay is None) == (kind == "exponential"):
        raise ValueError(
            f"{owner}: kind is {kind!r} and decay is {decay}; pass a decay with kind "
            "'exponential', and with no other"
        )
    slots = 1 if kind == "exponential" else window

    def init(params):
        first = jnp.arange(slots) == 0
        return WeightAverageState(
            jnp.zeros([], jnp.int32),
            first.astype(jnp.float32),
            jax.tree.map(lambda leaf: _in_slots(first, leaf), params),
        )

    def update(updates, state, params=None, **extra_args):
        del extra_args
        if params is None:
            raise ValueError(f"{owner}: pass the parameters, update(updates, state, params)")
        count = optax.safe_increment(state.count)
        taken, remainder = count // every, count % every
        stepped = optax.tree.cast(optax.apply_updates(params, updates), jnp.float32)
        if kind == "exponential":
            rate = _debiased_rate(decay, taken)
            stepped = jax.tree.map(
                lambda x, new: x[0] + rate * (new - x[0]), state.snapshots, stepped
            )
        # A slot that does not exist is not written to.
        slot = jnp.where(remainder == 0, (taken - 1) % slots, slots)
        snapshots = jax.tree.map(
            lambda ring, new: ring.at[slot].set(new, mode="drop"), state.snapshots, stepped
        )
        weights = jnp.where(taken == 0, state.weights, _slot_weights(kind, taken, slots))
        return updates, WeightAverageState(count, weights, snapshots)

    return optax.GradientTransformationExtraArgs(init, update)


def averaged_params(state: Any) -> chex.ArrayTree:
    """The average that `curriculum_weight_average` keeps.

    Args:
      state: its state, or one that holds it, such as that of an `optax.chain`.

    Returns:
      Like the parameters, float32; `optax.tree.cast_like` gives them the parameters' dtype.

    Raises:
      ValueError: not exactly one `WeightAverageState` in ``state``.
    """

    def is_average(node):
        return isinstance(node, WeightAverageState)

    found = [node for node in jax.tree.leaves(state, is_leaf=is_average) if is_average(node)]
    if len(found) != 1:
        raise ValueError(
            f"averaged_params: the state holds {len(found)} weight averages, but it must hold one; "
            "pass the state of an optimizer with one curriculum_weight_average"
        )
    weights = found[0].weights
    return jax.tree.map(
        lambda ring: jnp.tensordot(weights, ring, 1, precision=jax.lax.Precision.HIGHEST),
        found[0].snapshots,
    )


def moderate_decay_schedule(
    peak: float, total_steps: int, final_fraction: float = 0.3, warmup_steps: int = 0
) -> optax.Schedule:
    """A learning rate that ends at a moderate fraction of its peak, for data that gets better.

    Linear warm-up, then half a cosine from ``peak`` down to ``final_fraction * peak``, which the
    last update has. With data in the order of its quality, a rate that decays to 0 learns least
    from the best.

    Args:
      peak: the highest learning rate, 0 or more.
      total_steps: updates in all, more than ``warmup_steps``.
      final_fraction: in [0, 1]; 1 does not decay.
      warmup_steps: updates up to the peak; 0 decays from the first.

    Returns:
      An optax schedule: from the update's index, which optax counts from 0, to the learning rate.

    Raises:
      ValueError: a setting out of its range; a run that would end within its warm-up.

    Source: Inspired by Luo et al., How Learning Rate Decay Wastes Your Best Data in
    Curriculum-Based LLM Pretraining, 2025, arXiv 2511.18903; reconstructed from its abstract, not
    the paper's equation. The cosine and the 0.3 are ours.
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
    # Update k, counted from 1, has the rate at k: the first is not wasted, the last is the final.
    return lambda index: schedule(index + 1)


def _in_slots(first: jax.Array, leaf: jax.Array) -> jax.Array:
    """A copy of ``leaf`` in the first slot and zeros in the others, placed as ``leaf`` is."""
    first = first.reshape(-1, *[1] * jnp.ndim(leaf))
    return jnp.where(first, jnp.asarray(leaf)[None], 0).astype(jnp.float32)


def _slot_weights(kind: str, taken: jax.Array, slots: int) -> jax.Array:
    """Weights of a ring of ``slots`` after ``taken`` snapshots, one at least."""
    age = (taken - 1 - jnp.arange(slots)) % slots
    filled = jnp.minimum(taken, slots)
    weights = filled - age if kind == "linear" else jnp.ones(slots)
    weights = jnp.where(age < filled, weights, 0).astype(jnp.float32)
    return weights / jnp.maximum(jnp.sum(weights), 1)


def _debiased_rate(decay: chex.Numeric, taken: jax.Array) -> jax.Array:
    """How far the debiased average moves to the last snapshot, one at least was taken."""
    decay = jnp.asarray(decay, jnp.float32)
    return (1 - decay) / (1 - decay ** jnp.maximum(taken, 1).astype(jnp.float32))
