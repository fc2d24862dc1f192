"""Checks of arguments at the public functions, with errors that name what was expected.

They check Python numbers and static shapes only, so that they work under `jax.jit`.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax.core import Tracer


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
    if isinstance(value, str) or (isinstance(value, int | float) and not _lies_in(value, interval)):
        raise ValueError(f"{owner}: {setting} is {value!r}, but it must be in {interval}")


def check_integer(owner: str, setting: str, value: Any, interval: str) -> None:
    """Raises an error unless a number is an integer in an interval.

    Args:
      owner: name of the public function, for the error.
      setting: name of the argument, for the error.
      value: value of the argument.
      interval: interval such as `"[1, 30]"` or `"[1, inf)"`.

    Raises:
      ValueError: if `value` is a number, but not an integer in the interval.
    """
    is_number = isinstance(value, int | float)
    is_integer = is_number and value == value // 1 and _lies_in(value, interval)
    if isinstance(value, str) or (is_number and not is_integer):
        wanted = {"[1, inf)": "a positive integer", "[0, inf)": "an integer of at least 0"}
        expected = wanted.get(interval, f"an integer in {interval}")
        raise ValueError(f"{owner}: {setting} is {value!r}, but it must be {expected}")


def _lies_in(value: float, interval: str) -> bool:
    low, high = map(float, interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    return above and below


def static_number(owner: str, setting: str, value: Any, interval: str) -> int:
    """Returns an integer that shapes depend on, and raises an error for a traced value.

    Args:
      owner: name of the public function, for the error.
      setting: name of the argument, for the error.
      value: an int, or an array that holds one.
      interval: interval such as `"[1, inf)"`.

    Raises:
      ValueError: if `value` is traced or outside the interval.
    """
    check_static(owner, setting, value)
    check_number(owner, setting, int(value), interval)
    return int(value)


def check_static(owner: str, setting: str, value: Any) -> None:
    """Raises an error if a setting that must be known while JAX traces is traced.

    Args:
      owner: name of the public function, for the error.
      setting: name of the argument, for the error.
      value: value of the argument.

    Raises:
      ValueError: if `value` is traced.
    """
    if isinstance(value, Tracer):
        raise ValueError(
            f"{owner}: {setting} is traced by JAX, but it must be known while tracing; if it comes "
            f"from optax.inject_hyperparams, pass static_args={setting!r} there (or a tuple of all "
            "such settings)"
        )


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
