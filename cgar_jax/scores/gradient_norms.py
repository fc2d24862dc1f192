"""Scores: how much each training example matters, and the examples that are left by them.

Scores are diagnostics. They are float32, and no gradient flows through them.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.labels import IGNORE_LABEL
from cgar_jax._core.masking import masked_mean, valid_entries


def el2n_score(
    logits: chex.Array, labels: chex.Array, *, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """EL2N: how far the predicted probabilities are from the label, early in training.

    ``|| softmax(logits) - onehot(label) ||_2``, in ``[0, sqrt(2)]``: the norm of the gradient of
    cross-entropy in the logits. The mean over seeds, and over the tokens that count.

    Args:
      logits: ``[batch, classes]`` or ``[batch, tokens, classes]``, any float dtype; with one more
        axis in front, ``[seeds, ...]``, of several runs. The paper takes about ten.
      labels: ``[batch]`` or ``[batch, tokens]``, int, in ``0 .. classes - 1``, or -100, which does
        not count.
      where: bool, ``[batch]`` or the shape of ``labels``; False does not count.

    Returns:
      float32 ``[batch]``; 0 for an example of which nothing counts.

    Raises:
      ValueError: labels or a mask whose shape does not fit the logits'.

    Source: Paul, Ganguli and Dziugaite, Deep Learning on a Data Diet, NeurIPS 2021, arXiv
    2107.07075; certain. The mean over tokens is ours.
    """
    valid, errors = _prediction_errors("el2n_score", logits, labels, where)
    sizes = jnp.linalg.norm(errors, axis=-1)
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
    """GraNd: the norm of each example's gradient, early in training.

    ``|| d loss(params, example) / d params ||_2``. For several seeds, average the scores of each::

        jax.lax.map(lambda params: grand_score(loss_fn, params, examples), params_of_seeds).mean(0)

    Args:
      loss_fn: ``(params, example) -> scalar``.
      params: a pytree of float arrays.
      examples: a pytree of arrays ``[batch, ...]``.
      chunk_size: how many gradients to hold in memory at once; None holds all of them.
      where: bool ``[batch]``; False scores 0.

    Returns:
      float32 ``[batch]``.

    Raises:
      ValueError: a mask of another shape; a ``chunk_size`` less than 1.

    Source: Paul, Ganguli and Dziugaite, Deep Learning on a Data Diet, NeurIPS 2021, arXiv
    2107.07075; certain.
    """

    def size(example):
        return optax.tree.norm(optax.tree.cast(jax.grad(loss_fn)(params, example), jnp.float32))

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
    """GraNd of a linear last layer, ``logits = features @ kernel``, without a backward pass.

    The gradient of an example's mean cross-entropy is ``mean over tokens of features error^T`` with
    the error of `el2n_score`. For one token its norm is ``EL2N * ||features||``; in general it
    comes from the tokens' inner products, ``sqrt(sum_ij <e_i, e_j> <f_i, f_j>) / tokens``, and no
    array ``[features, classes]`` is formed.

    Args:
      logits: ``[batch, classes]`` or ``[batch, tokens, classes]``, any float dtype.
      labels: as for `el2n_score`.
      features: ``[batch, width]`` or ``[batch, tokens, width]``, what the last layer was given.
      bias: the layer also has a bias.
      where: as for `el2n_score`.

    Returns:
      float32 ``[batch]``; 0 for an example of which nothing counts.

    Raises:
      ValueError: labels, features or a mask whose shape does not fit the logits'.

    Source: Paul, Ganguli and Dziugaite, Deep Learning on a Data Diet, NeurIPS 2021, arXiv
    2107.07075; certain by the chain rule.
    """
    owner = "last_layer_grand_score"
    check_shape(owner, "labels", labels, jnp.shape(logits)[:-1])
    check_shape(owner, "features", features, (*jnp.shape(labels), "width"))
    valid, errors = _prediction_errors(owner, logits, labels, where)
    features = jnp.asarray(features, jnp.float32)
    features = features.reshape(*valid.shape, features.shape[-1])
    features = jnp.where(valid[..., None], features, 0)
    of_errors, of_features = (
        jnp.einsum("biw,bjw->bij", vectors, vectors, precision=jax.lax.Precision.HIGHEST)
        for vectors in (errors, features)
    )
    squared = jnp.sum(of_errors * (of_features + bias), axis=(-2, -1))
    count = jnp.sum(valid, axis=-1, dtype=jnp.float32)
    return jax.lax.stop_gradient(jnp.sqrt(jnp.maximum(squared, 0)) / jnp.maximum(count, 1))


def score_pruned_sampler(scores: chex.Array, keep: float, drop_top: float = 0.0) -> jax.Array:
    """The examples to train on: those of the highest scores, except perhaps the very highest.

    Of the n examples the ``round(drop_top * n)`` of highest score are set aside, as likely label
    noise, and of the rest the ``round(keep * n)`` of highest score are kept.

    Args:
      scores: ``[n]``, such as those of `el2n_score`. Of equal scores, the first example is higher.
      keep: in (0, 1], the fraction of all examples to keep; 1 keeps all. One is kept at least.
      drop_top: in [0, 1 - keep], the fraction of all examples to set aside.

    Returns:
      int32 ``[kept]``, the indices of the examples kept, increasing. To draw from them:
      ``kept[jax.random.randint(key, (batch,), 0, len(kept))]``.

    Raises:
      ValueError: scores of another shape; a fraction out of its range.

    Source: Paul, Ganguli and Dziugaite, Deep Learning on a Data Diet, NeurIPS 2021, arXiv
    2107.07075; certain.
    """
    owner = "score_pruned_sampler"
    scores = jnp.asarray(scores)
    check_shape(owner, "scores", scores, ("examples",))
    check_number(owner, "keep", keep, "(0, 1]")
    check_number(owner, "drop_top", drop_top, "[0, 1)")
    if keep + drop_top > 1 + 1e-9:
        raise ValueError(
            f"{owner}: keep is {keep} and drop_top {drop_top}, but together they must be 1 at most"
        )
    total = scores.shape[0]
    kept = min(max(round(keep * total), 1), total)
    dropped = min(round(drop_top * total), total - kept)
    ranked = jnp.argsort(scores, stable=True, descending=True)
    return jnp.sort(ranked[dropped : dropped + kept])


def map_examples(
    owner: str,
    function: Callable[[chex.ArrayTree], chex.ArrayTree],
    examples: chex.ArrayTree,
    chunk_size: int | None,
) -> chex.ArrayTree:
    """``function`` of each example, over their first axis, ``chunk_size`` at once (None: all)."""
    if chunk_size is None:
        return jax.vmap(function)(examples)
    check_number(owner, "chunk_size", chunk_size, "[1, inf)")
    return jax.lax.map(function, examples, batch_size=chunk_size)


def _prediction_errors(
    owner: str, logits: chex.Array, labels: chex.Array, where: jax.typing.ArrayLike | None
) -> tuple[jax.Array, jax.Array]:
    """Which tokens count, ``[batch, tokens]``, and softmax minus one-hot, 0 where they do not.

    Labels ``[batch]`` have one token. The errors keep a leading axis of seeds.
    """
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    shape = logits.shape[-1 - labels.ndim : -1]
    if (
        labels.ndim not in (1, 2)
        or logits.ndim - labels.ndim not in (1, 2)
        or shape != labels.shape
    ):
        raise ValueError(
            f"{owner}: labels have shape {labels.shape} and logits {logits.shape}, but labels must "
            "be [batch] or [batch, tokens], and logits the same with an axis of classes at the end"
        )
    valid = valid_entries(where, labels.shape) & (labels != IGNORE_LABEL)
    if labels.ndim == 1:
        valid, labels, logits = valid[:, None], labels[:, None], jnp.expand_dims(logits, -2)
    logits = jnp.where(valid[..., None], logits.astype(jnp.float32), 0)
    onehot = jax.nn.one_hot(jnp.where(valid, labels, 0), logits.shape[-1])
    return valid, jnp.where(valid[..., None], jax.nn.softmax(logits) - onehot, 0)
