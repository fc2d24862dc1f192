"""What is right: per-example correctness of an answer, from logits and labels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from cgar_jax.losses import valid_labels


class Correctness(NamedTuple):
    """Per example; leading axes as those of the labels."""

    counts: jax.Array  # [...] bool, the example has at least one cell that counts
    exact: jax.Array  # [...] bool, every cell that counts is right (false where none counts)
    cell_accuracy: jax.Array  # [...] float32, share of right cells among those that count


def correctness(logits: jax.Array, labels: jax.Array) -> Correctness:
    """Compares the most likely tokens with the labels, leaving out labels of `IGNORE_LABEL`.

    Args:
      logits: `[..., sequence_length, vocab_size]`.
      labels: int `[..., sequence_length]`.
    """
    return correctness_of_answers(jnp.argmax(logits, axis=-1), labels)


def correctness_of_answers(answers: jax.Array, labels: jax.Array) -> Correctness:
    """Compares answers with the labels, leaving out labels of `IGNORE_LABEL`.

    Args:
      answers: tokens, int `[..., sequence_length]`.
      labels: int32 `[..., sequence_length]`, of a shape that goes with that of the answers.
    """
    where = valid_labels(labels)
    right = (answers == labels) & where
    num_cells = where.sum(-1)
    num_right = right.sum(-1)
    return Correctness(
        counts=num_cells > 0,
        exact=(num_cells > 0) & (num_right == num_cells),
        cell_accuracy=num_right / jnp.maximum(num_cells, 1).astype(jnp.float32),
    )
