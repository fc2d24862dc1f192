"""Checks at the border: what a function is given, against what it takes. Private."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp


def check_number(owner: str, setting: str, value: Any, interval: str) -> None:
    """Raise a ValueError unless ``value`` lies in ``interval``, as ``"(0, 1]"`` or ``"[1, inf)"``.

    What is not a Python number, an array or a traced value, is not checked.
    """
    if not isinstance(value, int | float):
        return
    low, high = map(float, interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    if not (above and below):
        raise ValueError(f"{owner}: {setting} is {value}, but it must be in {interval}")


def check_shape(owner: str, argument: str, array: Any, expected: Sequence[int | str]) -> None:
    """Raise a ValueError unless ``array`` has the ``expected`` shape; a name stands for any size.

    ``check_shape("rank_list_loss", "scores", scores, ("batch", "items"))``.
    """
    shape = jnp.shape(array)
    fits = len(shape) == len(expected) and all(
        isinstance(wanted, str) or size == wanted
        for size, wanted in zip(shape, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, expected))
        raise ValueError(f"{owner}: {argument} has shape {shape}, but it must be [{wanted}]")
