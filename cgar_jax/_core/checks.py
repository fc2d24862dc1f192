"""Checks of arguments at the public functions, with errors that name what was expected.

They check Python numbers and static shapes only, so that they work under `jax.jit`.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax.core import Tracer

from cgar_jax._core.ranges import check_number


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
