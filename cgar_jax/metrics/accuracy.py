"""Accuracy of answers, one value per example.

>>> import jax.numpy as jnp
>>> from cgar_jax.metrics import cell_accuracy_metric
>>> print(cell_accuracy_metric(jnp.array([[1, 2, 3, 4]]), jnp.array([[1, 2, 3, 5]])))
[0.75]

Metrics that compare a model's answer with its label belong here; averages over a batch do not.
"""

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_shape
from cgar_jax._core.ids import widen
from cgar_jax._core.masking import valid_entries, valid_labels


def exact_accuracy_metric(
    answers: chex.Array, labels: chex.Array, *, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """Computes whether every labeled cell of an example is right.

    The value is `1` if all labeled cells are right and `0` otherwise. Use it as the accuracy of
    puzzles: a Sudoku with one wrong cell is not solved.

    Args:
      answers: tokens, int `[..., length]`, or logits, float `[..., length, vocab]`, whose largest
        entry is the answer.
      labels: tokens, int `[..., length]`; a negative label, such as `IGNORE_LABEL`, or one beyond
        the vocabulary does not count. The shape must broadcast with that of the answers, so that
        one label can serve many steps.
      where: mask, bool with the shape of `labels` or its leading axes; False cells do not count.
        None means that every labeled cell counts.

    Returns:
      Zeros and ones, float32 `[...]`. An example without any labeled cell has the value 0; exclude
      it from averages with `labeled_examples`.

    Raises:
      ValueError: if the shapes of the arguments do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.metrics import exact_accuracy_metric
      >>> logits = jnp.array([[[0.0, 1.0], [2.0, 0.0]], [[3.0, 1.0], [2.0, 0.0]]])
      >>> print(exact_accuracy_metric(logits, jnp.array([[1, 0], [1, 0]])))
      [1. 0.]

    Reference:
      Wang et al., 2025, "Hierarchical Reasoning Model", arXiv 2506.21734 (the exact accuracy).
    """
    right, valid = _right_and_valid("exact_accuracy_metric", answers, labels, where)
    count = jnp.sum(valid, axis=-1)
    return ((count > 0) & (jnp.sum(right, axis=-1) == count)).astype(jnp.float32)


def cell_accuracy_metric(
    answers: chex.Array, labels: chex.Array, *, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """Computes the fraction of the labeled cells of an example that are right.

    The value is `(right cells) / (labeled cells)`. Use it to see progress before the first example
    is completely right.

    Args:
      answers: tokens, int `[..., length]`, or logits, float `[..., length, vocab]`, whose largest
        entry is the answer.
      labels: tokens, int `[..., length]`; a negative label, such as `IGNORE_LABEL`, or one beyond
        the vocabulary does not count. The shape must broadcast with that of the answers, so that
        one label can serve many steps.
      where: mask, bool with the shape of `labels` or its leading axes; False cells do not count.
        None means that every labeled cell counts.

    Returns:
      Fractions, float32 `[...]`. An example without any labeled cell has the value 0; exclude it
      from averages with `labeled_examples`.

    Raises:
      ValueError: if the shapes of the arguments do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.metrics import cell_accuracy_metric
      >>> answers, labels = jnp.array([[1, 2, 3, 4, 5]]), jnp.array([[1, 2, 0, 4, -100]])
      >>> print(cell_accuracy_metric(answers, labels))
      [0.75]

    Reference:
      Wang et al., 2025, "Hierarchical Reasoning Model", arXiv 2506.21734 (the token accuracy).
    """
    right, valid = _right_and_valid("cell_accuracy_metric", answers, labels, where)
    count = jnp.maximum(jnp.sum(valid, axis=-1), 1)
    return jnp.sum(right, axis=-1) / count.astype(jnp.float32)


def halting_accuracy_metric(
    halt_logits: chex.Array, solved: chex.Array, *, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """Computes whether the halting head is right about whether an example is solved.

    The value is `1` if `(halt_logit > 0) == solved` and `0` otherwise. Use it to judge whether the
    halting head can decide when to stop.

    Args:
      halt_logits: outputs of the halting head, float `[...]`.
      solved: whether each example is solved, bool `[...]`.
      where: mask, bool with the shape of `solved` or its leading axes. None means all True.

    Returns:
      Zeros and ones, float32 `[...]`, with 0 for examples that do not count.

    Raises:
      ValueError: if the shapes of the arguments do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.metrics import halting_accuracy_metric
      >>> print(halting_accuracy_metric(jnp.array([3.0, -1.0]), jnp.array([True, True])))
      [1. 0.]

    Reference:
      Jolicoeur-Martineau, 2025, "Less is More: Recursive Reasoning with Tiny Networks", arXiv
      2510.04871.
    """
    check_shape("halting_accuracy_metric", "solved", solved, jnp.shape(halt_logits))
    right = (jnp.asarray(halt_logits) > 0) == jnp.asarray(solved, bool)
    return (right & valid_entries(where, jnp.shape(solved))).astype(jnp.float32)


def labeled_examples(labels: chex.Array, *, where: jax.typing.ArrayLike | None = None) -> jax.Array:
    """Returns which examples have at least one cell that counts.

    Pass the result as `where` when averaging a metric over a batch: padded examples have no
    labeled cell.

    Args:
      labels: tokens, int `[..., length]`, with `IGNORE_LABEL` (or another negative number) at cells
        that do not count.
      where: mask, bool with the shape of `labels` or its leading axes. None means all True.

    Returns:
      Mask, bool `[...]`.

    Raises:
      ValueError: if the axes of `where` are not the leading axes of `labels`.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.metrics import labeled_examples
      >>> print(labeled_examples(jnp.array([[5, -100], [-100, -100]])))
      [ True False]
    """
    return jnp.any(valid_labels(labels, where), axis=-1)


def _right_and_valid(
    owner: str, answers: chex.Array, labels: chex.Array, where: jax.typing.ArrayLike | None
) -> tuple[jax.Array, jax.Array]:
    """Returns which cells count and are right, and which cells count."""
    labels, num_classes = widen(owner, "labels", labels), None
    if jnp.issubdtype(jnp.result_type(answers), jnp.floating):
        num_classes = jnp.shape(answers)[-1]
        answers = jnp.argmax(answers, axis=-1)
    answers = widen(owner, "answers", answers)
    try:
        jnp.broadcast_shapes(answers.shape, labels.shape)
    except ValueError:
        raise ValueError(
            f"{owner}: labels has shape {labels.shape}, which does not broadcast with the shape "
            f"{answers.shape} of the answers; pass one label per answered token"
        ) from None
    valid = valid_labels(labels, where, num_classes)
    return (answers == labels) & valid, valid
