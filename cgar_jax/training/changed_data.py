"""Continues a train state on training data that have changed since it was saved.

Learned quantities are kept; whatever depends on single training examples starts anew.
"""

import logging

import jax
import jax.numpy as jnp
import numpy as np

from cgar_jax.data import Fingerprint
from cgar_jax.data.trained_rows import previous_rows
from cgar_jax.training import processes
from cgar_jax.training.checkpoints import CheckpointError, Restored, changes
from cgar_jax.training.state import TrainState


def continue_on(restored: Restored, now: Fingerprint, initial: TrainState) -> TrainState:
    """Returns the restored state, adapted to the current training data; logs what has changed.

    The embedding of a variant is found by the name of its puzzle; variants that are new begin with
    the embedding of `initial`. The examples in the batch and the state of the sampling start anew.

    Args:
      restored: content of a checkpoint.
      now: fingerprint of the current training data.
      initial: the state before the first step.

    Raises:
      CheckpointError: if the embeddings changed in number, or their owners are not recorded.
    """
    before, state = restored.trained_on, restored.state
    lines = changes(before, now)
    table = state.puzzle_table
    if not now.puzzles and table.shape != initial.puzzle_table.shape:
        raise CheckpointError(
            f"the checkpoint has {table.shape[0]} puzzle embeddings, but the data need "
            f"{initial.puzzle_table.shape[0]}, and puzzles have no names by which embeddings could "
            "be found; use another --workdir"
        )
    if now.puzzles:
        if before is None or not before.puzzles:
            raise CheckpointError(
                "the checkpoint does not record which puzzles its embeddings belong to, so that "
                "training cannot continue on other puzzles; use another --workdir"
            )
        rows = previous_rows(before.puzzles, now.puzzles)
        lines.append(f"{(rows >= 0).sum():,} of {len(rows):,} embeddings are kept, others are new")
        missing = initial.puzzle_table.shape[0] - len(rows)
        rows = np.pad(rows, (0, missing), constant_values=-1)
        sharding = initial.puzzle_table.sharding
        table = jax.jit(_moved, out_shardings=sharding)(table, initial.puzzle_table, rows)
    if processes.is_first():
        listed = "\n  ".join(lines)
        logging.warning(
            "training continues on changed data, as --allow_changed_data permits:\n  %s", listed
        )
    return state._replace(
        puzzle_table=table, sampling_state=initial.sampling_state, carry=initial.carry
    )


def _moved(old: jax.Array, initial: jax.Array, rows: jax.Array) -> jax.Array:
    return jnp.where((rows >= 0)[:, None], old[rows], initial)
