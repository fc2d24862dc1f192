"""Weights of unlabeled examples by their similarity to class prototypes.

>>> import jax.numpy as jnp
>>> from cgar_jax import weighting
>>> gap, losses = weighting.prototype_gap_weighting(), jnp.ones(2)
>>> arrays = {"embeddings": jnp.array([[2.0, 0.0], [1.0, 1.0]]), "prototypes": jnp.eye(2)}
>>> print(gap.update(jnp.ones(2), gap.init(losses), losses, **arrays)[0])
[1. 0.]

The prototypes come from the caller or are learned from the labeled examples of each batch.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_shape, static_number
from cgar_jax._core.ids import known_ids
from cgar_jax._core.masking import align
from cgar_jax._core.ranges import check_number
from cgar_jax.weighting._similarity import cosines, lead
from cgar_jax.weighting.base import Extras, Term, moving_average, stateful


class ClassPrototypes(NamedTuple):
    """Memory of `prototype_gap_weighting` for one loss term.

    Attributes:
      means: moving averages of the labeled embeddings, float32 `[num_classes, num_features]`.
      batches: number of batches with a labeled example of each class, int32 `[num_classes]`.
    """

    means: jax.Array
    batches: jax.Array


def prototype_gap_weighting(
    num_classes: int | None = None,
    num_features: int | None = None,
    decay: chex.Numeric = 0.9,
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Weights each loss by how much closer its example is to one class prototype than to any other.

    `w = s_(1) - s_(2)`, in [0, 2]: the best cosine between the embedding and a class prototype
    minus the second best. With one class, `w = max(s_(1), 0)`. Labeled examples have weight 1.

    Use it on pseudo-labeled examples when the unlabeled data contains unknown classes: examples
    between two prototypes have small weights.

    Args:
      num_classes: number of classes, to learn the prototypes as moving averages of the mean
        embedding of each class among the labeled examples, including the current batch. A class
        without labeled examples so far has no prototype. To include an example with a pseudo-label,
        as the paper does after every round, pass it as labeled. None takes the prototypes from the
        extra argument.
      num_features: length of the embeddings; required with `num_classes`.
      decay: decay of the moving averages, in [0, 1). It is ours: the paper recomputes prototypes in
        every round of training.
      axis_name: mesh axis to include in the mean embeddings, for `jax.shard_map`.

    Extra arguments:
      - `embeddings`: features from a frozen or averaged model, of any length, float `[batch,
        features]` or `[batch, steps, features]`.
      - `prototypes`: class prototypes of any length, float `[classes, features]`; required without
        `num_classes` and otherwise unused.
      - `labels`: class indices where `is_labeled`, int, `[batch]` or the shape of `embeddings`
        without its last axis; required with `num_classes`. A labeled example whose label is outside
        [0, num_classes) gets weight 0 and is excluded from the prototypes.
      - `is_labeled`: bool, the shape of `labels`; required with `num_classes`.
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0 and are
        excluded from the prototypes.

    Returns:
      A weighting, with a `ClassPrototypes` for each loss term if `num_classes` is given.

    Raises:
      ValueError: if a setting is out of range, or only one of `num_classes` and `num_features` is
        given; at the first update (trace time), if an extra argument is missing or has another
        shape.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from cgar_jax import weighting
      >>> gap = weighting.prototype_gap_weighting(num_classes=2, num_features=2)
      >>> losses = jnp.ones(3)
      >>> weights, state = gap.update(
      ...     jnp.ones(3),
      ...     gap.init(losses),
      ...     losses,
      ...     embeddings=jnp.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]]),
      ...     labels=jnp.array([0, 1, 0]),
      ...     is_labeled=jnp.array([True, True, False]),
      ... )
      >>> print(np.asarray(weights).round(2))
      [1.  1.  0.2]

    Reference:
      Du et al., 2023, "Semi-Supervised Learning via Weight-aware Distillation under Class
      Distribution Mismatch" (WAD), ICCV, arXiv 2308.11874. It equals `s_(1) (1 - s_(2) / s_(1))` of
      the released code for one view of each example; the code adds the cosines of several views.
      The paper's derivation from mutual information is not reproduced.
    """
    name = "prototype_gap_weighting"
    check_number(name, "decay", decay, "[0, 1)")
    if (num_classes is None) != (num_features is None):
        raise ValueError(
            f"{name}: num_classes is {num_classes} and num_features is {num_features}; give both "
            "to learn the prototypes, or neither and pass the extra argument 'prototypes'"
        )

    if num_classes is not None and num_features is not None:
        num_classes = static_number(name, "num_classes", num_classes, "[1, inf)")
        num_features = static_number(name, "num_features", num_features, "[1, inf)")

    def init_term(loss: jax.Array) -> ClassPrototypes | tuple:
        del loss
        if num_classes is None or num_features is None:
            return ()
        means = jnp.zeros((num_classes, num_features), jnp.float32)
        return ClassPrototypes(means, jnp.zeros(num_classes, jnp.int32))

    def per_row(argument: str, array: Any, rows: tuple[int, ...]) -> jax.Array:
        return align(f"{name}: the extra argument {argument!r}", array, rows)

    def weigh(term: Term, extras: Extras, memory: Any, count: jax.Array) -> tuple:
        del count
        meaning = "an array [batch, features] or [batch, steps, features]"
        embeddings = extras.features("embeddings", meaning, term)
        rows = embeddings.shape[:-1]
        labeled = jnp.zeros(rows, bool)
        of_rows = f"one value per embedding, of shape {rows}"
        if num_classes is not None or "is_labeled" in extras:
            labeled = per_row("is_labeled", extras.get("is_labeled", of_rows), rows).astype(bool)
        weight_of_labeled = jnp.ones(rows, jnp.float32)
        if num_classes is None or num_features is None:
            prototypes = extras.get("prototypes", "an array [classes, features]")
            prototypes = jnp.asarray(prototypes, jnp.float32)
            check_shape(name, "prototypes", prototypes, ("classes", embeddings.shape[-1]))
            known = jnp.ones(prototypes.shape[0], bool)
        else:
            check_shape(name, "embeddings", embeddings, (*rows, num_features))
            ids = known_ids(name, "labels", extras.get("labels", of_rows), num_classes)
            labels, of_a_class = (per_row("labels", array, rows) for array in ids)
            weight_of_labeled = of_a_class.astype(jnp.float32)
            # Rows without a known label go to a segment beyond the classes, which is dropped.
            counted = labeled & of_a_class & term.valid_rows(len(rows))
            labels = jnp.where(counted, labels, num_classes)
            memory = _learn(memory, embeddings, labels, decay, axis_name)
            prototypes, known = memory.means, memory.batches > 0
        gap = lead(cosines(embeddings, prototypes), known)
        return jnp.where(labeled, weight_of_labeled, gap), memory

    return stateful(name, init_term, weigh)


def _learn(
    memory: ClassPrototypes,
    embeddings: jax.Array,
    labels: jax.Array,
    decay: chex.Numeric,
    axis_name: str | None,
) -> ClassPrototypes:
    """Returns the prototypes after a batch, without the rows whose label is beyond the classes."""
    num_classes, num_features = memory.means.shape
    labels = labels.ravel()
    totals = jax.ops.segment_sum(embeddings.reshape(-1, num_features), labels, num_classes)
    counts = jax.ops.segment_sum(jnp.ones(labels.shape, jnp.float32), labels, num_classes)
    if axis_name is not None:
        totals, counts = jax.lax.psum((totals, counts), axis_name)
    present = counts > 0
    latest = totals / jnp.maximum(counts, 1)[:, None]
    average = moving_average(memory.means, latest, memory.batches[:, None], decay)
    means = jnp.where(present[:, None], average, memory.means)
    return ClassPrototypes(means, memory.batches + present)
