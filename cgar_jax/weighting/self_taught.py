"""Rescaling of losses by a small network that learns while the model trains, without clean data."""

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.masking import masked_mean
from cgar_jax._core.random import own_key
from cgar_jax.weighting._transform import Extras, Term, stateful

_NUM_FEATURES = 5
# Meta gradients carry the learning rate of the look-ahead and one over the batch: 1e-8 is not small
# beside them, and Adam's usual epsilon would hold the network still.
_EPSILON = 1e-16


class Rescaler(NamedTuple):
    """What `self_taught_weighting` remembers of one loss term.

    Attributes:
      params: of the network, a dictionary of float32 arrays.
      optimizer: optax state of its Adam.
      mean: optax state of the moving average of the features.
      variance: optax state of that of their squared distance from the mean.
    """

    params: dict[str, jax.Array]
    optimizer: optax.OptState
    mean: optax.EmaState
    variance: optax.EmaState


def self_taught_weighting(
    learning_rate: chex.Numeric,
    hidden_size: int = 16,
    minimum: chex.Numeric = 0.01,
    feature_decay: chex.Numeric = 0.99,
    seed: int = 0,
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Weight each loss by what a small network makes of the model's own view of the example.

    ``w_i = r_i / mean(r)``, ``r = minimum + (1 - minimum) sigmoid(MLP(phi))``. The features ``phi``
    are the loss, the probability of the label, the largest probability, the entropy, and the margin
    of the label over the best other class, each standardized by moving averages; the network has
    one hidden layer of tanh units. It starts by rating all alike, and learns to lower, by a step of
    the model on the weighted losses, the loss on a *meta batch* that is drawn from the same noisy
    data with probability proportional to the ratings. In a loop, with two batches a step::

        weights, _ = weigh.update(ones, state, losses, **view)  # view: logits and labels
        others, _ = weigh.update(ones, state, other_losses, **other_view)
        rows = weighting.draw_meta_batch(key, others, size)
        meta = jax.tree.map(lambda column: column[rows], other_batch)
        gradient = weighting.look_ahead_gradient(
            example_losses, params, weights, lambda p: example_losses(p, meta).mean(),
            model_learning_rate, batch,
        )
        weights, state = weigh.update(ones, state, losses, **view, weight_gradient=gradient)

    The weights rise of examples that pull the model the way the meta batch does, most of those that
    pull hardest. A meta batch drawn from ``batch`` itself speaks for its own examples, mislabeled
    ones among them, and teaches less. An update with ``weight_gradient`` takes one Adam step, and
    weighs with what the network has become; one without weighs, and leaves the network as it is:
    it may be left out in most steps.

    Extra arguments of ``update``:
      logits: ``[batch, classes]``, or the losses' shape and ``[classes]``.
      labels: int in ``0 .. classes - 1``, the losses' shape or ``[batch]``.
      weight_gradient: from `look_ahead_gradient`, the losses' shape or ``[batch]``; may be left
        out. It belongs to one loss term: with several, use `optax.masked`.
      where: bool, the losses' shape or ``[batch]``; False gets weight 0 and is in no statistic.

    Args:
      learning_rate: 0 or more, of the network's Adam.
      hidden_size: of the network, at least 1; 16 is ours. Name it and ``seed`` among the
        ``static_args`` of `optax.inject_hyperparams`.
      minimum: in (0, 1], the least rating, and so the least factor; 0.01 is ours. 1 leaves the
        weights as they are.
      feature_decay: in [0, 1), of the moving averages; 0.99 is ours.
      seed: of the network's first parameters, which are the same at each ``init``.
      axis_name: the mesh axis that the batch is spread over; for `jax.shard_map`.

    Returns:
      A transformation whose state holds a `Rescaler`; it multiplies the weights it is given. Its
      factors have mean 1 over the losses that count.

    Raises:
      ValueError: a setting out of its range; at the first update (trace time), an extra argument
        that is missing or of another shape, or ``weight_gradient`` with several loss terms.

    Source: Inspired by Heck et al., Learning from Noisy Labels via Self-Taught On-the-Fly Meta Loss
    Rescaling, 2024, arXiv 2412.12955; reconstructed from its abstract, not the paper's equations.
    """
    name = "self_taught_weighting"
    check_number(name, "learning_rate", learning_rate, "[0, inf)")
    check_number(name, "hidden_size", hidden_size, "[1, inf)")
    check_number(name, "minimum", minimum, "(0, 1]")
    check_number(name, "feature_decay", feature_decay, "[0, 1)")
    average = optax.ema(jnp.asarray(feature_decay, jnp.float32))
    optimizer = optax.scale_by_adam(eps=_EPSILON)

    def init_term(loss: jax.Array) -> Rescaler:
        del loss
        params = _first_params(seed, hidden_size)
        mean, variance = (average.init(jnp.zeros(_NUM_FEATURES, jnp.float32)) for _ in range(2))
        return Rescaler(params, optimizer.init(params), mean, variance)

    def rate(params: dict[str, jax.Array], features: jax.Array) -> jax.Array:
        least = jnp.asarray(minimum, jnp.float32)
        return least + (1 - least) * jax.nn.sigmoid(_network(params, features))

    def weigh(term: Term, extras: Extras, memory: Rescaler, count: jax.Array) -> tuple:
        del count
        features = _features(term, extras)
        features, memory = _standardize(features, term.valid, memory, average, axis_name)
        if "weight_gradient" in extras:
            meaning = "from weighting.look_ahead_gradient"
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
        return ratings / _mean_rating(ratings, term.valid, axis_name), memory

    return stateful(name, init_term, weigh)


def draw_meta_batch(key: jax.Array, weights: chex.Array, size: int) -> jax.Array:
    """Draw examples with replacement, each with probability proportional to its weight.

    ``P(i) = w_i / sum_j w_j``: the meta batch of `self_taught_weighting`.

    Args:
      key: a `jax.random.key`.
      weights: ``[batch]``, 0 or more, such as a weighting gives; 0, as masked examples have, is
        never drawn.
      size: how many to draw.

    Returns:
      int32 ``[size]``, rows of the batch. Where no weight is positive, the first row.

    Raises:
      ValueError: weights of another shape.
    """
    check_shape("draw_meta_batch", "weights", weights, ("batch",))
    weights = jnp.asarray(weights, jnp.float32)
    scores = jnp.where(weights > 0, jnp.log(jnp.where(weights > 0, weights, 1)), -jnp.inf)
    return jax.random.categorical(own_key("draw_meta_batch", key), scores, shape=(size,))


def _first_params(seed: int, hidden_size: int) -> dict[str, jax.Array]:
    """A hidden layer at random, and an output layer of zeros, which rates all examples alike.

    The output has no bias: to shift all ratings alike is what the mean takes out again.
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
    """Return the gradient by the network's parameters, from that by the weights ``r / mean(r)``."""
    if axis_name is not None:
        # So that each shard's gradient is its own, to be added up below.
        params = jax.lax.pcast(params, axis_name, to="varying")
    ratings, pull_back = jax.vjp(rate, params)
    # Through the mean by hand: no derivative of a sum over devices is taken.
    mean = _mean_rating(ratings, valid, axis_name)
    through_mean = masked_mean(weight_gradient * ratings / mean, valid, axis_name=axis_name)
    (gradient,) = pull_back(jnp.where(valid, (weight_gradient - through_mean) / mean, 0))
    return gradient if axis_name is None else jax.lax.psum(gradient, axis_name)


def _standardize(features, valid, memory, average, axis_name):
    """Return the features, standardized by moving averages that have seen this batch, too."""

    def batch_mean(values):
        return masked_mean(values, valid, tuple(range(valid.ndim)), axis_name)

    center, mean = average.update(batch_mean(features), memory.mean)
    distances = features - center
    spread, variance = average.update(batch_mean(jnp.square(distances)), memory.variance)
    updated = memory._replace(mean=mean, variance=variance)
    some = masked_mean(jnp.ones(valid.shape), valid, axis_name=axis_name) > 0
    memory = jax.tree.map(lambda new, old: jnp.where(some, new, old), updated, memory)
    # A feature on which all examples agree says nothing, and its rounding errors should not.
    return distances / jnp.sqrt(spread + 1e-6), memory


def _features(term: Term, extras: Extras) -> jax.Array:
    """Return how the model sees each example: float32, the losses' shape and one more axis."""
    meaning = "[batch, classes], or the losses' shape and [classes]"
    logits = extras.features("logits", meaning, term)
    labels = extras.per_loss("labels", "int, the class of each example", term)
    shape = term.losses.shape
    rows, num_classes = logits.shape[:-1], logits.shape[-1]
    logits = logits.reshape(*rows, *(1,) * (len(shape) - len(rows)), num_classes)
    probabilities = jax.nn.softmax(logits)
    is_label = labels[..., None] == jnp.arange(num_classes)
    of_label = jnp.sum(jnp.where(is_label, probabilities, 0), -1)
    of_others = jnp.max(jnp.where(is_label, 0, probabilities), -1)
    largest = jnp.max(probabilities, -1)
    entropy = jnp.sum(jax.scipy.special.entr(probabilities), -1)
    columns = (term.losses, of_label, largest, entropy, of_label - of_others)
    return jnp.stack([jnp.broadcast_to(column, shape) for column in columns], -1)
