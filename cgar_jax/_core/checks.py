"""Checks of arguments at the public functions, with errors that name what was expected.

They check Python numbers and static shapes only, so that they work under `jax.jit`.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp


def check_number(owner: str, setting: str, value: Any, interval: str) -> None:
    """Raises an error unless a number lies in an interval.

    Arrays and traced values are not checked.

    Args:
      owner: name of the public function, for the error.
      setting: name of the argument, for the error.
      value: value of the argument.
      interval: interval such as `"(0, 1]"` or `"[1, inf)"`.

    Raises:
      ValueError: if `value` is a Python number outside the interval.
    """
    if not isinstance(value, int | float):
        return
    low, high = map(float, interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    if not (above and below):
        raise ValueError(f"{owner}: {setting} is {value}, but it must be in {interval}")


def check_shape(owner: str, argument: str, array: Any, expected: Sequence[int | str]) -> None:
    """Raises an error unless an array has the expected shape.

    `check_shape("rank_list_loss", "scores", scores, ("batch", "items"))` accepts any matrix.

    Args:
      owner: name of the public function, for the error.
      argument: name of the argument, for the error.
      array: the argument.
      expected: size of each axis; a string stands for any size.

    Raises:
      ValueError: if `array` has another shape.
    """
    shape = jnp.shape(array)
    fits = len(shape) == len(expected) and all(
        isinstance(wanted, str) or size == wanted
        for size, wanted in zip(shape, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, expected))
        raise ValueError(f"{owner}: {argument} has shape {shape}, but it must be [{wanted}]")
