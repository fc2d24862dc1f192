"""Weights from a small network that learns while the model trains, without clean data.

>>> import jax
>>> import jax.numpy as jnp
>>> from cgar_jax import contrib
>>> self_taught = contrib.self_taught_weighting(learning_rate=1e-3)
>>> losses, view = jnp.ones(4), {"logits": jnp.zeros((4, 3)), "labels": jnp.arange(4) % 3}
>>> weights, _ = self_taught.update(jnp.ones(4), self_taught.init(losses), losses, **view)
>>> print(contrib.draw_meta_batch(jax.random.key(0), weights, size=2).shape)
(2,)

The derivative that the network learns from is `cgar_jax.weighting.look_ahead_gradient`, which also
serves weightings with clean data.
"""

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_shape, static_number
from cgar_jax._core.masking import masked_mean
from cgar_jax._core.random import own_key
from cgar_jax._core.ranges import check_number
from cgar_jax.weighting.base import Extras, Term, stateful

_NUM_FEATURES = 5
# Meta-gradients are proportional to the learning rate of the look-ahead step and to 1 / batch size.
# They can be as small as Adam's usual epsilon of 1e-8, which would then stop the learning.
_EPSILON = 1e-16


class SelfTaughtState(NamedTuple):
    """Memory of `self_taught_weighting` for one loss term.

    Attributes:
      params: parameters of the network, a dictionary of float32 arrays.
      optimizer: optax state of the network's Adam optimizer.
      mean: optax state of the moving average of the features.
      variance: optax state of the moving average of the features' squared deviations.
    """

    params: dict[str, jax.Array]
    optimizer: optax.OptState
    mean: optax.OptState
    variance: optax.OptState


def self_taught_weighting(
    learning_rate: chex.Numeric,
    hidden_size: int = 16,
    minimum: chex.Numeric = 0.01,
    feature_decay: chex.Numeric = 0.99,
    seed: int = 0,
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Weights each loss by the rating of a small network that learns to find wrong labels.

    `w_i = r_i / mean(r)` with ratings `r = minimum + (1 - minimum) sigmoid(MLP(features))`. The
    features of an example are its loss, the probability of its label, the largest probability, the
    entropy of the prediction, and the margin of the label over the best other class, each
    standardized by moving averages. The network has one hidden layer of tanh units.

    Use it when labels are noisy and no clean data is available. At first the network rates all
    examples equally. It then learns to lower the loss on a *meta batch* after one step of the model
    on the weighted losses; the meta batch is drawn from the same noisy data with probabilities
    proportional to the ratings. A training step uses two batches:

        weights, _ = self_taught.update(ones, state, losses, **view)  # view: logits and labels
        other_weights, _ = self_taught.update(ones, state, other_losses, **other_view)
        rows = contrib.draw_meta_batch(key, other_weights, size)
        meta = jax.tree.map(lambda column: column[rows], other_batch)
        gradient = weighting.look_ahead_gradient(
            example_losses, params, weights, lambda p: example_losses(p, meta).mean(),
            model_learning_rate, batch,
        )
        weights, state = self_taught.update(
            ones, state, losses, **view, weight_gradient=gradient
        )

    The weight of an example rises if its gradient points in the direction of the meta batch's
    gradient, in proportion to its length. A meta batch drawn from `batch` itself would support its
    own examples, including mislabeled ones, and teach the network less. An update with
    `weight_gradient` first takes one Adam step of the network and then computes the weights; an
    update without `weight_gradient` does not change the network, so most training steps can omit
    it.

    Args:
      learning_rate: learning rate of the network's Adam optimizer, at least 0.
      hidden_size: number of hidden units, at least 1; the default is ours. Name it and `seed` in
        the `static_args` of `optax.inject_hyperparams`.
      minimum: smallest rating, in (0, 1], which bounds the weights from below; the default is ours.
        1 leaves the weights unchanged.
      feature_decay: decay of the moving averages, in [0, 1); the default is ours.
      seed: random seed for the network's initial parameters, which are equal at every `init`.
      axis_name: mesh axis of the batch, for `jax.shard_map`.

    Extra arguments:
      - `logits`: model outputs, float `[batch, classes]`, or the shape of the losses and
        `[classes]`.
      - `labels`: class indices, int in [0, classes), `[batch]` or the shape of the losses; a loss
        with another label gets weight 0 and is excluded from all statistics.
      - `weight_gradient`: result of `cgar_jax.weighting.look_ahead_gradient`, float `[batch]` or
        the shape of the losses; optional. It belongs to one loss term: use `optax.masked` with
        several.
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0 and are
        excluded from all statistics.

    Returns:
      A weighting with a `SelfTaughtState` for each loss term. Its factors have mean 1 over the
      valid losses.

    Raises:
      ValueError: if a setting is out of range; at the first update (trace time), if an extra
        argument is missing or has another shape, or `weight_gradient` is passed with several loss
        terms.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import contrib
      >>> self_taught = contrib.self_taught_weighting(learning_rate=0.1)
      >>> losses, logits = jnp.array([0.1, 2.0]), jnp.array([[2.0, 0.0], [2.0, 0.0]])
      >>> view = {"logits": logits, "labels": jnp.array([0, 1])}
      >>> gradient = jnp.array([-0.01, 0.01])  # from `weighting.look_ahead_gradient`
      >>> weights, state = self_taught.update(
      ...     jnp.ones(2), self_taught.init(losses), losses, **view, weight_gradient=gradient
      ... )
      >>> print(weights[0] > weights[1])
      True

    Reference:
      Inspired by Heck et al., 2024, "Learning from Noisy Labels via Self-Taught On-the-Fly Meta
      Loss Rescaling", arXiv 2412.12955. Reconstructed from the abstract: the features, the network
      and the drawing of the meta batch may differ from the paper.
    """
    name = "self_taught_weighting"
    check_number(name, "learning_rate", learning_rate, "[0, inf)")
    hidden_size = static_number(name, "hidden_size", hidden_size, "[1, inf)")
    check_number(name, "minimum", minimum, "(0, 1]")
    check_number(name, "feature_decay", feature_decay, "[0, 1)")
    average = optax.ema(jnp.asarray(feature_decay, jnp.float32))
    optimizer = optax.scale_by_adam(eps=_EPSILON)

    def init_term(loss: jax.Array) -> SelfTaughtState:
        del loss
        params = _first_params(seed, hidden_size)
        mean, variance = (average.init(jnp.zeros(_NUM_FEATURES, jnp.float32)) for _ in range(2))
        return SelfTaughtState(params, optimizer.init(params), mean, variance)

    def rate(params: dict[str, jax.Array], features: jax.Array) -> jax.Array:
        least = jnp.asarray(minimum, jnp.float32)
        return least + (1 - least) * jax.nn.sigmoid(_network(params, features))

    def weigh(term: Term, extras: Extras, memory: SelfTaughtState, count: jax.Array) -> tuple:
        del count
        features, known = _features(term, extras)
        term = term._replace(valid=known)
        features, memory = _standardize(features, term.valid, memory, average, axis_name)
        if "weight_gradient" in extras:
            meaning = "the result of weighting.look_ahead_gradient"
            weight_gradient = extras.of_one_term("weight_gradient", meaning, term)
            gradient = _params_gradient(
                lambda params: rate(params, features),
                memory.params,
                weight_gradient.astype(jnp.float32),
                term.valid,
                axis_name,
            )
            updates, state = optimizer.update(gradient, memory.optimizer)
            updates = optax.tree.scale(-jnp.asarray(learning_rate, jnp.float32), updates)
            params = optax.apply_updates(memory.params, updates)
            memory = memory._replace(params=params, optimizer=state)
        ratings = rate(memory.params, features)
        mean = _mean_rating(ratings, term.valid, axis_name)
        return jnp.where(term.valid, ratings / mean, 0), memory

    return stateful(name, init_term, weigh)


def draw_meta_batch(key: jax.Array, weights: chex.Array, size: int) -> jax.Array:
    """Draws examples with replacement, with probabilities proportional to their weights.

    `P(i) = w_i / sum_j w_j`.

    Use it to draw the meta batch of `self_taught_weighting`.

    Args:
      key: random key, made by `jax.random.key`.
      weights: weights that a weighting has computed, float `[batch]`, at least 0. Examples with
        weight 0, such as masked examples, are never drawn.
      size: number of examples to draw.

    Returns:
      Row indices into the batch, int32 `[size]`; all 0 if no weight is positive.

    Raises:
      ValueError: if the weights have another shape.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from cgar_jax import contrib
      >>> print(contrib.draw_meta_batch(jax.random.key(0), jnp.array([0.0, 1.0, 0.0]), size=4))
      [1 1 1 1]

    Reference:
      Inspired by Heck et al., 2024, arXiv 2412.12955; see `self_taught_weighting`.
    """
    check_shape("draw_meta_batch", "weights", weights, ("batch",))
    weights = jnp.asarray(weights, jnp.float32)
    scores = jnp.where(weights > 0, jnp.log(jnp.where(weights > 0, weights, 1)), -jnp.inf)
    drawn = jax.random.categorical(own_key("draw_meta_batch", key), scores, shape=(size,))
    return drawn.astype(jnp.int32)


def _first_params(seed: int, hidden_size: int) -> dict[str, jax.Array]:
    """Returns a random hidden layer and an output layer of zeros, which rates all examples equally.

    The output layer has no bias, because dividing by the mean rating nearly cancels a common shift
    of all ratings.
    """
    normal = jax.random.normal(jax.random.key(seed), (_NUM_FEATURES, hidden_size), jnp.float32)
    return {
        "hidden": normal / math.sqrt(_NUM_FEATURES),
        "bias": jnp.zeros(hidden_size, jnp.float32),
        "output": jnp.zeros(hidden_size, jnp.float32),
    }


def _network(params: dict[str, jax.Array], features: jax.Array) -> jax.Array:
    return jnp.tanh(features @ params["hidden"] + params["bias"]) @ params["output"]


def _mean_rating(ratings: jax.Array, valid: jax.Array, axis_name: str | None) -> jax.Array:
    mean = masked_mean(ratings, valid, axis_name=axis_name)
    return jnp.where(mean > 0, mean, 1)


def _params_gradient(rate, params, weight_gradient, valid, axis_name):
    """Returns the gradient with respect to the parameters, given that of the weights."""
    if axis_name is not None:
        # Each shard computes the gradient of its own losses; the sum over shards follows below.
        params = jax.lax.pcast(params, axis_name, to="varying")
    ratings, pull_back = jax.vjp(rate, params)
    # The derivative through the mean is written out, to avoid differentiating a sum over devices.
    mean = _mean_rating(ratings, valid, axis_name)
    through_mean = masked_mean(weight_gradient * ratings / mean, valid, axis_name=axis_name)
    (gradient,) = pull_back(jnp.where(valid, (weight_gradient - through_mean) / mean, 0))
    return gradient if axis_name is None else jax.lax.psum(gradient, axis_name)


def _standardize(features, valid, memory, average, axis_name):
    """Returns features standardized by moving averages that include this batch."""

    def batch_mean(values):
        return masked_mean(values, valid, tuple(range(valid.ndim)), axis_name)

    center, mean = average.update(batch_mean(features), memory.mean)
    distances = features - center
    spread, variance = average.update(batch_mean(jnp.square(distances)), memory.variance)
    updated = memory._replace(mean=mean, variance=variance)
    any_valid = masked_mean(jnp.ones(valid.shape), valid, axis_name=axis_name) > 0
    memory = jax.tree.map(lambda new, old: jnp.where(any_valid, new, old), updated, memory)
    # The added constant keeps the rounding errors of a constant feature from being amplified.
    return distances / jnp.sqrt(spread + 1e-6), memory


def _features(term: Term, extras: Extras) -> tuple[jax.Array, jax.Array]:
    """Returns the features of each loss, on a further axis, and which losses have a label."""
    meaning = "model outputs [batch, classes] or [batch, steps, classes]"
    logits = extras.features("logits", meaning, term)
    shape = term.losses.shape
    rows, num_classes = logits.shape[:-1], logits.shape[-1]
    meaning = "the class index of each example, int [batch]"
    labels, known = extras.ids("labels", meaning, num_classes, term)
    logits = logits.reshape(*rows, *(1,) * (len(shape) - len(rows)), num_classes)
    probabilities = jax.nn.softmax(logits)
    is_label = labels[..., None] == jnp.arange(num_classes)
    of_label = jnp.sum(jnp.where(is_label, probabilities, 0), -1)
    of_others = jnp.max(jnp.where(is_label, 0, probabilities), -1)
    largest = jnp.max(probabilities, -1)
    entropy = jnp.sum(jax.scipy.special.entr(probabilities), -1)
    columns = (term.losses, of_label, largest, entropy, of_label - of_others)
    return jnp.stack([jnp.broadcast_to(column, shape) for column in columns], -1), known
