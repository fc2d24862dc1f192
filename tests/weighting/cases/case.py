import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

BATCH, STEPS = 8, 5


def no_extras(shape: tuple[int, ...]) -> dict[str, Any]:
    del shape
    return {}


@dataclasses.dataclass(frozen=True)
class Case:
    """Settings and inputs for the tests of one weighting.

    Attributes:
      settings: settings with which the weighting changes the weights.
      identity: settings that must leave the weights unchanged bit for bit, or None.
      extras: function from the shape of the losses to the extra arguments; arrays whose first axis
        has length `BATCH` are per example.
      optional: extra arguments that may be missing, and must be with several loss terms.
      shapes: shapes of losses that the weighting accepts.
      static: settings that `optax.inject_hyperparams` must not convert to arrays.
      gradient: whether the settings let the gradient flow through the weights.
      permutes: whether permuting the examples permutes the weights.
      multiplies: whether the weighting multiplies the incoming weights by a factor that depends on
        the losses.
    """

    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    identity: Mapping[str, Any] | None = None
    extras: Callable[[tuple[int, ...]], dict[str, Any]] = no_extras
    optional: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ((BATCH,), (BATCH, STEPS))
    static: tuple[str, ...] = ()
    gradient: bool = False
    permutes: bool = True
    multiplies: bool = True


def supervision_step(shape: tuple[int, ...]) -> dict[str, Any]:
    return {"supervision_step": np.arange(shape[0]) % STEPS + 1}


def schedules(case: Case) -> dict[str, Callable[[Any], float]]:
    """Returns a constant schedule for each number among the settings."""
    numbers = {
        name: value
        for name, value in case.settings.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {
        name: (lambda _, value=value: value)
        for name, value in numbers.items()
        if name not in case.static
    }


def per_example(extras: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """Applies `change` to the extra arguments that have a row for each example."""
    return {
        name: change(value) if np.ndim(value) and np.shape(value)[0] == BATCH else value
        for name, value in extras.items()
    }


def is_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)
