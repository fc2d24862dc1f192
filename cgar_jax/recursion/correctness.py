"""Per-example correctness of answers, from logits or tokens and labels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from cgar_jax.losses import valid_labels


class Correctness(NamedTuple):
    """The correctness of each answer, with the leading axes of the labels.

    Attributes:
      counts: bool `[...]`, whether the example has at least one cell that counts.
      exact: bool `[...]`, whether every cell that counts is right; False where none counts.
      cell_accuracy: float32 `[...]`, share of right cells among those that count.
    """

    counts: jax.Array
    exact: jax.Array
    cell_accuracy: jax.Array


def correctness(logits: jax.Array, labels: jax.Array) -> Correctness:
    """Compares the most likely tokens with the labels; labels that are not a token do not count.

    Args:
      logits: scores of the tokens, `[..., sequence_length, vocab_size]`.
      labels: tokens, int `[..., sequence_length]`.

    Returns:
      The correctness of each example.
    """
    return _compare(
        jnp.argmax(logits, axis=-1), labels, valid_labels(labels, None, logits.shape[-1])
    )


def correctness_of_answers(answers: jax.Array, labels: jax.Array) -> Correctness:
    """Compares answers with the labels; negative labels, such as `IGNORE_LABEL`, do not count.

    Args:
      answers: tokens, int `[..., sequence_length]`.
      labels: tokens, int `[..., sequence_length]`; broadcast against `answers`.

    Returns:
      The correctness of each example.
    """
    return _compare(answers, labels, valid_labels(labels))


def _compare(answers: jax.Array, labels: jax.Array, where: jax.Array) -> Correctness:
    right = (answers == labels) & where
    num_cells = where.sum(-1)
    num_right = right.sum(-1)
    return Correctness(
        counts=num_cells > 0,
        exact=(num_cells > 0) & (num_right == num_cells),
        cell_accuracy=num_right / jnp.maximum(num_cells, 1).astype(jnp.float32),
    )
