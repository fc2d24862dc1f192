"""Weights that move from easy to hard examples, by the standardized loss.

>>> import jax.numpy as jnp
>>> import numpy as np
>>> import optax
>>> from cgar_jax import contrib
>>> schedule = optax.linear_schedule(-1.0, 1.0, transition_steps=10_000)
>>> progressive = contrib.progressive_hardness_weighting(schedule)
>>> losses = jnp.array([1.0, 3.0])
>>> weights, _ = progressive.update(jnp.ones(2), progressive.init(losses), losses)
>>> print(np.asarray(weights).round(3))
[1.762 0.238]

Weightings by the loss whose formula is confirmed are in `cgar_jax.weighting`.
"""

from typing import Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.masking import masked_max, masked_mean, mean_one_softmax
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name
from cgar_jax.weighting.base import Extras, Term, stateful


class RunningMoments(NamedTuple):
    """Memory of `progressive_hardness_weighting` for one loss term, with `statistics="ema"`.

    Attributes:
      weight: accumulated weight of the moving average, float32 scalar, for bias correction. It
        approaches 1.
      mean: moving average of the losses, float32 scalar.
      variance: variance of the losses around `mean`, with the same weights, float32 scalar.
    """

    weight: jax.Array
    mean: jax.Array
    variance: jax.Array


def progressive_hardness_weighting(
    hardness: optax.ScalarOrSchedule,
    statistics: Literal["batch", "ema"] = "batch",
    clip: chex.Numeric = 3.0,
    decay: chex.Numeric = 0.99,
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Weights each loss by its standardized value: first easy examples count more, later hard ones.

    `w = n softmax(c z)`, with mean 1 over the `n` valid losses, where `c` is the hardness and
    `z = (loss - mean) / deviation`, clipped to `[-clip, clip]`.

    Use it as a curriculum without difficulty labels: a negative hardness favors easy examples, 0
    weights all examples equally, and a positive hardness favors hard examples.

    Args:
      hardness: `c`, a number or a schedule of the number of updates, for example
        `optax.linear_schedule(-1.0, 1.0, 10_000)`.
      statistics: origin of the mean and the deviation: `"batch"` uses the losses of this batch;
        `"ema"` uses an exponential moving average over batches with bias correction.
      clip: largest absolute value of `z`, above 0; infinity does not clip. The default is ours.
      decay: decay of the moving average, in [0, 1), for `statistics="ema"`; the default is ours.
      axis_name: mesh axis to include in the statistics, for `jax.shard_map`.

    Extra arguments:
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0 and are
        excluded from the statistics.

    Returns:
      A weighting that counts its updates and, with `statistics="ema"`, has a `RunningMoments` for
      each loss term. It leaves the weights unchanged while all losses are equal.

    Raises:
      ValueError: if a setting is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from cgar_jax import contrib
      >>> easy_first = contrib.progressive_hardness_weighting(hardness=-0.5)
      >>> losses = jnp.array([1.0, 2.0, 3.0])
      >>> weights, _ = easy_first.update(jnp.ones(3), easy_first.init(losses), losses)
      >>> print(np.asarray(weights).round(2))
      [1.63 0.89 0.48]

    Reference:
      Inspired by Wu et al., 2023, "Towards Robust Text Retrieval with Progressive Learning" (PEG),
      arXiv 2311.11691. Reconstructed from the abstract: the paper's equation may differ.
    """
    name = "progressive_hardness_weighting"
    check_number(name, "hardness", hardness, "(-inf, inf)")
    check_name("statistics", statistics, ("batch", "ema"))
    check_number(name, "clip", clip, "(0, inf]")
    check_number(name, "decay", decay, "[0, 1)")

    def init_term(loss: jax.Array) -> RunningMoments | tuple:
        del loss
        if statistics == "batch":
            return ()
        # Three arrays instead of one used three times: a donated state must not repeat a buffer.
        return RunningMoments(*(jnp.zeros([], jnp.float32) for _ in RunningMoments._fields))

    def weigh(term: Term, extras: Extras, memory: Any, count: jax.Array) -> tuple:
        del extras
        losses, valid = term
        mean, variance = _moments(losses, valid, axis_name)
        if statistics == "ema":
            any_valid = masked_mean(valid, axis_name=axis_name) > 0
            blended = _blend(memory, mean, variance, jnp.asarray(decay, jnp.float32))
            memory = jax.tree.map(lambda new, old: jnp.where(any_valid, new, old), blended, memory)
            _, mean, variance = memory
        deviation = jnp.sqrt(jnp.where(variance > 0, variance, 1))
        z = jnp.where(variance > 0, (losses - mean) / deviation, 0)
        z = jnp.clip(z, -jnp.asarray(clip, jnp.float32), clip)
        slope = jnp.asarray(hardness(count) if callable(hardness) else hardness, jnp.float32)
        return mean_one_softmax(slope * z, valid, axis_name=axis_name), memory

    return stateful(name, init_term, weigh)


def _moments(losses, valid, axis_name):
    """Returns the mean and variance of the valid losses."""
    # Deviations from one of the losses make the mean of equal losses exact and their variance 0.
    largest = jnp.squeeze(masked_max(losses, valid, axis_name=axis_name))
    origin = jnp.where(jnp.isfinite(largest), largest, 0)
    mean = origin + masked_mean(losses - origin, valid, axis_name=axis_name)
    return mean, masked_mean(jnp.square(losses - mean), valid, axis_name=axis_name)


def _blend(memory, mean, variance, decay):
    """Returns the moments of the remembered losses mixed with those of one more batch."""
    weight = decay * memory.weight + (1 - decay)
    # The share of the batch relative to the accumulated weight corrects the bias of the start.
    share = (1 - decay) / weight
    step = mean - memory.mean
    mixed = (1 - share) * (memory.variance + share * jnp.square(step)) + share * variance
    return RunningMoments(weight, memory.mean + share * step, mixed)
