"""Rollouts: the batches that a trained model works on outside training.

A *rollout* is one run of the recursion on one puzzle. The first rollout of a puzzle runs without
noise; in the others, Gaussian noise is added to the latent state before each deep recursion. The
noise depends only on the seed, the puzzle's index, the rollout and the supervision step, so the
other puzzles of the batch do not affect it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cgar_jax.models import Outputs


class Rollouts(NamedTuple):
    """A batch of rollouts; every leaf has one row per rollout.

    Attributes:
      inputs: tokens, int32 `[rows, sequence_length]`.
      puzzle_identifiers: rows of the puzzle embedding, int32 `[rows]`.
      puzzle_indices: index of the puzzle, int32 `[rows]`; seeds whatever is drawn.
      rollout_indices: index of the rollout of its puzzle, int32 `[rows]`; 0 is without noise.
      steps_taken: supervision steps so far, int32 `[rows]`; at 0 the states are initialized.
    """

    inputs: Any
    puzzle_identifiers: Any
    puzzle_indices: Any
    rollout_indices: Any
    steps_taken: Any

    @classmethod
    def plain(cls, inputs: Any, puzzle_identifiers: Any) -> "Rollouts":
        """Returns one rollout without noise for each puzzle, before its first supervision step.

        Args:
          inputs: tokens, int32 `[rows, sequence_length]`.
          puzzle_identifiers: rows of the puzzle embedding, int32 `[rows]`.
        """
        zeros = puzzle_identifiers * 0
        return cls(inputs, puzzle_identifiers, zeros, zeros, zeros)

    def keys(self) -> jax.Array:
        """Returns the random key of each rollout, `[rows]`, for `RecursionOptions` that need it."""

        def key(puzzle, rollout):
            return jax.random.fold_in(jax.random.fold_in(jax.random.key(0), puzzle), rollout)

        return jax.vmap(key)(self.puzzle_indices, self.rollout_indices)

    def repeated(self, num_rollouts: int) -> "Rollouts":
        """Returns `num_rollouts` rollouts of each puzzle, those of a puzzle side by side.

        Args:
          num_rollouts: number of rollouts of each puzzle.

        Returns:
          NumPy arrays of `num_rollouts` times as many rows.
        """
        columns = [np.repeat(np.asarray(column, np.int32), num_rollouts, axis=0) for column in self]
        rollouts = np.tile(np.arange(num_rollouts, dtype=np.int32), len(self.inputs))
        return Rollouts(*columns)._replace(rollout_indices=rollouts)


class Noise(NamedTuple):
    """Gaussian noise for all rollouts but the first one of each puzzle.

    Attributes:
      scale: standard deviation, a number or scalar array.
      key: random key.
    """

    scale: float | jax.Array
    key: jax.Array

    def draw(self, z: jax.Array, rollouts: Rollouts, step: jax.Array) -> jax.Array:
        """Draws the noise that is added to the latent states before a supervision step.

        Args:
          z: latent states, `[rows, *state_shape]`.
          rollouts: the batch.
          step: number of supervision steps since `rollouts.steps_taken`, int scalar.

        Returns:
          Noise with the shape and dtype of `z`; zero for the first rollout of each puzzle.
        """

        def draw(puzzle, rollout, taken):
            own_key = jax.random.fold_in(jax.random.fold_in(self.key, puzzle), rollout)
            drawn = jax.random.normal(jax.random.fold_in(own_key, taken + step), z.shape[1:])
            return jnp.where(rollout > 0, self.scale, 0.0) * drawn

        indices = rollouts.puzzle_indices, rollouts.rollout_indices, rollouts.steps_taken
        return jax.vmap(draw)(*indices).astype(z.dtype)


class Prediction(NamedTuple):
    """What is known after a supervision step.

    Attributes:
      answers: most likely tokens, uint8 `[..., rows, sequence_length]`.
      halt_logits: logits of the answer being right, float32 `[..., rows]`.
      residuals: how far the step has moved the logits, see `residual`; float32 `[..., rows]`.
    """

    answers: jax.Array
    halt_logits: jax.Array
    residuals: jax.Array


def read_answer(outputs: Outputs, before: Callable[[], jax.Array]) -> Prediction:
    """Reads a prediction with residuals of 0, which cost nothing.

    Args:
      outputs: outputs of the heads after the step.
      before: ignored.
    """
    del before
    answers = jnp.argmax(outputs.logits, axis=-1).astype(jnp.uint8)
    return Prediction(answers, outputs.halt_logits, jnp.zeros_like(outputs.halt_logits))


def read_prediction(outputs: Outputs, before: Callable[[], jax.Array]) -> Prediction:
    """Reads a prediction.

    Args:
      outputs: outputs of the heads after the step.
      before: function that computes the logits before the step, `[rows, sequence_length,
        vocab_size]`.
    """
    moved = residual(outputs.logits, before())
    return read_answer(outputs, before)._replace(residuals=moved)


def residual(logits: jax.Array, before: jax.Array) -> jax.Array:
    """Returns how far a supervision step has moved the logits.

    `mean over cells of ||l[s] - l_before[s]||_2`. A rollout that has settled has a small residual,
    which is a sign of a right answer.

    Args:
      logits: logits after the step, `[..., cells, vocab]`.
      before: logits before it, of the same shape.

    Returns:
      float32 `[...]`.

    Reference:
      Huang, Geng and Kolter, 2026, arXiv 2605.21488 (EqR), as in the released code.
    """
    return jnp.linalg.norm((logits - before).astype(jnp.float32), axis=-1).mean(-1)
