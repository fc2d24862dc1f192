"""Scores by the norm of an example's gradient, or of its prediction error.

>>> import jax.numpy as jnp
>>> from cgar_jax import scores
>>> print(scores.el2n_score(jnp.array([[5.0, 0.0], [0.0, 5.0]]), jnp.array([0, 0])).round(2))
[0.01 1.4 ]

All scores are float32, and no gradient flows through them. The data orders of `cgar_jax.sampling`
choose examples by their scores.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_shape
from cgar_jax._core.examples import map_examples
from cgar_jax._core.ids import known_ids
from cgar_jax._core.masking import masked_mean, valid_entries
from cgar_jax._core.vectors import lengths, scale_to_one, tree_length


def el2n_score(
    logits: chex.Array, labels: chex.Array, *, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """Returns the norm of the error of the predicted probabilities (EL2N).

        || softmax(logits) - onehot(label) ||_2,  in [0, sqrt(2)]

    This is the norm of the gradient of the cross-entropy with respect to the logits, averaged over
    seeds and over the tokens that count. Use it early in training, to find easy examples that can
    be pruned.

    Args:
      logits: model outputs, float `[batch, classes]` or `[batch, tokens, classes]`, or the outputs
        of several runs with one more axis in front, `[seeds, ...]`. The paper uses about ten runs.
      labels: class of each example or token, int `[batch]` or `[batch, tokens]`. A label outside
        `0 .. classes - 1`, such as `cgar_jax.losses.IGNORE_LABEL`, does not count.
      where: mask, bool `[batch]` or the shape of `labels`; False entries do not count.

    Returns:
      The score of each example, float32 `[batch]`; 0 for an example without any token that counts.

    Raises:
      ValueError: if the shapes of labels or mask do not fit the logits.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import scores
      >>> logits = jnp.array([[5.0, 0.0], [0.0, 5.0]])
      >>> [round(float(score), 2) for score in scores.el2n_score(logits, jnp.array([0, 0]))]
      [0.01, 1.4]

    Reference:
      Paul, Ganguli and Dziugaite, 2021, "Deep Learning on a Data Diet", arXiv 2107.07075. The mean
      over tokens is ours.
    """
    valid, errors = _prediction_errors("el2n_score", logits, labels, where)
    sizes = lengths(errors)
    if sizes.ndim > valid.ndim:
        sizes = jnp.mean(sizes, axis=0)
    return jax.lax.stop_gradient(masked_mean(sizes, valid, axis=-1))


def grand_score(
    loss_fn: Callable[[chex.ArrayTree, chex.ArrayTree], jax.Array],
    params: chex.ArrayTree,
    examples: chex.ArrayTree,
    *,
    chunk_size: int | None = None,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Returns the norm of the gradient of each example's loss (GraNd).

        || d loss_fn(params, example) / d params ||_2

    Use it early in training, to find easy examples that can be pruned. For several seeds, average
    the scores of each: `jax.lax.map(lambda p: grand_score(loss_fn, p, examples), params).mean(0)`.

    Args:
      loss_fn: function `(params, example) -> scalar`.
      params: model parameters, a pytree of float arrays.
      examples: pytree of arrays `[batch, ...]`.
      chunk_size: number of gradients to hold in memory at once; None holds all of them.
      where: mask, bool `[batch]`; False examples have score 0.

    Returns:
      The score of each example, float32 `[batch]`.

    Raises:
      ValueError: if the mask has the wrong shape, or `chunk_size` is less than 1.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import scores
      >>> def loss_fn(params, example):
      ...     return (params @ example) ** 2
      >>> examples = jnp.array([[1.0, 0.0], [0.0, 2.0]])
      >>> print(scores.grand_score(loss_fn, jnp.array([1.0, 1.0]), examples))
      [2. 8.]

    Reference:
      Paul, Ganguli and Dziugaite, 2021, "Deep Learning on a Data Diet", arXiv 2107.07075.
    """

    def size(example):
        return tree_length(jax.grad(loss_fn)(params, example))

    sizes = map_examples("grand_score", size, examples, chunk_size)
    return jax.lax.stop_gradient(jnp.where(valid_entries(where, sizes.shape), sizes, 0))


def last_layer_grand_score(
    logits: chex.Array,
    labels: chex.Array,
    features: chex.Array,
    *,
    bias: bool = False,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Returns `grand_score` for a linear last layer, without a backward pass.

    The layer is `logits = features @ kernel`. The gradient of an example's mean cross-entropy is
    the mean over tokens of `features error^T`, with the error of `el2n_score`. Its norm follows
    from the tokens' inner products,

        sqrt(sum_ij <e_i, e_j> <f_i, f_j>) / tokens

    so that no array `[features, classes]` is formed; for one token this is `EL2N * ||features||`.
    Use it for large models.

    Args:
      logits: model outputs, float `[batch, classes]` or `[batch, tokens, classes]`.
      labels: class of each example or token, int `[batch]` or `[batch, tokens]`. A label outside
        `0 .. classes - 1`, such as `cgar_jax.losses.IGNORE_LABEL`, does not count.
      features: inputs of the last layer, float `[batch, width]` or `[batch, tokens, width]`.
      bias: whether the layer has a bias as well.
      where: mask, bool `[batch]` or the shape of `labels`; False entries do not count.

    Returns:
      The score of each example, float32 `[batch]`; 0 for an example without any token that counts.

    Raises:
      ValueError: if the shapes of labels, features or mask do not fit the logits.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import scores
      >>> logits, features = jnp.array([[0.0, 0.0]]), jnp.array([[3.0, 4.0]])
      >>> score = scores.last_layer_grand_score(logits, jnp.array([0]), features)
      >>> round(float(score[0]), 2)
      3.54

    Reference:
      Paul, Ganguli and Dziugaite, 2021, arXiv 2107.07075; the formula follows from the chain rule.
    """
    owner = "last_layer_grand_score"
    check_shape(owner, "labels", labels, jnp.shape(logits)[:-1])
    check_shape(owner, "features", features, (*jnp.shape(labels), "width"))
    valid, errors = _prediction_errors(owner, logits, labels, where)
    features = jnp.asarray(features, jnp.float32)
    features = features.reshape(*valid.shape, features.shape[-1])
    if bias:
        features = jnp.concatenate([features, jnp.ones((*valid.shape, 1), jnp.float32)], axis=-1)
    features = jnp.where(valid[..., None], features, 0)
    # The scales of an example keep its products from overflowing or underflowing.
    scales = [scale_to_one(vectors, (-2, -1)) for vectors in (errors, features)]
    error_products, feature_products = (
        jnp.einsum("biw,bjw->bij", vectors, vectors, precision=jax.lax.Precision.HIGHEST)
        for vectors in (errors * scales[0], features * scales[1])
    )
    squared = jnp.sum(error_products * feature_products, axis=(-2, -1))
    count = jnp.sum(valid, axis=-1, dtype=jnp.float32)
    mean = jnp.sqrt(jnp.maximum(squared, 0)) / jnp.maximum(count, 1)
    return jax.lax.stop_gradient(mean / scales[0][:, 0, 0] / scales[1][:, 0, 0])


def _prediction_errors(
    owner: str, logits: chex.Array, labels: chex.Array, where: jax.typing.ArrayLike | None
) -> tuple[jax.Array, jax.Array]:
    """Returns which tokens count, `[batch, tokens]`, and their errors, softmax minus one-hot.

    Errors are 0 for tokens that do not count. Labels `[batch]` are treated as one token per
    example. The errors keep a leading axis of seeds.
    """
    logits = jnp.asarray(logits)
    labels, known = known_ids(owner, "labels", labels, logits.shape[-1])
    shape = logits.shape[-1 - labels.ndim : -1]
    if (
        labels.ndim not in (1, 2)
        or logits.ndim - labels.ndim not in (1, 2)
        or shape != labels.shape
    ):
        raise ValueError(
            f"{owner}: labels have shape {labels.shape} and logits have shape {logits.shape}, but "
            "labels must be [batch] or [batch, tokens], and logits the same with an axis of "
            "classes at the end"
        )
    valid = valid_entries(where, labels.shape) & known
    if labels.ndim == 1:
        valid, labels, logits = valid[:, None], labels[:, None], jnp.expand_dims(logits, -2)
    logits = jnp.where(valid[..., None], logits.astype(jnp.float32), 0)
    onehot = jax.nn.one_hot(labels, logits.shape[-1], dtype=jnp.float32)
    return valid, jnp.where(valid[..., None], jax.nn.softmax(logits) - onehot, 0)
