"""Supervision steps of a trained model on puzzles, plain or as noisy rollouts.

A *rollout* is one run of the recursion on one puzzle. The first rollout of a puzzle is the plain
model's; in the others Gaussian noise is added to the latent before each deep recursion. Noise
depends on the seed, the puzzle's number, the rollout and the supervision step alone, and so not on
what else is in the batch.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from cgar_jax._core.depth import Depth
from cgar_jax.mesh import BATCH
from cgar_jax.recursion.deep_recursion import supervision_step
from cgar_jax.training.state import Weights


class Rows(NamedTuple):
    """What a batch is at work on; every leaf has the rows in front."""

    inputs: jax.Array  # [rows, sequence_length] int32
    puzzle_identifiers: jax.Array  # [rows] int32
    numbers: jax.Array  # [rows] int32, of the puzzle
    rollouts: jax.Array  # [rows] int32, of the rollout; 0 is without noise
    supervision_steps: jax.Array  # [rows] int32, done; where 0, the states begin anew


def rows_of(
    inputs: np.ndarray,
    puzzle_identifiers: np.ndarray,
    numbers: np.ndarray,
    supervision_steps: np.ndarray,
    num_rollouts: int,
) -> Rows:
    """Rows of some puzzles, those of the rollouts of a puzzle side by side.

    Args:
      inputs: tokens `[num, sequence_length]`.
      puzzle_identifiers: `[num]`.
      numbers: of the puzzles, `[num]`.
      supervision_steps: done, `[num]`.
      num_rollouts: of each.
    """

    def per_row(column):
        return np.repeat(np.asarray(column, np.int32), num_rollouts, axis=0)

    rollouts = np.tile(np.arange(num_rollouts, dtype=np.int32), len(numbers))
    columns = map(per_row, (inputs, puzzle_identifiers, numbers))
    return Rows(*columns, rollouts, per_row(supervision_steps))


States = tuple[jax.Array, jax.Array]  # y, z: [rows, length, hidden]


class Attempt(NamedTuple):
    """What the heads say after a supervision step."""

    answers: jax.Array  # [..., rows, sequence_length] uint8
    halt_logits: jax.Array  # [..., rows] float32


def attempt(outputs: Any) -> Attempt:
    """The most likely tokens, and the logit of being right."""
    return Attempt(jnp.argmax(outputs.logits, axis=-1).astype(jnp.uint8), outputs.halt_logits)


def empty_states(model: Any, num_rows: int) -> States:
    """States of rows that have not begun."""
    y, z = jnp.zeros((2, num_rows, *model.state_shape), model.dtype)
    return y, z


def think(
    model: Any,
    depth: Depth,
    num_steps: int,
    read: Callable[[Any], Any],
    weights: Weights,
    states: States,
    rows: Rows,
    noise: float | jax.Array | None = None,
    key: jax.Array | None = None,
) -> tuple[States, Any]:
    """Takes some supervision steps.

    Args:
      model: a flax module of `cgar_jax.models`.
      depth: of each deep recursion, static.
      num_steps: how many, static.
      read: from what the heads say to what is kept of it, as `attempt`.
      weights: of the model.
      states: of the rows, as left by the steps before.
      rows: what they are at work on.
      noise: standard deviation of what is added to the latent in rollouts other than 0; None for
        a program without noise.
      key: of the noise.

    Returns:
      The states after, and what was read after each step, `[num_steps, ...]`.
    """
    variables = weights.variables
    puzzle_rows = weights.puzzle_table[rows.puzzle_identifiers]
    begins = (rows.supervision_steps == 0)[:, None, None]
    start = model.apply(variables, method="initial_state")
    states = jax.tree.map(lambda first, now: jnp.where(begins, first, now), start, states)

    def step(states, number):
        y, z = states
        if noise is not None:
            z = z + _noise(z, rows, number, noise, key)
        y, z, outputs = supervision_step(model, variables, rows.inputs, puzzle_rows, y, z, depth)
        return (y, z), read(outputs)

    return lax.scan(step, states, jnp.arange(num_steps))


def _noise(z, rows, number, scale, key):
    def draw(puzzle, rollout, done):
        of_rollout = jax.random.fold_in(jax.random.fold_in(key, puzzle), rollout)
        drawn = jax.random.normal(jax.random.fold_in(of_rollout, done + number), z.shape[1:])
        return jnp.where(rollout > 0, scale, 0.0) * drawn

    return jax.vmap(draw)(rows.numbers, rows.rollouts, rows.supervision_steps).astype(z.dtype)


def think_apart(
    mesh: Mesh,
    thinks: Callable[..., tuple[States, Any]],
    weights: Weights,
    states: States,
    rows: Rows,
    *noise: Any,
) -> tuple[States, Any]:
    """Each device of a mesh thinks about its own rows; the arguments and results are `think`'s.

    Args:
      mesh: of the devices; their number divides that of the rows.
      thinks: `think` of a model, a depth, a number of steps and a reader.
      weights: of the model, however they lie on the devices.
      states: of the rows.
      rows: what they are at work on.
      *noise: and its key, or nothing.
    """

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(PartitionSpec(), BATCH, BATCH, BATCH, *(PartitionSpec() for _ in noise)),
        out_specs=(BATCH, PartitionSpec(None, *BATCH)),
    )
    def here(variables, puzzle_rows, states, rows, *noise):
        # Of the table a device has the rows of its puzzles alone, in their order.
        own = rows._replace(puzzle_identifiers=jnp.arange(len(puzzle_rows)))
        return thinks(Weights(variables, puzzle_rows), states, own, *noise)

    puzzle_rows = weights.puzzle_table[rows.puzzle_identifiers]
    return here(weights.variables, puzzle_rows, states, rows, *noise)


class Thoughts(NamedTuple):
    """What came of puzzles that each were thought about for as long as they wanted."""

    attempt: Attempt  # the last one of each, leaves [num, ...]
    supervision_steps: jax.Array  # [num] int32, taken


def think_until_halted(
    mesh: Mesh,
    model: Any,
    depth: Depth,
    max_steps: int,
    weights: Weights,
    inputs: jax.Array,
    puzzle_identifiers: jax.Array,
) -> Thoughts:
    """Thinks about each puzzle until its halting logit is positive; all in one dispatch.

    Of `num` puzzles a device works on `num / max_steps` at once. One that halts leaves its slot to
    the next, so that the last ones, for which nobody waits, cost no more than a step of all.

    Args:
      mesh: of the devices; each has its own puzzles and its own end.
      model: a flax module of `cgar_jax.models`.
      depth: of each deep recursion.
      max_steps: at which a puzzle ends anyway.
      weights: of the model, however they lie on the devices.
      inputs: tokens `[num, sequence_length]`; the mesh divides `num`.
      puzzle_identifiers: `[num]`.
    """
    num = len(inputs) // mesh.size  # of each device
    num_slots = -(-num // max_steps)

    # Of each slot, the number of its puzzle and the steps that this one has had.
    numbers = jnp.tile(jnp.arange(num_slots), mesh.size)
    slots = numbers, jnp.zeros_like(numbers)
    states = empty_states(model, len(numbers))
    nothing = Attempt(jnp.zeros(inputs.shape, jnp.uint8), jnp.zeros(len(inputs)))
    thoughts = Thoughts(nothing, jnp.zeros(len(inputs), jnp.int32))

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(PartitionSpec(), *(BATCH for _ in range(5))),
        out_specs=BATCH,
    )
    def here(variables, puzzle_rows, inputs, slots, states, thoughts):
        def step(loop):
            (numbers, steps), states, thoughts = loop
            rows = Rows(inputs[numbers], numbers, numbers, jnp.zeros_like(steps), steps)
            own = Weights(variables, puzzle_rows)
            states, found = think(model, depth, 1, attempt, own, states, rows)
            now = Thoughts(jax.tree.map(lambda x: x[0], found), steps + 1)
            # An idle slot has a number beyond the last, which is dropped.
            thoughts = jax.tree.map(
                lambda old, new: old.at[numbers].set(new, mode="drop"), thoughts, now
            )
            done = (now.attempt.halt_logits > 0) | (now.supervision_steps >= max_steps)
            behind = jnp.max(numbers) + jnp.cumsum(done)  # numbers are given out in order
            numbers = jnp.where(done, jnp.minimum(behind, num), numbers)
            return (numbers, jnp.where(done, 0, now.supervision_steps)), states, thoughts

        loop = slots, states, thoughts
        return lax.while_loop(lambda loop: jnp.any(loop[0][0] < num), step, loop)[-1]

    puzzle_rows = weights.puzzle_table[puzzle_identifiers]
    return here(weights.variables, puzzle_rows, inputs, slots, states, thoughts)


@functools.lru_cache
def compiled(
    model: Any, depth: Depth, num_steps: int, read: Callable[[Any], Any], mesh: Mesh | None = None
) -> Callable:
    """`think`, jitted, the states donated; the same arguments give the same program.

    Args:
      model: as for `think`, and so the next three.
      depth: static.
      num_steps: static.
      read: static.
      mesh: over which the rows are split; None if each device has them all.
    """
    thinks = functools.partial(think, model, depth, num_steps, read)
    if mesh is not None:
        thinks = functools.partial(think_apart, mesh, thinks)
    return jax.jit(thinks, donate_argnames=("states",))
