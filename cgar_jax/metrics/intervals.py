"""Confidence intervals of accuracies.

>>> from cgar_jax.metrics import wilson_interval
>>> low, high = wilson_interval(81, 263)
>>> print(f"{low:.4f} to {high:.4f}")
0.2553 to 0.3662

The functions take plain Python numbers, after the metrics have been computed.
"""

import math
import statistics


def wilson_interval(num_right: int, num: int, confidence: float = 0.95) -> tuple[float, float]:
    """Computes Wilson's confidence interval of an accuracy.

    With `p = num_right / num` and `z` the normal quantile of `(1 + confidence) / 2`:

        (p + z^2 / (2 num) -+ z sqrt(p (1 - p) / num + z^2 / (4 num^2))) / (1 + z^2 / num)

    Use it for the accuracy on a random sample of examples. Unlike `p -+ z sqrt(p (1 - p) / num)` it
    stays within [0, 1], and has a width even if every example is right.

    Args:
      num_right: number of examples that are right.
      num: number of examples.
      confidence: probability that the interval covers the accuracy on all examples, in (0, 1).

    Returns:
      The bounds `(low, high)`; `(0.0, 1.0)` without any example.

    Raises:
      ValueError: if `num_right` is not between 0 and `num`, or `confidence` is out of range.

    Example:
      >>> from cgar_jax.metrics import wilson_interval
      >>> low, high = wilson_interval(98, 100)
      >>> print(f"{low:.3f} to {high:.3f}")
      0.930 to 0.994

    Reference:
      Wilson, 1927, Probable inference, the law of succession, and statistical inference,
      Journal of the American Statistical Association 22.
    """
    if not 0 <= num_right <= num:
        raise ValueError(
            f"wilson_interval: num_right is {num_right}, but it must be between 0 and num, {num}"
        )
    if not 0 < confidence < 1:
        raise ValueError(f"wilson_interval: confidence is {confidence}, but it must be in (0, 1)")
    if num == 0:
        return 0.0, 1.0
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    p = num_right / num
    scale = 1 + z**2 / num
    center = (p + z**2 / (2 * num)) / scale
    half_width = z * math.sqrt(p * (1 - p) / num + z**2 / (4 * num**2)) / scale
    # The exact bound is 0 without a right example, and 1 without a wrong one; rounding misses it.
    low = 0.0 if num_right == 0 else center - half_width
    high = 1.0 if num_right == num else center + half_width
    return low, high
