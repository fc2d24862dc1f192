"""Checks that numbers lie in a range, without importing JAX: workers that make puzzles use them."""

from typing import Any


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
