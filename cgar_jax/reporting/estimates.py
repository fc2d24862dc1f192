"""Estimates with 95 % intervals, as the pictures of a report draw them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cgar_jax.metrics import wilson_interval

_NORMAL_QUANTILE = 1.96


class Estimate(NamedTuple):
    """Estimated values and the bounds of their intervals, all of one shape.

    Attributes:
      values: the estimates.
      low: lower bounds; NaN if unknown.
      high: upper bounds; NaN if unknown.
    """

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray


def of_shares(num_right: Sequence[int] | np.ndarray, num: int | Sequence[int]) -> Estimate:
    """Estimates shares from counts, with Wilson's intervals.

    Args:
      num_right: numbers of right examples, `[shares]`.
      num: number of examples of all shares, or of each.
    """
    right, num = np.broadcast_arrays(np.asarray(num_right), num)
    bounds = [wilson_interval(*map(int, pair)) for pair in zip(right, num, strict=True)]
    low, high = np.reshape(bounds, (-1, 2)).T
    return Estimate(right / np.maximum(num, 1), low, high)


def of_means(samples: np.ndarray) -> Estimate:
    """Estimates means over the last axis, with normal intervals.

    Args:
      samples: independent samples, `[..., num]`.
    """
    samples = np.asarray(samples, np.float64)
    num, means = samples.shape[-1], samples.mean(-1)
    if num < 2:
        return Estimate(means, np.full_like(means, np.nan), np.full_like(means, np.nan))
    half_width = _NORMAL_QUANTILE * samples.std(-1, ddof=1) / np.sqrt(num)
    return Estimate(means, means - half_width, means + half_width)
